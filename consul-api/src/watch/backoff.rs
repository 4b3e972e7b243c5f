//! How long to leave a failing server alone.
//!
//! Full jitter (every length between a floor and a doubling ceiling is equally likely), because all watches
//! of all processes lose the same server at the same moment. An agent on the same host is asked again within
//! [`LOCAL_CAP`]: nobody else is hurt by it, and what it tells us is missed at once. A server elsewhere is
//! spared up to [`REMOTE_CAP`]; the hub wakes whoever waits as soon as one request succeeds.

use std::time::Duration;

use http::StatusCode;

use crate::Error;

/// What kind of failure it was, as far as the pause after it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No answer, or one that says the cluster has trouble of its own.
    Away,
    /// The server says it is overloaded: 503.
    Busy,
    /// The server limits our rate. Another watch's success is no reason to go on.
    Limited,
    /// It understood and said no: a token without the right, a bad filter. Asking again helps only once somebody
    /// has changed something.
    Refused,
}

impl Trouble {
    pub(crate) fn of(error: &Error) -> Self {
        if error.is_rate_limited() {
            return Self::Limited;
        }
        match error.status() {
            Some(StatusCode::SERVICE_UNAVAILABLE) => Self::Busy,
            Some(status) if status.is_client_error() => Self::Refused,
            // Nothing was sent, and nothing will be until somebody acts.
            None if error.is_config()
                || error.is_invalid_request()
                || error.is_plaintext_refused() =>
            {
                Self::Refused
            }
            _ => Self::Away,
        }
    }

    /// Whether another watch's success suggests that this one would succeed too.
    pub(crate) fn ends_with_any_success(self) -> bool {
        self != Self::Limited
    }
}

/// The pauses between attempts at one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    cap: Duration,
}

impl Backoff {
    /// For an agent on this host (`local`), or a server anywhere else.
    pub(crate) fn new(local: bool) -> Self {
        Self {
            cap: if local { LOCAL_CAP } else { REMOTE_CAP },
        }
    }

    /// The pause after the `failures`-th failure in a row (the first is 1). `random` is uniform in `0.0..1.0`.
    pub(crate) fn delay(self, failures: u32, trouble: Trouble, random: f64) -> Duration {
        let (floor, cap) = match trouble {
            Trouble::Away => (Duration::ZERO, self.cap),
            Trouble::Busy => (BUSY_FLOOR, self.cap),
            Trouble::Limited => (LIMITED_FLOOR, REMOTE_CAP),
            Trouble::Refused => (REFUSED_FLOOR, self.cap.max(REFUSED_CAP)),
        };
        // 2^20 × 100 ms is above every cap, and far from an overflow.
        let doublings = failures.saturating_sub(1).min(20);
        let spread = floor
            .max(BASE)
            .saturating_mul(1 << doublings)
            .min(cap.saturating_sub(floor));
        floor + spread.mul_f64(random.clamp(0.0, 1.0))
    }
}

/// How far the first pause may reach above its floor.
const BASE: Duration = Duration::from_millis(100);

/// Longest pause for an agent on this host: with the request itself, a watch is live again within two seconds
/// of the agent.
pub(crate) const LOCAL_CAP: Duration = Duration::from_millis(1500);

/// Longest pause for a server elsewhere.
pub(crate) const REMOTE_CAP: Duration = Duration::from_secs(30);

/// A 503 is also what a client agent answers in the moment its server goes away, so the floor is short.
const BUSY_FLOOR: Duration = Duration::from_millis(250);

/// Consul's limiter holds ten times its rate, so a second gives back something at any rate at all.
const LIMITED_FLOOR: Duration = Duration::from_secs(1);

const REFUSED_FLOOR: Duration = Duration::from_millis(500);

/// A new token is noticed at once; this bounds how long a right given to the *same* token goes unnoticed.
const REFUSED_CAP: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Trouble; 4] = [
        Trouble::Away,
        Trouble::Busy,
        Trouble::Limited,
        Trouble::Refused,
    ];

    #[test]
    fn the_ceiling_doubles_up_to_the_cap() {
        let ceilings: Vec<u128> = (1..=6)
            .map(|n| Backoff::new(true).delay(n, Trouble::Away, 1.0).as_millis())
            .collect();
        assert_eq!(ceilings, [100, 200, 400, 800, 1500, 1500]);
        assert_eq!(
            Backoff::new(false).delay(u32::MAX, Trouble::Away, 1.0),
            REMOTE_CAP
        );
    }

    #[test]
    fn full_jitter_reaches_from_the_floor_to_the_ceiling() {
        let backoff = Backoff::new(true);
        assert_eq!(backoff.delay(5, Trouble::Away, 0.0), Duration::ZERO);
        assert_eq!(backoff.delay(5, Trouble::Away, 0.5), LOCAL_CAP / 2);
        assert_eq!(backoff.delay(9, Trouble::Limited, 0.0), LIMITED_FLOOR);
    }

    #[test]
    fn a_rate_limit_is_honoured_by_local_watches_too() {
        assert_eq!(
            Backoff::new(true).delay(10, Trouble::Limited, 1.0),
            REMOTE_CAP
        );
        assert!(!Trouble::Limited.ends_with_any_success());
    }

    proptest! {
        #[test]
        fn every_pause_lies_between_its_floor_and_its_cap(failures in any::<u32>(), local: bool, random in 0.0..1.0f64, which in 0usize..4) {
            let trouble = ALL[which];
            let backoff = Backoff::new(local);
            let delay = backoff.delay(failures, trouble, random);
            prop_assert!(delay >= backoff.delay(failures, trouble, 0.0));
            prop_assert!(delay <= backoff.delay(failures, trouble, 1.0));
            prop_assert!(delay <= REMOTE_CAP);
            if local && matches!(trouble, Trouble::Away | Trouble::Busy) {
                prop_assert!(delay <= LOCAL_CAP);
            }
        }
    }
}
