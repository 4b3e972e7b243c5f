//! What a breaker remembers, and what changes it. No clock and no waiting: the time is what the caller says it is.

use std::time::Duration;

use tokio::time::Instant;

use crate::Error;

/// Whether the trouble is there, and who may look next.
#[derive(Clone, Debug)]
pub(super) struct Phase {
    /// While it is there, what the first who met it was told.
    trouble: Option<Error>,
    changes: Changes,
    /// Since it is there.
    probes: u32,
    /// No probe before this.
    next: Instant,
}

/// How often the opinion has changed. What was sent under an older one says nothing against a newer one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes(u64);

impl Phase {
    /// All is well.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            trouble: None,
            changes: Changes::default(),
            probes: 0,
            next: now,
        }
    }

    pub(super) fn changes(&self) -> Changes {
        self.changes
    }

    pub(super) fn trouble(&self) -> Option<&Error> {
        self.trouble.as_ref()
    }

    pub(super) fn is_open(&self) -> bool {
        self.trouble.is_some()
    }

    /// A request sent at `sent` met the trouble. Says whether that is news; then the first probe is `pause` away.
    pub(super) fn trip(
        &mut self,
        sent: Changes,
        error: &Error,
        now: Instant,
        pause: Duration,
    ) -> bool {
        let news = !self.is_open() && self.changes == sent;
        if news {
            self.trouble = Some(error.clone());
            self.changes = Changes(sent.0 + 1);
            self.probes = 0;
            self.next = now + pause;
        }
        news
    }

    /// A request sent at `sent` did not meet it. Says whether that is news.
    pub(super) fn reset(&mut self, sent: Changes) -> bool {
        let news = self.is_open() && self.changes == sent;
        if news {
            self.trouble = None;
            self.changes = Changes(sent.0 + 1);
        }
        news
    }

    /// When the next probe may go.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// A probe goes. `pause` says, for its number in this trouble, how far away the one after it is.
    pub(super) fn probe(&mut self, now: Instant, pause: impl FnOnce(u32) -> Duration) {
        self.probes = self.probes.saturating_add(1);
        self.next = now + pause(self.probes.saturating_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    const PAUSE: Duration = Duration::from_millis(200);

    fn error(text: &'static str) -> Error {
        Error::new(Kind::Connect, text)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_to_meet_it_says_what_it_is_and_the_others_nothing_new() {
        let now = Instant::now();
        let mut phase = Phase::new(now);
        let sent = phase.changes();
        assert!(phase.trip(sent, &error("the first"), now, PAUSE));
        assert_eq!(phase.next(), now + PAUSE);
        assert!(!phase.trip(sent, &error("the second"), now, PAUSE * 2));
        assert!(!phase.trip(phase.changes(), &error("a probe"), now, PAUSE * 2));
        assert_eq!(phase.next(), now + PAUSE);
        let told = phase.trouble().expect("it is there").to_string();
        assert!(told.contains("the first"), "{told}");
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_was_sent_since_it_began_says_that_it_is_over() {
        let now = Instant::now();
        let mut phase = Phase::new(now);
        let before = phase.changes();
        assert!(!phase.reset(before), "there is none");
        phase.trip(before, &error("it"), now, PAUSE);
        assert!(!phase.reset(before), "sent before it began");
        let during = phase.changes();
        assert!(phase.reset(during));
        assert!(!phase.is_open());
        assert!(!phase.trip(during, &error("late"), now, PAUSE), "late news");
        assert!(phase.trip(phase.changes(), &error("again"), now, PAUSE));
    }

    #[tokio::test(start_paused = true)]
    async fn probes_are_counted_from_the_beginning_of_each_trouble() {
        let now = Instant::now();
        let mut phase = Phase::new(now);
        for _ in 0..2 {
            phase.trip(phase.changes(), &error("it"), now, PAUSE);
            for expected in 2..5 {
                phase.probe(now, |attempt| {
                    assert_eq!(attempt, expected);
                    PAUSE * attempt
                });
                assert_eq!(phase.next(), now + PAUSE * expected);
            }
            phase.reset(phase.changes());
        }
    }
}
