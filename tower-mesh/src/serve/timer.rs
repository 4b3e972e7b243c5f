//! The timer of one HTTP/1.1 connection.
//!
//! hyper arms a timer while it waits for a head and drops it when the head is there, so a busy
//! connection would take the lock of the runtime's timers twice for each request. A timer whose
//! deadline is only moved further away takes no lock: this one stays armed and is handed out again.
//! Left alone, it wakes its connection once, when there may be nothing to do, and then is silent.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::rt;
use tokio::time::{Sleep, sleep_until};

type Armed = Pin<Box<Sleep>>;

/// hyper's timer for a connection that has at most one timer at a time.
#[derive(Clone, Debug, Default)]
pub(super) struct KeptTimer(Arc<Mutex<Option<Armed>>>);

/// The timer on loan; it goes back when this is dropped.
struct Loan {
    armed: Option<Armed>,
    home: KeptTimer,
}

impl KeptTimer {
    fn kept(&self) -> std::sync::MutexGuard<'_, Option<Armed>> {
        // Only a value is moved under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl rt::Timer for KeptTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        let kept = self.kept().take();
        let armed = match kept {
            Some(mut kept) => {
                kept.as_mut().reset(deadline.into());
                kept
            }
            None => Box::pin(sleep_until(deadline.into())),
        };
        Box::pin(Loan {
            armed: Some(armed),
            home: self.clone(),
        })
    }

    // By tokio's clock, which tests can stop.
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

impl Future for Loan {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.armed {
            Some(armed) => armed.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl rt::Sleep for Loan {}

impl Drop for Loan {
    fn drop(&mut self) {
        *self.home.kept() = self.armed.take();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use hyper::rt::Timer as _;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn each_loan_ends_at_its_own_deadline() {
        let timer = KeptTimer::default();
        let began = tokio::time::Instant::now();
        for _ in 0..3 {
            let mut loan = timer.sleep(LIMIT);
            assert!((&mut loan).now_or_never().is_none());
            tokio::time::advance(LIMIT / 2).await;
            assert!((&mut loan).now_or_never().is_none());
        }
        timer.sleep(LIMIT).await;
        assert_eq!(began.elapsed(), LIMIT / 2 * 3 + LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_rang_while_nobody_had_it_is_armed_again() {
        let timer = KeptTimer::default();
        let mut loan = timer.sleep(LIMIT);
        assert!((&mut loan).now_or_never().is_none());
        drop(loan);
        tokio::time::sleep(LIMIT * 2).await;
        let began = tokio::time::Instant::now();
        timer.sleep(LIMIT).await;
        assert_eq!(began.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_nearer_deadline_holds_too() {
        let timer = KeptTimer::default();
        drop(timer.sleep(LIMIT));
        let began = tokio::time::Instant::now();
        timer.sleep(LIMIT / 3).await;
        assert_eq!(began.elapsed(), LIMIT / 3);
    }
}
