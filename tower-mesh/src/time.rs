//! Times made of durations that somebody else chose.
//!
//! `Duration::MAX` is how people write "never", and adding it to an instant panics.

use std::time::Duration;

use tokio::time::Instant;

/// Longer than any process runs, and short enough for every clock to reach.
pub(crate) const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// When `after` has passed since `from`; what would be later than every clock is as late as never.
pub(crate) fn later(from: Instant, after: Duration) -> Instant {
    from + after.min(FOREVER)
}
