//! When keys are fetched again.

use std::time::Duration;

use super::source::Remote;

/// How long to wait after each fetch.
#[derive(Debug)]
pub(super) struct Pace {
    cache: Duration,
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Pace {
    pub(super) fn new(remote: &Remote) -> Self {
        let (first, longest) = remote.back_off;
        Self {
            cache: remote.cache,
            first,
            longest,
            failures: 0,
        }
    }

    /// After a success. `random` is in 0..1: instances of a service should not all come at once.
    pub(super) fn succeeded(&mut self, random: f64) -> Duration {
        self.failures = 0;
        self.cache.mul_f64(1.0 - random / 10.0)
    }

    /// After a failure: twice as long each time, up to the longest. There is no last attempt, because no request waits for it.
    pub(super) fn failed(&mut self, random: f64) -> Duration {
        let doubled = 2_u32.saturating_pow(self.failures);
        self.failures = self.failures.saturating_add(1);
        let pause = self.first.saturating_mul(doubled).min(self.longest);
        pause.mul_f64(1.0 - random / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pace() -> Pace {
        Pace {
            cache: SECOND * 300,
            first: SECOND,
            longest: SECOND * 10,
            failures: 0,
        }
    }

    #[test]
    fn failures_are_further_apart_each_time_up_to_the_longest_pause() {
        let mut pace = pace();
        let pauses: Vec<u64> = (0..6).map(|_| pace.failed(0.0).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
        for _ in 0..100 {
            assert_eq!(pace.failed(0.0), SECOND * 10);
        }
        assert_eq!(pace.failed(1.0), SECOND * 5);
    }

    #[test]
    fn a_success_begins_anew() {
        let mut pace = pace();
        pace.failed(0.0);
        pace.failed(0.0);
        assert_eq!(pace.succeeded(0.0), SECOND * 300);
        assert_eq!(pace.succeeded(1.0), SECOND * 270);
        assert_eq!(pace.failed(0.0), SECOND);
    }
}
