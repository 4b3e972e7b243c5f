//! Sums of times that configuration, Consul or a certificate had a say in. They end at a time that never comes instead of
//! in a panic.

use std::time::Duration;
#[cfg(feature = "grpc")]
use std::time::SystemTime;

use tokio::time::Instant;

/// Longer than any process lives, and short enough for every platform's clock.
const NEVER: Duration = Duration::from_secs(30 * 365 * 86_400);

/// `at + by`, at most thirty years after `at`.
pub(crate) fn after(at: Instant, by: Duration) -> Instant {
    let by = by.min(NEVER);
    at.checked_add(by).unwrap_or(at)
}

/// The same on the wall clock.
#[cfg(feature = "grpc")]
pub(crate) fn wall_after(at: SystemTime, by: Duration) -> SystemTime {
    let by = by.min(NEVER);
    at.checked_add(by).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_that_no_clock_can_hold_is_a_time_that_never_comes() {
        let now = Instant::now();
        assert_eq!(after(now, Duration::MAX), now + NEVER);
        assert_eq!(
            after(now, Duration::from_secs(5)),
            now + Duration::from_secs(5)
        );
    }
}
