//! How long to leave a failing server alone.
//!
//! Full jitter (every length between a floor and a doubling ceiling is equally likely), because all watches
//! of all processes lose the same server at the same moment. An agent on the same host is asked again within
//! [`LOCAL_CAP`]: nobody else is hurt by it, and what it tells us is missed at once. A server elsewhere is
//! spared up to [`REMOTE_CAP`]; the hub wakes whoever waits as soon as one request succeeds. Where one watch asks for all, the
//! pauses are those between its probes.

use std::time::Duration;

use http::StatusCode;

use crate::Error;

/// What kind of failure it was, as far as the pause after it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No connection. Nothing would be answered, whatever is asked: see [`breaker`](super::breaker).
    Unreachable,
    /// No answer, or one that says the cluster has trouble of its own.
    Away,
    /// The server says it is overloaded: 503.
    Busy,
    /// The server limits our rate, whatever we ask: see [`breaker`](super::breaker).
    Limited,
    /// The mesh CA signs only so many leafs a second, for all who ask it. Nothing else is limited by that, and
    /// another watch's success says nothing about it.
    Rationed,
    /// It understood and said no: a token without the right, a bad filter. Asking again helps only once somebody
    /// has changed something.
    Refused,
}

impl Trouble {
    pub(crate) fn of(error: &Error) -> Self {
        if error.is_rate_limited() {
            let by_the_ca = error
                .server_message()
                .is_some_and(|text| text.contains("Rate limit reached"));
            return if by_the_ca {
                Self::Rationed
            } else {
                Self::Limited
            };
        }
        if error.is_connect() {
            return Self::Unreachable;
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
        !matches!(self, Self::Limited | Self::Rationed)
    }
}

/// The pauses between attempts at one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    cap: Duration,
    unreachable_cap: Duration,
    limited: (Duration, Duration),
}

impl Backoff {
    /// For an agent on this host (`local`), or a server anywhere else.
    pub(crate) fn new(local: bool) -> Self {
        if local {
            Self {
                cap: LOCAL_CAP,
                unreachable_cap: LOCAL_CAP,
                limited: (LIMITED_FLOOR, LIMITED_LOCAL_CAP),
            }
        } else {
            Self {
                cap: REMOTE_CAP,
                unreachable_cap: UNREACHABLE_REMOTE_CAP,
                limited: (RATIONED_FLOOR, REMOTE_CAP),
            }
        }
    }

    /// The pause after the `failures`-th failure in a row (the first is 1). `random` is uniform in `0.0..1.0`.
    pub(crate) fn delay(self, failures: u32, trouble: Trouble, random: f64) -> Duration {
        let (floor, cap) = match trouble {
            Trouble::Unreachable => (UNREACHABLE_FLOOR, self.unreachable_cap),
            Trouble::Away => (Duration::ZERO, self.cap),
            Trouble::Busy => (BUSY_FLOOR, self.cap),
            Trouble::Limited => self.limited,
            Trouble::Rationed => (RATIONED_FLOOR, REMOTE_CAP),
            Trouble::Refused => (REFUSED_FLOOR, self.cap.max(REFUSED_CAP)),
        };
        // 2^20 × 100 ms is above every cap, and far from an overflow.
        let doublings = failures.saturating_sub(1).min(20);
        let spread = match trouble {
            Trouble::Unreachable => UNREACHABLE_BASE * ((1 << doublings) - 1),
            _ => floor.max(BASE).saturating_mul(1 << doublings),
        };
        let spread = spread.min(cap.saturating_sub(floor));
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

/// The first attempt follows within a quarter of a second, and all watches of a process together do not connect more often than
/// four times a second.
const UNREACHABLE_FLOOR: Duration = Duration::from_millis(250);

/// How far the second pause may reach above the floor. Processes are apart by the moments at which their connections broke.
const UNREACHABLE_BASE: Duration = Duration::from_millis(50);

/// One attempt that is for all watches of a process may come more often than each of theirs.
const UNREACHABLE_REMOTE_CAP: Duration = Duration::from_secs(5);

/// A 503 is also what a client agent answers in the moment its server goes away, so the floor is short.
const BUSY_FLOOR: Duration = Duration::from_millis(250);

/// About a second gives back something at any rate at all.
const LIMITED_FLOOR: Duration = Duration::from_millis(750);

/// One request a second for the whole process is less than any of its watches costs when all is well.
const LIMITED_LOCAL_CAP: Duration = Duration::from_secs(1);

/// A server elsewhere is asked by many processes, and so is the CA behind any agent.
const RATIONED_FLOOR: Duration = Duration::from_secs(1);

const REFUSED_FLOOR: Duration = Duration::from_millis(500);

/// A new token is noticed at once; this bounds how long a right given to the *same* token goes unnoticed.
const REFUSED_CAP: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Kind;

    const ALL: [Trouble; 6] = [
        Trouble::Unreachable,
        Trouble::Away,
        Trouble::Busy,
        Trouble::Limited,
        Trouble::Rationed,
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
    fn a_server_out_of_reach_is_tried_within_a_quarter_of_a_second_and_never_more_often() {
        for local in [true, false] {
            let pause = |n, random| Backoff::new(local).delay(n, Trouble::Unreachable, random);
            assert_eq!(pause(1, 1.0), Duration::from_millis(250));
            for n in [1, 2, 3, 10, u32::MAX] {
                assert_eq!(pause(n, 0.0), Duration::from_millis(250));
            }
        }
        let longest = |local| Backoff::new(local).delay(u32::MAX, Trouble::Unreachable, 1.0);
        assert_eq!(longest(true), LOCAL_CAP);
        assert_eq!(longest(false), UNREACHABLE_REMOTE_CAP);
    }

    #[test]
    fn full_jitter_reaches_from_the_floor_to_the_ceiling() {
        let backoff = Backoff::new(true);
        assert_eq!(backoff.delay(5, Trouble::Away, 0.0), Duration::ZERO);
        assert_eq!(backoff.delay(5, Trouble::Away, 0.5), LOCAL_CAP / 2);
        assert_eq!(backoff.delay(9, Trouble::Limited, 0.0), LIMITED_FLOOR);
    }

    #[test]
    fn a_limited_server_elsewhere_is_left_alone_for_longer_and_longer() {
        let limited = |local, random| Backoff::new(local).delay(10, Trouble::Limited, random);
        assert_eq!(limited(true, 1.0), LIMITED_LOCAL_CAP);
        assert_eq!(limited(false, 0.0), RATIONED_FLOOR);
        assert_eq!(limited(false, 1.0), REMOTE_CAP);
    }

    #[test]
    fn the_limit_of_the_ca_is_no_limit_for_everything() {
        let error = |text: &str| {
            Error::new(Kind::Api, "reading /v1/agent/connect/ca/leaf/web")
                .with_status(StatusCode::TOO_MANY_REQUESTS)
                .with_message(text)
        };
        let ca = Trouble::of(&error("Rate limit reached, try again later"));
        assert_eq!(ca, Trouble::Rationed);
        assert_eq!(Backoff::new(true).delay(10, ca, 1.0), REMOTE_CAP);
        let all = "rate limit exceeded, try again later or against a different server";
        assert_eq!(Trouble::of(&error(all)), Trouble::Limited);
        assert!(!ca.ends_with_any_success() && !Trouble::Limited.ends_with_any_success());
    }

    proptest! {
        #[test]
        fn every_pause_lies_between_its_floor_and_its_cap(failures in any::<u32>(), local: bool, random in 0.0..1.0f64, which in 0usize..6) {
            let trouble = ALL[which];
            let backoff = Backoff::new(local);
            let delay = backoff.delay(failures, trouble, random);
            prop_assert!(delay >= backoff.delay(failures, trouble, 0.0));
            prop_assert!(delay <= backoff.delay(failures, trouble, 1.0));
            prop_assert!(delay <= REMOTE_CAP);
            if local && matches!(trouble, Trouble::Unreachable | Trouble::Away | Trouble::Busy) {
                prop_assert!(delay <= LOCAL_CAP);
            }
        }
    }
}
