//! What there has to be before a caller is decided about as Consul would: the intentions, and the default policy.

use consul_api::Error;

/// How far the first answers have come.
#[derive(Clone, Debug)]
pub(super) struct Start {
    intentions: List,
    default: Policy,
}

#[derive(Clone, Debug)]
enum List {
    Waiting,
    Received,
    Refused(Error),
}

/// The default policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Waiting,
    /// Asked for in vain. Until it is known it is `deny`.
    Tried,
    Known,
}

/// What whoever waits for the first answers is told.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    Waiting,
    /// The intentions are there. Waiting on is worth a while and no more.
    DefaultMissing,
    Ready,
    Refused(Error),
}

impl Start {
    pub(super) fn new(default_is_given: bool) -> Self {
        Self {
            intentions: List::Waiting,
            default: if default_is_given {
                Policy::Known
            } else {
                Policy::Waiting
            },
        }
    }

    /// Notes an answer with the intentions. Returns whether it is the first.
    pub(super) fn received(&mut self) -> bool {
        if matches!(self.intentions, List::Received) {
            return false;
        }
        self.intentions = List::Received;
        if self.default == Policy::Tried {
            // Who could not be asked before is there now, and the first answer has it asked again.
            self.default = Policy::Waiting;
        }
        true
    }

    /// Notes that the intentions may not be read. Returns whether somebody was waiting for them.
    pub(super) fn refused(&mut self, error: Error) -> bool {
        let waiting = matches!(self.intentions, List::Waiting);
        if waiting {
            self.intentions = List::Refused(error);
        }
        waiting
    }

    /// Notes that the default was asked for, and whether it is known now. Returns whether somebody was waiting for it.
    pub(super) fn asked_for_default(&mut self, known: bool) -> bool {
        let waiting = self.default == Policy::Waiting;
        if known {
            self.default = Policy::Known;
        } else if waiting {
            self.default = Policy::Tried;
        }
        waiting
    }

    pub(super) fn stage(&self) -> Stage {
        match (&self.intentions, self.default) {
            (List::Waiting, _) => Stage::Waiting,
            (List::Refused(error), _) => Stage::Refused(error.clone()),
            (List::Received, Policy::Waiting) => Stage::DefaultMissing,
            (List::Received, Policy::Tried | Policy::Known) => Stage::Ready,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_intentions_and_the_default_are_waited_for_in_any_order() {
        for default_first in [true, false] {
            let mut start = Start::new(false);
            assert!(matches!(start.stage(), Stage::Waiting));
            if default_first {
                assert!(start.asked_for_default(true));
                assert!(matches!(start.stage(), Stage::Waiting));
            } else {
                assert!(start.received());
                assert!(matches!(start.stage(), Stage::DefaultMissing));
            }
            assert!(start.received() == default_first);
            assert!(start.asked_for_default(true) != default_first);
            assert!(matches!(start.stage(), Stage::Ready));
        }
    }

    #[test]
    fn a_default_that_is_given_is_not_waited_for() {
        let mut start = Start::new(true);
        start.received();
        assert!(matches!(start.stage(), Stage::Ready));
    }

    #[test]
    fn a_question_in_vain_is_enough_once_the_intentions_are_there() {
        let mut start = Start::new(false);
        start.received();
        start.asked_for_default(false);
        assert!(matches!(start.stage(), Stage::Ready));
    }

    #[test]
    fn a_question_in_vain_to_a_consul_that_was_away_is_not_enough() {
        let mut start = Start::new(false);
        start.asked_for_default(false);
        start.received();
        assert!(matches!(start.stage(), Stage::DefaultMissing));
        start.asked_for_default(false);
        assert!(matches!(start.stage(), Stage::Ready));
    }
}
