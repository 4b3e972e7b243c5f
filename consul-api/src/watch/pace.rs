//! How often one watch may ask.
//!
//! A table every write of a datacenter touches wakes a blocking query hundreds of times a second. The watch
//! then sees every fourth state of the first second and one a second after that: it is never more than a
//! second behind, and the agent serves one request.

use std::time::Duration;

/// A token bucket that holds [`BURST`] requests and gains one each [`EVERY`].
///
/// Time is whatever the caller counts from, so that the arithmetic needs no clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pace {
    /// When the bucket will be full again, if nothing else is taken.
    full_at: Duration,
}

impl Pace {
    /// Takes one request out of the bucket and says how long after `now` it may be sent.
    pub(crate) fn take(&mut self, now: Duration) -> Duration {
        let earliest = self.full_at.saturating_sub(EVERY * (BURST - 1));
        let start = now.max(earliest);
        self.full_at = self.full_at.max(start) + EVERY;
        start - now
    }
}

/// Requests that may follow each other at once: the first answer and a few changes close together.
const BURST: u32 = 4;

/// The steady rate.
const EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The times at which requests start that are each wanted `gap` after the one before.
    fn starts(gaps: &[u64]) -> Vec<Duration> {
        let mut pace = Pace::default();
        let mut now = Duration::ZERO;
        let mut starts = Vec::new();
        for &gap in gaps {
            now += Duration::from_millis(gap);
            now += pace.take(now);
            starts.push(now);
        }
        starts
    }

    #[test]
    fn four_in_the_first_second_then_one_a_second() {
        let starts = starts(&[0; 8]);
        let seconds: Vec<f64> = starts.iter().map(Duration::as_secs_f64).collect();
        assert_eq!(seconds, [0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn a_quiet_watch_is_never_held_back() {
        let starts = starts(&[1000; 50]);
        assert_eq!(starts.last(), Some(&Duration::from_secs(50)));
    }

    proptest! {
        #[test]
        fn no_window_holds_more_than_the_burst_and_the_rate(gaps in prop::collection::vec(0u64..3000, 1..120), window in 0u64..20_000) {
            let starts = starts(&gaps);
            let window = Duration::from_millis(window);
            for (first, &from) in starts.iter().enumerate() {
                let inside = starts[first..].iter().take_while(|&&start| start < from + window).count() as u64;
                prop_assert!(inside <= u64::from(BURST) + window.as_secs(), "{inside} requests within {window:?}");
            }
        }

        #[test]
        fn the_wait_is_never_longer_than_one_interval(gaps in prop::collection::vec(0u64..3000, 1..120)) {
            let mut pace = Pace::default();
            let mut now = Duration::ZERO;
            for gap in gaps {
                now += Duration::from_millis(gap);
                let wait = pace.take(now);
                prop_assert!(wait <= EVERY);
                now += wait;
            }
        }
    }
}
