//! Knows when a stream is gone, and can cut it, wherever it went.
//!
//! An upgraded connection (a WebSocket) leaves hyper's hands and its task's: the application holds
//! it. The task keeps this end.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The far end: the stream itself.
#[derive(Debug)]
pub(crate) struct Tethered<I> {
    io: I,
    /// Whom of each half a cut is known to wake: it is nearly always the same task, which then need not say so again.
    known: [Option<Waker>; 2],
    /// After the stream, because fields are dropped in this order: what is gone is closed.
    far: Far,
}

#[derive(Debug)]
struct Far(Arc<Switch>);

/// The near end. Dropping it cuts the stream: nobody would hold it to its orders any more.
#[derive(Debug)]
pub(crate) struct Tether {
    switch: Arc<Switch>,
}

/// The halves of an upgraded stream may live in different tasks.
#[derive(Clone, Copy)]
enum Half {
    Reader,
    Writer,
}

#[derive(Debug, Default)]
struct Switch {
    cut: AtomicBool,
    /// At the far end, one for each [`Half`].
    wakers: [AtomicWaker; 2],
    gone: AtomicBool,
    near: AtomicWaker,
}

pub(crate) fn tether<I>(io: I) -> (Tethered<I>, Tether) {
    let switch = Arc::new(Switch::default());
    let far = Far(Arc::clone(&switch));
    let tethered = Tethered {
        io,
        known: [None, None],
        far,
    };
    (tethered, Tether { switch })
}

impl Tether {
    /// Makes every further use of the stream fail with [`io::ErrorKind::ConnectionAborted`].
    pub(crate) fn cut(&self) {
        self.switch.cut.store(true, Ordering::Release);
        self.switch.wakers.iter().for_each(AtomicWaker::wake);
    }

    /// Ready when the stream was dropped.
    pub(crate) fn poll_gone(&self, cx: &Context<'_>) -> Poll<()> {
        self.switch.near.register(cx.waker());
        if self.switch.gone.load(Ordering::Acquire) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        self.0.gone.store(true, Ordering::Release);
        self.0.near.wake();
    }
}

impl Drop for Tether {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Switch {
    fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }
}

impl<I: Unpin> Tethered<I> {
    /// What `poll` says, unless the stream is cut. A pending stream is woken by the cut.
    fn guard<T>(
        &mut self,
        half: Half,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut I>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let Far(switch) = &self.far;
        let aborted = || Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        if switch.is_cut() {
            return aborted();
        }
        let polled = poll(Pin::new(&mut self.io), cx);
        let known = &mut self.known[half as usize];
        let wakes = |known: &Waker| known.will_wake(cx.waker());
        if polled.is_pending() && !known.as_ref().is_some_and(wakes) {
            switch.wakers[half as usize].register(cx.waker());
            *known = Some(cx.waker().clone());
            // A cut before that line woke nobody.
            if switch.is_cut() {
                return aborted();
            }
        }
        polled
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Tethered<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut()
            .guard(Half::Reader, cx, |io, cx| io.poll_read(cx, buf))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Tethered<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut()
            .guard(Half::Writer, cx, |io, cx| io.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut()
            .guard(Half::Writer, cx, |io, cx| io.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut()
            .guard(Half::Writer, cx, |io, cx| io.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut()
            .guard(Half::Writer, cx, |io, cx| io.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Wake;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex, split};

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Release);
        }
    }

    #[test]
    fn a_cut_wakes_whoever_waited_last_however_often_it_was_asked() {
        let (_near, far) = duplex(8);
        let (mut far, tether) = tether(far);
        let all = [Arc::<Woken>::default(), Arc::default()];
        for task in [0, 0, 1, 1, 0, 0] {
            let waker = Waker::from(Arc::clone(&all[task]));
            let mut room = [0];
            let mut room = ReadBuf::new(&mut room);
            let read = Pin::new(&mut far).poll_read(&mut Context::from_waker(&waker), &mut room);
            assert!(read.is_pending());
        }
        tether.cut();
        assert!(all[0].0.load(Ordering::Acquire));
    }

    #[tokio::test]
    async fn a_cut_wakes_both_halves_wherever_they_wait() {
        let (_near, far) = duplex(8);
        let (far, tether) = tether(far);
        let (mut reader, mut writer) = split(far);
        let read = tokio::spawn(async move { reader.read_u8().await });
        let write = tokio::spawn(async move { writer.write_all(&[0; 64]).await });
        tokio::task::yield_now().await;

        tether.cut();

        let aborted = io::ErrorKind::ConnectionAborted;
        assert_eq!(
            read.await.expect("no panic").expect_err("cut").kind(),
            aborted
        );
        assert_eq!(
            write.await.expect("no panic").expect_err("cut").kind(),
            aborted
        );
    }

    #[tokio::test]
    async fn a_stream_does_not_outlive_its_near_end() {
        let (_near, far) = duplex(8);
        let (mut far, tether) = tether(far);
        drop(tether);
        assert_eq!(
            far.read_u8().await.expect_err("cut").kind(),
            io::ErrorKind::ConnectionAborted
        );
    }

    #[tokio::test]
    async fn the_near_end_learns_when_the_stream_is_dropped() {
        let (_near, far) = duplex(8);
        let (far, tether) = tether(far);
        let mut gone = poll_once(&tether);
        assert!(gone.is_pending());
        drop(far);
        gone = poll_once(&tether);
        assert!(gone.is_ready());
    }

    fn poll_once(tether: &Tether) -> Poll<()> {
        tether.poll_gone(&Context::from_waker(Waker::noop()))
    }
}
