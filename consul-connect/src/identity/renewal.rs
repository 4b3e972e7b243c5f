//! When to ask for the next leaf: a pure function, so that every rule of it can be tested without a clock.
//!
//! The rules are those Consul's agents follow for the leafs they hand out, because a mesh in which some members renew by
//! other rules herds on the certificate authority (Consul issues 50 leafs per second by default).

use std::time::{Duration, SystemTime};

/// Renewal begins here: this fraction of the lifetime has passed.
const WINDOW_START: f64 = 0.6;
/// And never waits beyond this one.
const WINDOW_END: f64 = 0.9;
/// The spread of re-signing after the active root changed, and the unit of the windows after a rate limit.
const DEFAULT_SPREAD: Duration = Duration::from_secs(30);
/// A root that was not cross-signed is trusted by others only once they have heard of it: no leaf is asked for before.
const SETTLE: Duration = Duration::from_secs(1);
/// Rate-limit windows stop growing here, so that a long outage of the authority does not add hours at its end.
const MAX_WINDOWS: u32 = 10;
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// The least pause between two attempts, whatever else is wanted.
const MIN_PAUSE: Duration = Duration::from_millis(500);

/// Why a leaf is to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The leaf in use grows old.
    Age,
    /// Another root became the active one; the leaf in use was not signed under it.
    RootChanged,
    /// The authority refused for lack of capacity; so many refusals and failures in a row, this one included.
    RateLimited {
        /// Attempts without a leaf in a row.
        errors: u32,
    },
    /// An attempt failed for another reason; so many refusals and failures in a row, this one included.
    Failed {
        /// Attempts without a leaf in a row.
        errors: u32,
    },
}

/// The validity of the leaf in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
}

/// The one choice there is: how far re-signing after a change of the active root is spread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread(pub(crate) Duration);

impl Default for Spread {
    fn default() -> Self {
        Self(DEFAULT_SPREAD)
    }
}

/// How long to wait from `now` until the next attempt.
///
/// `jitter` is uniform in `0..1` and drawn by the caller. `leaf` is `None` before the first leaf.
///
/// Whatever the cause, an attempt after a failure is made before half of the remaining validity has passed, so that there
/// are always several before the leaf expires; once it has expired, attempts go on at the pace of the backoff.
pub(crate) fn wait(
    leaf: Option<Validity>,
    now: SystemTime,
    jitter: f64,
    cause: Cause,
    spread: Spread,
) -> Duration {
    let jitter = if jitter.is_finite() {
        jitter.clamp(0.0, 1.0)
    } else {
        1.0
    };
    match cause {
        Cause::Age => leaf.map_or(Duration::ZERO, |leaf| age(leaf, now, jitter)),
        Cause::RootChanged => {
            let by_age = leaf.map_or(Duration::ZERO, |leaf| age(leaf, now, 1.0));
            let settle = SETTLE.min(spread.0);
            spread.0.mul_f64(jitter).max(settle).min(by_age)
        }
        Cause::RateLimited { errors } => {
            let window = DEFAULT_SPREAD.saturating_mul(errors.clamp(1, MAX_WINDOWS));
            before_expiry(window.mul_f64(jitter).max(FIRST_BACKOFF), leaf, now)
        }
        Cause::Failed { errors } => {
            let doublings = errors.saturating_sub(1).min(16);
            let ceiling = FIRST_BACKOFF
                .saturating_mul(1 << doublings)
                .min(MAX_BACKOFF);
            before_expiry(ceiling.mul_f64(0.5 + 0.5 * jitter), leaf, now)
        }
    }
}

/// A random instant of what is left of the window; at once when nothing is left of it.
fn age(leaf: Validity, now: SystemTime, jitter: f64) -> Duration {
    let Ok(lifetime) = leaf.not_after.duration_since(leaf.not_before) else {
        return Duration::ZERO;
    };
    // A clock behind the authority's sees a leaf that begins in the future: all of its life is still ahead.
    let passed = now
        .duration_since(leaf.not_before)
        .unwrap_or(Duration::ZERO);
    let end = lifetime.mul_f64(WINDOW_END);
    let start = lifetime.mul_f64(WINDOW_START).max(passed);
    if start >= end {
        return Duration::ZERO;
    }
    start + (end - start).mul_f64(jitter) - passed
}

fn before_expiry(delay: Duration, leaf: Option<Validity>, now: SystemTime) -> Duration {
    let left = leaf
        .and_then(|leaf| leaf.not_after.duration_since(now).ok())
        .unwrap_or(Duration::ZERO);
    let delay = if left.is_zero() {
        delay
    } else {
        delay.min(left / 2)
    };
    delay.max(MIN_PAUSE)
}

#[cfg(test)]
mod tests;
