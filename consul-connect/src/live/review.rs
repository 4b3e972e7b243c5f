//! What becomes of one connection. Pure: facts and the present in, an action out.

use std::time::Duration;

use tokio::time::Instant;

use super::connection::{Phase, Timers};
use crate::{InvalidPeer, Reason, Verdict, time::after};

/// What a connection carries, which decides how a denial reaches it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layer {
    /// A byte stream: it is allowed or closed.
    #[default]
    Connection,
    /// Requests: each is decided by itself, and answered in its own protocol.
    Request,
}

/// How long what must end may take.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Grace {
    /// From a rule that denies a connection carrying requests until it is drained. Its requests are refused at once; this
    /// is for streams that were open before. Default 5 s.
    pub denied: Duration,
    /// From the beginning of a drain until the cut. Default 10 s.
    pub drain: Duration,
}

impl Default for Grace {
    fn default() -> Self {
        Self {
            denied: Duration::from_secs(5),
            drain: Duration::from_secs(10),
        }
    }
}

/// The present, as far as one connection is concerned. `None`: not asked this time, nothing changed.
pub(super) struct Present {
    pub(super) now: Instant,
    /// How long the earlier of the two leafs in it is still valid; zero if it is not.
    pub(super) valid_for: Duration,
    /// How long what is above the peer's leaf is still valid; zero if it is not.
    pub(super) anchored_for: Duration,
    /// Whether the roots still anchor the peer's chain.
    pub(super) anchored: Option<Result<(), InvalidPeer>>,
    pub(super) verdict: Option<Verdict>,
}

#[derive(Debug)]
pub(super) enum Action {
    Keep,
    Drain { reason: Reason, cut_at: Instant },
    Cut { reason: Reason },
}

/// The action, the timers to remember, and when to look again.
pub(super) fn review(
    phase: &Phase,
    mut timers: Timers,
    present: Present,
    layer: Layer,
    grace: Grace,
) -> (Action, Timers, Option<Instant>) {
    let Present {
        now,
        valid_for,
        anchored_for,
        anchored,
        verdict,
    } = present;
    let done = |action| (action, Timers::default(), None);
    match anchored {
        None | Some(Ok(())) => {}
        // The leaf's own expiry drains. Any other expired certificate in the chain is no excuse for a lost anchor.
        Some(Err(InvalidPeer::Expired { .. })) if valid_for.is_zero() => {}
        Some(Err(refusal)) => {
            let text = format!("the peer is no longer trusted: {refusal}");
            return done(Action::Cut {
                reason: Reason::new("roots", text),
            });
        }
    }
    match (verdict, layer) {
        (None, _) => {}
        (Some(Verdict::Allow(_)), _) | (Some(Verdict::PerRequest), Layer::Request) => {
            timers.denied = None;
        }
        (Some(Verdict::PerRequest), Layer::Connection) => {
            return done(Action::Cut {
                reason: NO_REQUESTS,
            });
        }
        (Some(Verdict::Deny(reason)), Layer::Connection) => return done(Action::Cut { reason }),
        (Some(Verdict::Deny(reason)), Layer::Request) => {
            timers.denied.get_or_insert((now, reason));
        }
    }
    let drain_at = timers
        .denied
        .as_ref()
        .map(|(since, _)| after(*since, grace.denied));
    match phase {
        Phase::Cut { .. } => return done(Action::Keep),
        Phase::Draining { reason, cut_at } if *cut_at <= now => {
            return done(Action::Cut {
                reason: reason.clone(),
            });
        }
        Phase::Draining { cut_at, .. } => return (Action::Keep, timers, Some(*cut_at)),
        Phase::Open => {}
    }
    let cut_at = after(now, grace.drain);
    if valid_for.is_zero() {
        return (
            Action::Drain {
                reason: EXPIRED,
                cut_at,
            },
            timers,
            Some(cut_at),
        );
    }
    if let (Some(at), Some((_, reason))) = (drain_at, &timers.denied)
        && at <= now
    {
        let reason = reason.clone();
        return (Action::Drain { reason, cut_at }, timers, Some(cut_at));
    }
    // Wall clocks jump, and a long sleep would not notice. What was anchored by others after its root had expired is looked
    // at in the same rhythm.
    let ends = [valid_for, anchored_for];
    let ends = ends.into_iter().filter(|end| !end.is_zero());
    let expiry = after(now, ends.fold(LOOK_AGAIN, Duration::min));
    let next = drain_at.map_or(expiry, |at| at.min(expiry));
    (Action::Keep, timers, Some(next))
}

/// Everything is looked at this often at least.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
const EXPIRED: Reason = Reason::fixed(
    "expired",
    "one of the two leafs of the connection has expired",
);
pub(super) const NO_REQUESTS: Reason = Reason::fixed(
    "per_request",
    "only requests can be decided for this caller, and a byte stream has none: use a service with an HTTP protocol, or rules without permissions",
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Permit;

    const GRACE: Grace = Grace {
        denied: Duration::from_secs(5),
        drain: Duration::from_secs(10),
    };
    const DENIED: Reason = Reason::fixed("intention", "no");

    fn present(now: Instant) -> Present {
        Present {
            now,
            valid_for: Duration::from_secs(3600),
            anchored_for: Duration::from_secs(3600),
            anchored: None,
            verdict: None,
        }
    }

    fn allowed() -> Option<Verdict> {
        Some(Verdict::Allow(Permit::by_default()))
    }

    #[test]
    fn a_byte_stream_is_cut_by_the_first_denial() {
        let now = Instant::now();
        let denied = Present {
            verdict: Some(Verdict::Deny(DENIED)),
            ..present(now)
        };
        let (action, ..) = review(
            &Phase::Open,
            Timers::default(),
            denied,
            Layer::Connection,
            GRACE,
        );
        assert!(matches!(action, Action::Cut { reason } if reason.code() == "intention"));
    }

    #[test]
    fn requests_are_drained_only_after_the_grace_and_not_if_allowed_again_within_it() {
        let now = Instant::now();
        let denied = Present {
            verdict: Some(Verdict::Deny(DENIED)),
            ..present(now)
        };
        let (action, timers, next) = review(
            &Phase::Open,
            Timers::default(),
            denied,
            Layer::Request,
            GRACE,
        );
        assert!(matches!(action, Action::Keep));
        assert_eq!(next, Some(now + GRACE.denied));

        let later = now + GRACE.denied;
        let (action, ..) = review(
            &Phase::Open,
            timers.clone(),
            present(later),
            Layer::Request,
            GRACE,
        );
        assert!(matches!(action, Action::Drain { cut_at, .. } if cut_at == later + GRACE.drain));

        let again = Present {
            verdict: allowed(),
            ..present(later)
        };
        let (action, timers, _) = review(&Phase::Open, timers, again, Layer::Request, GRACE);
        assert!(matches!(action, Action::Keep) && timers.denied.is_none());
    }

    #[test]
    fn lost_trust_cuts_whatever_the_layer_and_an_expiry_drains() {
        let now = Instant::now();
        for layer in [Layer::Connection, Layer::Request] {
            let lost = Present {
                anchored: Some(Err(InvalidPeer::NoCertificate)),
                ..present(now)
            };
            let (action, ..) = review(&Phase::Open, Timers::default(), lost, layer, GRACE);
            assert!(matches!(action, Action::Cut { reason } if reason.code() == "roots"));

            let expired = Present {
                valid_for: Duration::ZERO,
                anchored: Some(Err(InvalidPeer::Expired {
                    since: Duration::ZERO,
                })),
                ..present(now)
            };
            let (action, ..) = review(&Phase::Open, Timers::default(), expired, layer, GRACE);
            assert!(matches!(action, Action::Drain { reason, .. } if reason.code() == "expired"));
        }
    }

    #[test]
    fn a_connection_is_looked_at_when_its_root_expires_and_then_each_minute() {
        let now = Instant::now();
        let next_look = |anchored_for| {
            let present = Present {
                anchored_for: Duration::from_secs(anchored_for),
                anchored: Some(Ok(())),
                ..present(now)
            };
            let (open, timers) = (Phase::Open, Timers::default());
            let (_, _, next) = review(&open, timers, present, Layer::Request, GRACE);
            next.map(|at| (at - now).as_secs())
        };
        assert_eq!(next_look(7), Some(7));
        assert_eq!(next_look(0), Some(60), "another root anchors it");
    }

    #[test]
    fn a_drain_ends_in_a_cut_at_its_deadline() {
        let now = Instant::now();
        let phase = Phase::Draining {
            reason: EXPIRED,
            cut_at: now + GRACE.drain,
        };
        let (action, _, next) = review(
            &phase,
            Timers::default(),
            present(now),
            Layer::Request,
            GRACE,
        );
        assert!(matches!(action, Action::Keep));
        assert_eq!(next, Some(now + GRACE.drain));
        let (action, ..) = review(
            &phase,
            Timers::default(),
            present(now + GRACE.drain),
            Layer::Request,
            GRACE,
        );
        assert!(matches!(action, Action::Cut { .. }));
    }

    #[test]
    fn a_byte_stream_that_could_only_be_decided_per_request_is_cut() {
        let verdict = Present {
            verdict: Some(Verdict::PerRequest),
            ..present(Instant::now())
        };
        let (action, ..) = review(
            &Phase::Open,
            Timers::default(),
            verdict,
            Layer::Connection,
            GRACE,
        );
        assert!(matches!(action, Action::Cut { reason } if reason.code() == "per_request"));
    }
}
