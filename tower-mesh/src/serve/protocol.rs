//! Which HTTP a connection speaks: what ALPN settled, else what its first bytes say.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    time::timeout,
};

/// The first bytes of every h2 connection (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The HTTP of one connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Protocol {
    Http1,
    H2,
}

impl Protocol {
    /// Settles the protocol. What was read for it is returned too, and belongs in front of the rest.
    ///
    /// With `negotiated` h2 the preface is awaited too: a client must send it at once, and hyper
    /// has no deadline of its own for it. HTTP/1.1 needs no byte: its header timeout runs anyway.
    ///
    /// # Errors
    ///
    /// The stream's own, an end before the first byte that decides, [`io::ErrorKind::TimedOut`]
    /// after `patience`, and [`io::ErrorKind::InvalidData`] if h2 was negotiated and something else
    /// is spoken.
    pub(crate) async fn settle<I>(
        negotiated: Option<Self>,
        io: &mut I,
        patience: Duration,
    ) -> io::Result<(Self, Bytes)>
    where
        I: AsyncRead + Unpin,
    {
        if negotiated == Some(Self::Http1) {
            return Ok((Self::Http1, Bytes::new()));
        }
        let mut prefix = BytesMut::with_capacity(PREFACE.len());
        let sniff = async {
            while prefix.len() < PREFACE.len() {
                // The buffer has room for the preface and no more: nothing is read past it.
                let mut room = (&mut *io).take((PREFACE.len() - prefix.len()) as u64);
                if room.read_buf(&mut prefix).await? == 0 {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
                }
                if !PREFACE.starts_with(&prefix) {
                    return Ok(Self::Http1);
                }
            }
            Ok(Self::H2)
        };
        let spoken = match timeout(patience, sniff).await {
            Ok(spoken) => spoken?,
            Err(_elapsed) => return Err(io::ErrorKind::TimedOut.into()),
        };
        if negotiated == Some(Self::H2) && spoken == Self::Http1 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "h2 was negotiated and something else is spoken",
            ));
        }
        Ok((spoken, prefix.freeze()))
    }
}

/// A stream with bytes that were already read put back in front.
#[derive(Debug)]
pub(crate) struct Prefixed<I> {
    prefix: Bytes,
    /// What came of reading on behind the prefix, for the next who reads.
    failed: Option<io::Error>,
    io: I,
}

impl<I> Prefixed<I> {
    pub(crate) fn new(prefix: Bytes, io: I) -> Self {
        Self {
            prefix,
            failed: None,
            io,
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Prefixed<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.prefix.is_empty() {
            return match this.failed.take() {
                None => Pin::new(&mut this.io).poll_read(cx, buf),
                Some(error) => Poll::Ready(Err(error)),
            };
        }
        let some = this.prefix.len().min(buf.remaining());
        buf.put_slice(&this.prefix[..some]);
        this.prefix.advance(some);
        if this.prefix.is_empty() {
            // Let go of what holds it, and read on: a reader that sees half a head makes room for
            // another one, and keeps it.
            this.prefix = Bytes::new();
            if buf.remaining() > 0
                && let Poll::Ready(Err(error)) = Pin::new(&mut this.io).poll_read(cx, buf)
            {
                this.failed = Some(error);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Prefixed<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
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
    use super::{super::tether::tether, *};
    use tokio::io::AsyncWriteExt as _;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Writes `pieces` one by one, then settles.
    async fn settle(
        negotiated: Option<Protocol>,
        pieces: &[&[u8]],
    ) -> io::Result<(Protocol, Vec<u8>)> {
        let (mut near, mut far) = tokio::io::duplex(256);
        let write = async {
            for piece in pieces {
                near.write_all(piece).await.expect("room");
                tokio::task::yield_now().await;
            }
            drop(near);
        };
        let (settled, ()) = tokio::join!(Protocol::settle(negotiated, &mut far, PATIENCE), write);
        let (protocol, prefix) = settled?;
        let mut io = Prefixed::new(prefix, far);
        let mut all = Vec::new();
        io.read_to_end(&mut all).await?;
        Ok((protocol, all))
    }

    #[tokio::test(start_paused = true)]
    async fn hears_h2_however_its_preface_is_cut_and_loses_no_byte() {
        for cut in [1, 3, 14, 23, 24] {
            let (head, tail) = PREFACE.split_at(cut);
            let (protocol, all) = settle(None, &[head, tail, b"frames"])
                .await
                .expect("settled");
            assert_eq!(protocol, Protocol::H2);
            assert_eq!(all, [PREFACE.as_slice(), b"frames"].concat());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn takes_anything_else_for_http1_at_the_first_byte_that_differs() {
        for request in ["GET / HTTP/1.1\r\n\r\n", "P", "PROPFIND / HTTP/1.1\r\n\r\n"] {
            let settled = settle(None, &[request.as_bytes()]).await;
            if request == "P" {
                assert_eq!(
                    settled.expect_err("undecided").kind(),
                    io::ErrorKind::UnexpectedEof
                );
            } else {
                assert_eq!(settled.expect("settled"), (Protocol::Http1, request.into()));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn hands_on_what_was_read_together_with_what_follows() {
        let request = b"GET / HTTP/1.1\r\nhost: api\r\n\r\n";
        let (mut near, mut far) = tokio::io::duplex(256);
        near.write_all(request).await.expect("room");
        let settled = Protocol::settle(None, &mut far, PATIENCE).await;
        let mut io = Prefixed::new(settled.expect("settled").1, far);
        let mut room = [0; 256];
        let read = io.read(&mut room).await.expect("a head");
        assert_eq!(room[..read], request[..]);
    }

    #[tokio::test(start_paused = true)]
    async fn hands_on_what_was_read_before_the_stream_failed() {
        let (mut near, far) = tokio::io::duplex(256);
        let (mut far, tether) = tether(far);
        near.write_all(b"GET /").await.expect("room");
        let settled = Protocol::settle(None, &mut far, PATIENCE).await;
        let mut io = Prefixed::new(settled.expect("settled").1, far);
        tether.cut();
        let mut room = [0; 256];
        let read = io.read(&mut room).await.expect("what was there");
        assert_eq!(&room[..read], b"GET /");
        let error = io.read(&mut room).await.expect_err("cut");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    }

    #[tokio::test(start_paused = true)]
    async fn believes_alpn_for_http1_without_waiting_for_a_byte() {
        let (_near, mut far) = tokio::io::duplex(64);
        let (protocol, _) = Protocol::settle(Some(Protocol::Http1), &mut far, PATIENCE)
            .await
            .expect("settled");
        assert_eq!(protocol, Protocol::Http1);
    }

    #[tokio::test(start_paused = true)]
    async fn gives_up_on_a_client_that_says_nothing() {
        for negotiated in [None, Some(Protocol::H2)] {
            let (_near, mut far) = tokio::io::duplex(64);
            let error = Protocol::settle(negotiated, &mut far, PATIENCE)
                .await
                .expect_err("silence");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn refuses_http1_where_h2_was_negotiated() {
        let error = settle(Some(Protocol::H2), &[b"GET / HTTP/1.1\r\n\r\n"])
            .await
            .expect_err("no");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
