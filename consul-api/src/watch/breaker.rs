//! What the watches of one client do in a trouble that they all have, because its cause is the server: one at a time finds
//! out whether it is over.
//!
//! If each of 300 watches had a pause of its own, an agent would be asked hundreds of times a minute for nothing, or
//! the last of them would notice the end of the trouble half a minute late. So they share one opinion, as in a circuit breaker.
//! While it is open, one probe goes out now and then, from another watch each time. The answer to a probe lets the others go,
//! few at first and then more; the next failure stops those who have not asked yet.
//!
//! There are two such troubles. Consul limits our rate: some questions may be limited and others not, so whoever was not
//! refused goes on asking, and a limit is lifted by a trickle. And nobody takes our connections: then no question would be
//! answered, and who has not asked yet is told without asking.

use std::time::Duration;

use tokio::{
    sync::{Mutex, watch},
    time::{Instant, sleep, sleep_until},
};

pub(crate) use self::phase::Changes;
use self::phase::Phase;
use super::backoff::{Backoff, Trouble};
use crate::Error;

mod phase;

/// The opinion of one client's watches on one trouble.
#[derive(Debug)]
pub(crate) struct Breaker {
    trouble: Trouble,
    phase: watch::Sender<Phase>,
    /// First come, first served: whoever probed in vain goes to the end.
    queue: Mutex<()>,
    backoff: Backoff,
}

/// How somebody got through a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// It is to find out.
    Probe,
    /// Another has found out.
    Closed,
}

impl Breaker {
    /// Nobody has met this trouble yet. `backoff` says how far probes are apart.
    pub(crate) fn new(trouble: Trouble, backoff: Backoff) -> Self {
        Self {
            trouble,
            phase: watch::Sender::new(Phase::new(Instant::now())),
            queue: Mutex::default(),
            backoff,
        }
    }

    /// To be noted when a request is sent.
    pub(crate) fn now(&self) -> Changes {
        self.phase.borrow().changes()
    }

    /// What a request would be told if it were sent now.
    pub(crate) fn foretold(&self) -> Option<Error> {
        self.phase.borrow().trouble().cloned()
    }

    /// Notes that a request sent at `sent` met the trouble.
    pub(crate) fn trip(&self, sent: Changes, error: &Error) {
        self.phase
            .send_if_modified(|phase| phase.trip(sent, error, Instant::now(), self.interval(1)));
    }

    /// Notes that a request sent at `sent` did not meet it, though it might have. Says whether that is the end of it.
    pub(crate) fn reset(&self, sent: Changes) -> bool {
        self.phase.send_if_modified(|phase| phase.reset(sent))
    }

    /// Waits until whoever has met the trouble may ask again: when it is its turn to probe, or a while after another found that it
    /// is over.
    ///
    /// # Cancel safety
    /// Whoever stops waiting loses its place and nothing else.
    pub(crate) async fn pass(&self) -> Pass {
        let mut phase = self.phase.subscribe();
        loop {
            tokio::select! {
                // Not to be taken for a probe when there is nothing to find out.
                biased;
                () = becomes(&mut phase, false) => {}
                () = self.probe() => return Pass::Probe,
            }
            // The root makes the first of many come one by one.
            let wait = self.spread().mul_f64(rand::random::<f64>().sqrt());
            tokio::select! {
                () = sleep(wait) => return Pass::Closed,
                () = becomes(&mut phase, true) => {}
            }
        }
    }

    async fn probe(&self) {
        let _first = self.queue.lock().await;
        loop {
            let next = self.phase.borrow().next();
            if next <= Instant::now() {
                break;
            }
            sleep_until(next).await;
        }
        self.phase.send_if_modified(|phase| {
            phase.probe(Instant::now(), |attempt| self.interval(attempt));
            // Nobody waits for this.
            false
        });
    }

    fn interval(&self, attempt: u32) -> Duration {
        self.backoff.delay(attempt, self.trouble, rand::random())
    }

    /// Over how long those who have met it ask again. With a probe's pause, a watch of a local agent is live again less than
    /// two seconds after the end of the trouble.
    fn spread(&self) -> Duration {
        match self.trouble {
            Trouble::Limited => Duration::from_millis(500),
            _ => Duration::from_millis(250),
        }
    }
}

async fn becomes(phase: &mut watch::Receiver<Phase>, open: bool) {
    let seen = phase.wait_for(|phase| phase.is_open() == open).await;
    debug_assert!(seen.is_ok(), "the sender is in the breaker");
}

#[cfg(test)]
mod tests;
