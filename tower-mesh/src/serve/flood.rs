//! Ends an h2 connection whose peer sends frames that carry nothing, far more than the traffic on it explains.
//!
//! SETTINGS and PING cost an answer each, WINDOW_UPDATE, PRIORITY and the reset of a stream some work, and h2 takes them at
//! any rate. They are honest beside traffic: a peer that measures its bandwidth sends a PING, and two windows, for each of
//! our frames. So the frames that carry something pay for those that do not, time pays for a few, and who has spent it all
//! is let go.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// The length of h2's preface, which is no frame.
const PREFACE: usize = 24;
const HEADER: usize = 9;
/// What one frame of ours pays for: a PING, two windows, and one more.
const PAID_BY_OURS: u32 = 4;

/// A server's stream of h2, counted.
#[derive(Debug)]
pub(crate) struct Metered<I> {
    io: I,
    read: Frames,
    written: Frames,
    purse: Purse,
}

impl<I> Metered<I> {
    /// `most` is what may be spent before anything is paid, and again each second.
    pub(crate) fn new(io: I, most: u32) -> Self {
        Self {
            io,
            read: Frames::after(PREFACE),
            written: Frames::after(0),
            purse: Purse::new(most),
        }
    }

    fn wrote(&mut self, bytes: &[u8]) {
        let mut paid = 0_u32;
        self.written.scan(bytes, |frame| {
            if frame.carries_something() {
                paid = paid.saturating_add(PAID_BY_OURS);
            }
        });
        self.purse.pay(paid);
    }
}

/// What is left to spend.
#[derive(Debug)]
struct Purse {
    left: u32,
    most: u32,
    filled: Instant,
}

impl Purse {
    fn new(most: u32) -> Self {
        Self {
            left: most,
            most,
            filled: Instant::now(),
        }
    }

    fn pay(&mut self, some: u32) {
        self.left = self.left.saturating_add(some).min(self.most);
    }

    /// Whether there was enough. The clock is read only by those who have nothing left.
    fn spend(&mut self, some: u32) -> bool {
        if some > self.left {
            let now = Instant::now();
            let passed = now.saturating_duration_since(self.filled);
            self.filled = now;
            let second = Duration::from_secs(1).as_micros();
            let earned = passed.as_micros().saturating_mul(u128::from(self.most)) / second;
            self.pay(u32::try_from(earned).unwrap_or(u32::MAX));
        }
        let enough = some <= self.left;
        self.left = self.left.saturating_sub(some);
        enough
    }
}

/// The head of a frame.
#[derive(Clone, Copy, Debug)]
struct Frame {
    length: usize,
    kind: u8,
    flags: u8,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;

impl Frame {
    fn carries_something(self) -> bool {
        match self.kind {
            DATA => self.length > 0,
            kind => kind == HEADERS,
        }
    }

    /// Of a peer's frame. What opens a stream is limited elsewhere, and each stream ends once.
    fn costs(self) -> bool {
        match self.kind {
            DATA => self.length == 0 && self.flags & END_STREAM == 0,
            kind => kind != HEADERS && kind != CONTINUATION,
        }
    }
}

/// Finds the frames in a stream, however it is cut.
#[derive(Debug)]
struct Frames {
    head: [u8; HEADER],
    have: usize,
    skip: usize,
}

impl Frames {
    fn after(skip: usize) -> Self {
        Self {
            head: [0; HEADER],
            have: 0,
            skip,
        }
    }

    fn scan(&mut self, mut bytes: &[u8], mut each: impl FnMut(Frame)) {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let some = (HEADER - self.have).min(bytes.len());
            self.head[self.have..self.have + some].copy_from_slice(&bytes[..some]);
            self.have += some;
            bytes = &bytes[some..];
            if self.have == HEADER {
                let [a, b, c, kind, flags, ..] = self.head;
                let length = u32::from_be_bytes([0, a, b, c]) as usize;
                (self.have, self.skip) = (0, length);
                each(Frame {
                    length,
                    kind,
                    flags,
                });
            }
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Metered<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        let (mut cost, mut paid) = (0, 0);
        this.read.scan(&buf.filled()[before..], |frame| {
            cost += u32::from(frame.costs());
            paid += u32::from(frame.kind == DATA && frame.length > 0);
        });
        this.purse.pay(paid);
        if this.purse.spend(cost) {
            Poll::Ready(Ok(()))
        } else {
            Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the peer floods this connection with frames that carry nothing",
            )))
        }
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Metered<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.io).poll_write(cx, buf))?;
        this.wrote(&buf[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.io).poll_write_vectored(cx, bufs))?;
        let mut left = written;
        for buf in bufs {
            let some = left.min(buf.len());
            this.wrote(&buf[..some]);
            left -= some;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const PING: u8 = 6;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("a short payload");
        let [_, a, b, c] = length.to_be_bytes();
        [&[a, b, c, kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// The far end of a connection that allows 10, and its preface read.
    async fn connection() -> (tokio::io::DuplexStream, Metered<tokio::io::DuplexStream>) {
        let (mut near, far) = tokio::io::duplex(64 * 1024);
        let mut far = Metered::new(far, 10);
        near.write_all(&[0; PREFACE]).await.expect("room");
        far.read_exact(&mut [0; PREFACE]).await.expect("a preface");
        (near, far)
    }

    async fn take(far: &mut Metered<tokio::io::DuplexStream>, bytes: usize) -> io::Result<()> {
        far.read_exact(&mut vec![0; bytes]).await.map(drop)
    }

    #[tokio::test(start_paused = true)]
    async fn pings_without_traffic_end_it_and_those_beside_it_do_not() {
        let ping = frame(PING, 0, &[0; 8]);
        let (mut near, mut far) = connection().await;
        for _ in 0..10 {
            near.write_all(&ping).await.expect("room");
            take(&mut far, ping.len()).await.expect("a few are free");
        }
        near.write_all(&ping).await.expect("room");
        let error = take(&mut far, ping.len()).await.expect_err("one too many");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);

        let (mut near, mut far) = connection().await;
        let answer = frame(DATA, 0, b"five!");
        for _ in 0..1_000 {
            far.write_all(&answer).await.expect("room");
            near.read_exact(&mut vec![0; answer.len()])
                .await
                .expect("the answer");
            for _ in 0..3 {
                near.write_all(&ping).await.expect("room");
                take(&mut far, ping.len()).await.expect("paid for");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_pays_for_a_few() {
        let ping = frame(PING, 0, &[0; 8]);
        let (mut near, mut far) = connection().await;
        for _ in 0..1_000 {
            near.write_all(&ping).await.expect("room");
            take(&mut far, ping.len()).await.expect("paid for by time");
            tokio::time::advance(Duration::from_millis(100)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn frames_are_found_however_they_are_cut() {
        let all = [
            frame(HEADERS, 4, &[7; 30]),
            frame(PING, 0, &[0; 8]),
            frame(DATA, 0, &[]),
            frame(DATA, END_STREAM, &[]),
            frame(DATA, 0, &[9; 300]),
        ]
        .concat();
        for piece in [1, 2, 8, 9, 10, 50, all.len()] {
            let mut frames = Frames::after(0);
            let mut seen = Vec::new();
            for piece in all.chunks(piece) {
                frames.scan(piece, |frame| {
                    seen.push((frame.kind, frame.length, frame.costs()));
                });
            }
            assert_eq!(
                seen,
                [
                    (HEADERS, 30, false),
                    (PING, 8, true),
                    (DATA, 0, true),
                    (DATA, 0, false),
                    (DATA, 300, false),
                ],
                "in pieces of {piece}"
            );
        }
    }
}
