//! A stream that seldom has something to say, asked only when it has.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_core::{Stream as _, stream::BoxStream};
use futures_util::task::AtomicWaker;

/// A stream with a waker of its own. Its owner may poll it as often as it likes, and the stream is polled when it has woken.
pub(super) struct Dormant<T> {
    /// `None` when it has ended.
    stream: Option<BoxStream<'static, T>>,
    alarm: Arc<Alarm>,
    waker: Waker,
}

struct Alarm {
    rung: AtomicBool,
    owner: AtomicWaker,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.owner.wake();
    }
}

impl<T> Dormant<T> {
    pub(super) fn new(stream: BoxStream<'static, T>) -> Self {
        let alarm = Arc::new(Alarm {
            // It has not been asked yet.
            rung: AtomicBool::new(true),
            owner: AtomicWaker::new(),
        });
        Self {
            stream: Some(stream),
            waker: Arc::clone(&alarm).into(),
            alarm,
        }
    }

    /// What the stream yields. Pending also when it has ended.
    pub(super) fn poll_next(&mut self, cx: &Context<'_>) -> Poll<T> {
        let Some(stream) = &mut self.stream else {
            return Poll::Pending;
        };
        if !self.alarm.rung.load(Ordering::Acquire) {
            self.alarm.owner.register(cx.waker());
        }
        // Also after it was registered: whoever rang in between woke nobody.
        while self.alarm.rung.swap(false, Ordering::AcqRel) {
            match Pin::new(&mut *stream).poll_next(&mut Context::from_waker(&self.waker)) {
                Poll::Ready(Some(item)) => {
                    // It may have more.
                    self.alarm.rung.store(true, Ordering::Release);
                    return Poll::Ready(item);
                }
                Poll::Ready(None) => {
                    self.stream = None;
                    return Poll::Pending;
                }
                Poll::Pending => self.alarm.owner.register(cx.waker()),
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{StreamExt as _, stream};
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn is_asked_when_it_has_something_to_say_and_not_whenever_its_owner_is() {
        let (say, mut said) = mpsc::unbounded_channel();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let said = stream::poll_fn(move |cx| {
            count.fetch_add(1, Ordering::Relaxed);
            said.poll_recv(cx)
        });
        let mut dormant = Dormant::new(said.boxed());
        let cx = Context::from_waker(Waker::noop());
        for _ in 0..10 {
            assert!(dormant.poll_next(&cx).is_pending());
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);

        let heard = tokio::spawn(async move {
            let first = std::future::poll_fn(|cx| dormant.poll_next(cx)).await;
            let second = std::future::poll_fn(|cx| dormant.poll_next(cx)).await;
            (first, second, dormant)
        });
        tokio::task::yield_now().await;
        say.send(1).expect("heard");
        tokio::task::yield_now().await;
        say.send(2).expect("heard");
        let (first, second, mut dormant) = heard.await.expect("no panic");
        assert_eq!((first, second), (1, 2));

        drop(say);
        for _ in 0..3 {
            assert!(dormant.poll_next(&cx).is_pending(), "it has ended");
        }
    }
}
