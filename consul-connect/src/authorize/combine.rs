//! Two policies as one.

use http::request::Parts;

use super::{Authorize, Caller, Changes, Decision, Verdict};
use crate::jwt::RequestEdits;

/// Allows what both allow. Made by [`Authorize::and`].
///
/// The second is asked only about what the first allows. A denial is that of whichever denies; the permit names the rule of
/// the first, where it has one.
#[derive(Clone, Debug)]
pub struct And<A, B> {
    first: A,
    second: B,
}

impl<A, B> And<A, B> {
    pub(super) fn new(first: A, second: B) -> Self {
        Self { first, second }
    }
}

impl<A: Authorize, B: Authorize> Authorize for And<A, B> {
    fn connection(&self, caller: Caller<'_>) -> Verdict {
        let first = self.first.connection(caller);
        if let Verdict::Deny(_) = first {
            return first;
        }
        match (first, self.second.connection(caller)) {
            (_, denied @ Verdict::Deny(_)) => denied,
            (Verdict::Allow(first), Verdict::Allow(second)) => Verdict::Allow(first.and(second)),
            (_, _) => Verdict::PerRequest,
        }
    }

    fn request(&self, caller: Caller<'_>, head: &Parts) -> Decision {
        match self.first.request(caller, head) {
            Decision::Deny(reason) => Decision::Deny(reason),
            Decision::Allow(first) => match self.second.request(caller, head) {
                Decision::Deny(reason) => Decision::Deny(reason),
                Decision::Allow(second) => Decision::Allow(first.and(second)),
            },
        }
    }

    fn edits(&self, head: &Parts) -> RequestEdits {
        self.first.edits(head).and(self.second.edits(head))
    }

    fn changes(&self) -> Changes {
        self.first.changes().and(self.second.changes())
    }
}

/// Allows what either allows. Made by [`Authorize::or`].
///
/// The second is asked only about what the first does not allow. If both deny, the denial is that of the first. Whichever
/// allows, the [edits](Authorize::edits) of both are made.
#[derive(Clone, Debug)]
pub struct Or<A, B> {
    first: A,
    second: B,
}

impl<A, B> Or<A, B> {
    pub(super) fn new(first: A, second: B) -> Self {
        Self { first, second }
    }
}

impl<A: Authorize, B: Authorize> Authorize for Or<A, B> {
    fn connection(&self, caller: Caller<'_>) -> Verdict {
        let first = self.first.connection(caller);
        if let Verdict::Allow(_) = first {
            return first;
        }
        match (first, self.second.connection(caller)) {
            (_, allowed @ Verdict::Allow(_)) => allowed,
            (denied @ Verdict::Deny(_), Verdict::Deny(_)) => denied,
            (_, _) => Verdict::PerRequest,
        }
    }

    fn request(&self, caller: Caller<'_>, head: &Parts) -> Decision {
        match self.first.request(caller, head) {
            Decision::Allow(permit) => Decision::Allow(permit.edited(self.second.edits(head))),
            Decision::Deny(reason) => match self.second.request(caller, head) {
                Decision::Allow(permit) => Decision::Allow(permit.edited(self.first.edits(head))),
                Decision::Deny(_) => Decision::Deny(reason),
            },
        }
    }

    fn edits(&self, head: &Parts) -> RequestEdits {
        self.first.edits(head).and(self.second.edits(head))
    }

    fn changes(&self) -> Changes {
        self.first.changes().and(self.second.changes())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Permit, Reason, from_fn, per_request};
    use super::*;

    const YES: fn() -> Decision = || Decision::Allow(Permit::by_default());
    const NO: fn() -> Decision = || Decision::Deny(Reason::fixed("no", "no"));
    const OTHER_NO: fn() -> Decision = || Decision::Deny(Reason::fixed("other", "no as well"));

    fn always(decision: fn() -> Decision) -> impl Authorize {
        from_fn(move |_caller, _head| decision())
    }

    fn requests(decision: fn() -> Decision) -> impl Authorize {
        per_request(move |_caller, _head| decision())
    }

    fn verdict(policy: &impl Authorize) -> String {
        match policy.connection(Caller::Unauthenticated) {
            Verdict::Allow(_) => "allow".into(),
            Verdict::Deny(reason) => reason.code().into(),
            Verdict::PerRequest => "per request".into(),
        }
    }

    fn decision(policy: &impl Authorize) -> String {
        let (head, ()) = http::Request::new(()).into_parts();
        match policy.request(Caller::Unauthenticated, &head) {
            Decision::Allow(_) => "allow".into(),
            Decision::Deny(reason) => reason.code().into(),
        }
    }

    #[test]
    fn and_allows_what_both_allow() {
        for (first, second, expected) in [
            (YES, YES, "allow"),
            (YES, NO, "no"),
            (NO, YES, "no"),
            (NO, OTHER_NO, "no"),
        ] {
            let both = always(first).and(always(second));
            assert_eq!(
                (verdict(&both), decision(&both)),
                (expected.into(), expected.into())
            );
        }
        let both = always(YES).and(requests(NO));
        assert_eq!((&*verdict(&both), &*decision(&both)), ("per request", "no"));
        let both = requests(YES).and(always(NO));
        assert_eq!((&*verdict(&both), &*decision(&both)), ("no", "no"));
    }

    #[test]
    fn or_allows_what_either_allows() {
        for (first, second, expected) in [
            (YES, NO, "allow"),
            (NO, YES, "allow"),
            (YES, YES, "allow"),
            (NO, OTHER_NO, "no"),
        ] {
            let either = always(first).or(always(second));
            assert_eq!(
                (verdict(&either), decision(&either)),
                (expected.into(), expected.into())
            );
        }
        let either = always(NO).or(requests(YES));
        assert_eq!(
            (&*verdict(&either), &*decision(&either)),
            ("per request", "allow")
        );
        let either = requests(NO).or(always(YES));
        assert_eq!(
            (&*verdict(&either), &*decision(&either)),
            ("allow", "allow")
        );
    }

    #[test]
    fn whichever_allows_the_edits_of_both_are_made() {
        struct Edits(fn() -> Decision);
        impl Authorize for Edits {
            fn connection(&self, _caller: Caller<'_>) -> Verdict {
                Verdict::PerRequest
            }
            fn request(&self, _caller: Caller<'_>, head: &Parts) -> Decision {
                match (self.0)() {
                    Decision::Allow(permit) => Decision::Allow(permit.edited(self.edits(head))),
                    denied @ Decision::Deny(_) => denied,
                }
            }
            fn edits(&self, _head: &Parts) -> RequestEdits {
                RequestEdits::removing("x-claims")
            }
        }
        let (head, ()) = http::Request::get("/")
            .header("x-claims", "forged")
            .body(())
            .expect("a request")
            .into_parts();
        for (what, policy) in [
            (
                "denied by it",
                Arc::new(Edits(NO).or(always(YES))) as Arc<dyn Authorize>,
            ),
            ("not asked", Arc::new(always(YES).or(Edits(NO)))),
            ("allowed by it", Arc::new(Edits(YES).or(always(NO)))),
            ("both", Arc::new(always(YES).and(Edits(YES)))),
            ("deeper", Arc::new(always(NO).or(Edits(NO).or(always(YES))))),
        ] {
            let Decision::Allow(permit) = policy.request(Caller::Unauthenticated, &head) else {
                panic!("{what}: denied")
            };
            let mut head = head.clone();
            permit.edits().apply(&mut head);
            assert!(head.headers.is_empty(), "{what}");
        }
    }

    #[tokio::test]
    async fn a_combination_changes_with_each_of_its_parts() {
        use futures_util::FutureExt as _;

        struct Changing(tokio::sync::watch::Sender<u64>);
        impl Authorize for Changing {
            fn connection(&self, _caller: Caller<'_>) -> Verdict {
                Verdict::PerRequest
            }
            fn request(&self, _caller: Caller<'_>, _head: &Parts) -> Decision {
                YES()
            }
            fn changes(&self) -> Changes {
                self.0.subscribe().into()
            }
        }
        let (one, other) = (
            tokio::sync::watch::Sender::new(0),
            tokio::sync::watch::Sender::new(0),
        );
        let policy = Changing(one.clone())
            .and(always(YES))
            .or(Changing(other.clone()));
        let mut changes = policy.changes();
        assert!(changes.changed().now_or_never().is_none());
        for sender in [&one, &other] {
            sender.send_replace(1);
            assert!(changes.changed().now_or_never().is_some());
        }
    }
}
