//! What an h2 connection writes, gathered.
//!
//! h2 gives each DATA frame to its stream apart and flushes after it. Over TLS each response is then a record, a system call
//! and a packet, also while others stand behind it. Here it is kept until the connection has been polled, and until those who
//! are ready to run have had the opportunity to add to it, and then goes out at once. A burst of responses costs one write.
//!
//! There are two ends: [`Gathered`] is the stream that hyper owns, and [`Gathering`] the future that polls hyper. They are in
//! one task, so that the lock between them is always free.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// As much as is kept: what goes into one TLS record.
const MOST: usize = 16 * 1024;

/// The stream, for whoever writes to it. Flushing it does nothing: that is for the [`Gathering`].
pub(crate) struct Gathered<I>(Writes<I>);

/// The stream, for whoever sees to it that what was written goes out.
pub(crate) struct Writes<I>(Arc<Mutex<Shared<I>>>);

struct Shared<I> {
    io: I,
    /// Written and not yet sent. Without memory of its own while there is nothing.
    kept: Vec<u8>,
    /// How much of it the stream has taken.
    taken: usize,
    /// Whether the stream has something that it may keep back itself.
    unflushed: bool,
    /// Why sending failed, for whoever writes next.
    failed: Option<io::Error>,
}

/// Splits the task of writing to `io`. Nothing is sent before a [`Gathering`] with the second is polled.
pub(crate) fn gather<I>(io: I) -> (Gathered<I>, Writes<I>) {
    let shared = Arc::new(Mutex::new(Shared {
        io,
        kept: Vec::new(),
        taken: 0,
        unflushed: false,
        failed: None,
    }));
    (Gathered(Writes(Arc::clone(&shared))), Writes(shared))
}

impl<I> Writes<I> {
    fn lock(&self) -> MutexGuard<'_, Shared<I>> {
        // What panicked under it is hyper's connection, which is not polled again.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<I: AsyncWrite + Unpin> Shared<I> {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.taken < self.kept.len() {
            let rest = &self.kept[self.taken..];
            match ready!(Pin::new(&mut self.io).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                some => self.taken += some,
            }
            self.unflushed = true;
        }
        self.kept = Vec::new();
        self.taken = 0;
        if self.unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_keep(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let some = bufs.iter().map(|buf| buf.len()).sum::<usize>();
        if !self.kept.is_empty() && self.kept.len() + some > MOST {
            ready!(self.poll_send(cx))?;
        }
        if some >= MOST {
            // Worth a write of its own, and not worth a copy.
            self.unflushed = true;
            return Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        }
        if self.kept.is_empty() {
            self.kept.reserve_exact(MOST);
        }
        for buf in bufs {
            self.kept.extend_from_slice(buf);
        }
        Poll::Ready(Ok(some))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Gathered<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.lock().io).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Gathered<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().poll_keep(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.lock().failed.take().map_or(Ok(()), Err))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.0.lock();
        ready!(shared.poll_send(cx))?;
        Pin::new(&mut shared.io).poll_shutdown(cx)
    }
}

pin_project! {
    /// hyper's connection, and after each poll of it the sending of what it wrote.
    pub(crate) struct Gathering<F, I> {
        #[pin]
        connection: F,
        writes: Writes<I>,
        // Those who were ready have had their turn.
        waited: bool,
    }
}

impl<F, I> Gathering<F, I> {
    pub(crate) fn new(connection: F, writes: Writes<I>) -> Self {
        Self {
            connection,
            writes,
            waited: false,
        }
    }

    pub(crate) fn connection(self: Pin<&mut Self>) -> Pin<&mut F> {
        self.project().connection
    }
}

impl<F: Future, I: AsyncWrite + Unpin> Future for Gathering<F, I> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if let Poll::Ready(ended) = this.connection.poll(cx) {
            return Poll::Ready(ended);
        }
        let mut shared = this.writes.lock();
        if !shared.kept.is_empty() && !*this.waited {
            // Who wakes itself while it runs goes behind all who are ready.
            *this.waited = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match shared.poll_send(cx) {
            Poll::Ready(Ok(())) => *this.waited = false,
            Poll::Ready(Err(error)) => {
                shared.kept = Vec::new();
                shared.taken = 0;
                shared.unflushed = false;
                shared.failed = Some(error);
                *this.waited = false;
                cx.waker().wake_by_ref();
            }
            Poll::Pending => {}
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
