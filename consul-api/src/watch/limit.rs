//! What the watches of one client do while Consul limits their rate: one at a time finds out whether it still does.
//!
//! If each of 300 watches had a pause of its own, an agent would be asked hundreds of times a minute for nothing, or
//! the last of them would notice the end of the limit half a minute late. So they share one opinion. While it is
//! "limited", one probe goes out about each second, from another watch each time: some questions may be limited and
//! others not. The answer to a probe lets the others go, few at first and then more, because a limit is lifted by
//! a trickle; the next refusal stops those who have not asked yet.

use std::time::Duration;

use tokio::{
    sync::{Mutex, watch},
    time::{Instant, sleep, sleep_until},
};

use super::backoff::{Backoff, Trouble};

/// The opinion of one client's watches on whether their rate is limited.
#[derive(Debug)]
pub(crate) struct Limit {
    phase: watch::Sender<Phase>,
    /// First come, first served: whoever probed in vain goes to the end.
    queue: Mutex<()>,
    backoff: Backoff,
}

#[derive(Clone, Copy, Debug)]
struct Phase {
    limited: bool,
    changes: Changes,
    /// Since it is limited.
    probes: u32,
    /// No probe before this.
    next: Instant,
}

/// How often the opinion has changed. What was sent under an older one says nothing against a newer one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes(u64);

impl Limit {
    /// No limit is known of yet. `backoff` says how far probes are apart.
    pub(crate) fn new(backoff: Backoff) -> Self {
        Self {
            phase: watch::Sender::new(Phase {
                limited: false,
                changes: Changes::default(),
                probes: 0,
                next: Instant::now(),
            }),
            queue: Mutex::default(),
            backoff,
        }
    }

    /// To be noted when a request is sent.
    pub(crate) fn now(&self) -> Changes {
        self.phase.borrow().changes
    }

    /// Notes that a request sent at `sent` was refused for its rate.
    pub(crate) fn refused(&self, sent: Changes) {
        self.phase.send_if_modified(|phase| {
            let news = !phase.limited && phase.changes == sent;
            if news {
                *phase = Phase {
                    limited: true,
                    changes: Changes(sent.0 + 1),
                    probes: 0,
                    next: Instant::now() + self.interval(1),
                };
            }
            news
        });
    }

    /// Notes that a request sent at `sent` was answered whose watch had been refused before. Says whether that is the end of the
    /// limit.
    pub(crate) fn answered(&self, sent: Changes) -> bool {
        self.phase.send_if_modified(|phase| {
            let news = phase.limited && phase.changes == sent;
            if news {
                phase.limited = false;
                phase.changes = Changes(sent.0 + 1);
            }
            news
        })
    }

    /// Waits until whoever was refused may ask again: when it is its turn to probe, or a while after another found that the
    /// limit is over.
    ///
    /// # Cancel safety
    /// Whoever stops waiting loses its place and nothing else.
    pub(crate) async fn pass(&self) {
        let mut phase = self.phase.subscribe();
        loop {
            tokio::select! {
                // Not to be taken for a probe when there is nothing to find out.
                biased;
                () = becomes(&mut phase, false) => {}
                () = self.probe() => return,
            }
            // The root makes the first of many come one by one.
            let wait = SPREAD.mul_f64(rand::random::<f64>().sqrt());
            tokio::select! {
                () = sleep(wait) => return,
                () = becomes(&mut phase, true) => {}
            }
        }
    }

    async fn probe(&self) {
        let _first = self.queue.lock().await;
        loop {
            let next = self.phase.borrow().next;
            if next <= Instant::now() {
                break;
            }
            sleep_until(next).await;
        }
        self.phase.send_if_modified(|phase| {
            phase.probes = phase.probes.saturating_add(1);
            phase.next = Instant::now() + self.interval(phase.probes.saturating_add(1));
            // Nobody waits for this.
            false
        });
    }

    fn interval(&self, attempt: u32) -> Duration {
        self.backoff
            .delay(attempt, Trouble::Limited, rand::random())
    }
}

async fn becomes(phase: &mut watch::Receiver<Phase>, limited: bool) {
    let seen = phase.wait_for(|phase| phase.limited == limited).await;
    debug_assert!(seen.is_ok(), "the sender is in the limit");
}

/// Over how long those who were refused ask again. With a probe's pause, a watch of a local agent is live again less than two
/// seconds after the limit.
const SPREAD: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
