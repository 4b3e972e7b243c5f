use proptest::prelude::*;

use super::*;
use crate::AclPolicy;

fn meta(index: Option<u64>) -> Meta {
    Meta {
        index,
        ..Meta::default()
    }
}

fn answer(value: u8, index: Option<u64>) -> Reply<u8> {
    Reply::Answer(Response {
        value,
        meta: meta(index),
    })
}

/// The state after these replies, and what the last one led to.
fn after(replies: impl IntoIterator<Item = Reply<u8>>) -> (State<u8>, Outcome<u8>, Next) {
    let mut last = (State::new(Basis::Index), Outcome::Quiet, Next::Now);
    for reply in replies {
        last = step(last.0, reply);
    }
    last
}

fn index(n: u64) -> Position {
    Position::Index(NonZeroU64::new(n).expect("not 0"))
}

#[test]
fn the_first_request_does_not_block() {
    assert!(!State::<u8>::new(Basis::Index).position.blocks());
}

#[test]
fn an_unchanged_body_under_a_higher_index_is_no_update() {
    let (state, outcome, next) = after([answer(7, Some(10)), answer(7, Some(11))]);
    assert!(matches!(outcome, Outcome::Unchanged));
    assert_eq!((state.position, next), (index(11), Next::Now));
}

#[test]
fn an_index_that_went_back_starts_over_and_its_value_counts() {
    let (state, outcome, next) = after([answer(7, Some(10)), answer(8, Some(9))]);
    assert!(matches!(outcome, Outcome::Changed(update) if *update.value == 8));
    assert_eq!((&state.position, next), (&Position::Start, Next::Now));
    let (state, ..) = step(state, answer(8, Some(9)));
    assert_eq!(state.position, index(9));
}

#[test]
fn an_index_of_zero_or_none_is_polled_and_never_sent() {
    for none in [Some(0), None] {
        let (state, _, next) = after([answer(7, none)]);
        assert_eq!(
            (state.position, next),
            (Position::Start, Next::Poll),
            "{none:?}"
        );
    }
}

#[test]
fn a_hash_is_waited_on_only_where_the_endpoint_goes_by_hashes() {
    let meta = || Meta {
        content_hash: Some("abc".to_owned()),
        ..meta(Some(4))
    };
    let hashed = |basis| {
        step(
            State::new(basis),
            Reply::Answer(Response {
                value: 1,
                meta: meta(),
            }),
        )
        .0
        .position
    };
    assert_eq!(hashed(Basis::Hash), Position::Hash("abc".to_owned()));
    assert_eq!(hashed(Basis::Index), index(4));
    let (state, _, next) = step(State::new(Basis::Hash), answer(1, Some(4)));
    assert_eq!((state.position, next), (Position::Start, Next::Poll));
}

#[test]
fn an_error_starts_over_and_keeps_the_value_to_compare_with() {
    let (state, outcome, next) = after([answer(7, Some(10)), Reply::Failed]);
    assert!(matches!(outcome, Outcome::Failed));
    assert_eq!(
        (&state.position, next),
        (&Position::Start, Next::Backoff(1))
    );
    let (_, outcome, _) = step(state, answer(7, Some(3)));
    assert!(matches!(outcome, Outcome::Unchanged));
}

#[test]
fn a_long_poll_that_hangs_is_judged_by_the_read_that_follows() {
    let (state, outcome, next) = after([answer(7, Some(10)), Reply::TimedOut]);
    assert!(matches!(outcome, Outcome::Quiet));
    assert_eq!((&state.position, next), (&Position::Start, Next::Now));
    let (_, outcome, next) = step(state, Reply::TimedOut);
    assert!(matches!(outcome, Outcome::Failed));
    assert_eq!(next, Next::Backoff(1));
}

#[test]
fn a_request_that_was_cut_is_asked_again_where_it_was() {
    let (state, outcome, next) = after([answer(7, Some(10)), Reply::Cut]);
    assert!(matches!(outcome, Outcome::Quiet));
    assert_eq!((state.position, next), (index(10), Next::Now));
}

#[test]
fn the_same_list_filtered_by_acls_is_another_answer() {
    let filtered = Meta {
        filtered_by_acls: true,
        ..meta(Some(11))
    };
    let (_, outcome, _) = after([
        answer(0, Some(10)),
        Reply::Answer(Response {
            value: 0,
            meta: filtered,
        }),
    ]);
    assert!(matches!(outcome, Outcome::Changed(_)));
    let deny = Meta {
        default_acl_policy: Some(AclPolicy::Deny),
        ..meta(Some(11))
    };
    let (_, outcome, _) = after([
        answer(0, Some(10)),
        Reply::Answer(Response {
            value: 0,
            meta: deny,
        }),
    ]);
    assert!(matches!(outcome, Outcome::Changed(_)));
}

/// A reply as data, so that the model and the function under test can both have it.
#[derive(Clone, Copy, Debug)]
enum Scripted {
    Answer { value: u8, index: Option<u64> },
    Failed,
    TimedOut,
    Cut,
}

fn scripted() -> impl Strategy<Value = Scripted> {
    prop_oneof![
        6 => (0u8..3, prop::option::weighted(0.8, 0u64..6)).prop_map(|(value, index)| Scripted::Answer { value, index }),
        1 => Just(Scripted::Failed),
        1 => Just(Scripted::TimedOut),
        1 => Just(Scripted::Cut),
    ]
}

/// The rules once more, as they are written down: from the whole history, without a state that is carried along.
mod model {
    use super::Scripted;

    /// The index that goes with request `n`; 0 is none.
    pub(super) fn sent(history: &[Scripted], n: usize) -> u64 {
        let Some(before) = n.checked_sub(1) else {
            return 0;
        };
        match history[before] {
            Scripted::Answer {
                index: None | Some(0),
                ..
            }
            | Scripted::Failed
            | Scripted::TimedOut => 0,
            Scripted::Answer {
                index: Some(index), ..
            } if index < sent(history, before) => 0,
            Scripted::Answer {
                index: Some(index), ..
            } => index,
            Scripted::Cut => sent(history, before),
        }
    }

    /// What subscribers are given for reply `n`.
    pub(super) fn item(history: &[Scripted], n: usize) -> Option<Result<u8, ()>> {
        match history[n] {
            Scripted::Answer { value, .. } => {
                let last = history[..n].iter().rev().find_map(|reply| match reply {
                    Scripted::Answer { value, .. } => Some(*value),
                    _ => None,
                });
                (last != Some(value)).then_some(Ok(value))
            }
            Scripted::Failed => Some(Err(())),
            Scripted::TimedOut => (sent(history, n) == 0).then_some(Err(())),
            Scripted::Cut => None,
        }
    }

    /// Failures up to and including reply `n` with no answer between them.
    pub(super) fn failures(history: &[Scripted], n: usize) -> usize {
        (0..=n)
            .rev()
            .take_while(|&n| !matches!(history[n], Scripted::Answer { .. }))
            .filter(|&n| matches!(item(history, n), Some(Err(()))))
            .count()
    }
}

proptest! {
    #[test]
    fn follows_the_rules_as_written(history in prop::collection::vec(scripted(), 1..40)) {
        let mut state = State::<u8>::new(Basis::Index);
        for (n, &reply) in history.iter().enumerate() {
            let sent = match state.position {
                Position::Start => 0,
                Position::Index(index) => index.get(),
                Position::Hash(_) => unreachable!("no reply has a hash"),
            };
            prop_assert_eq!(sent, model::sent(&history, n), "request {}", n);
            let (after, outcome, next) = step(state, match reply {
                Scripted::Answer { value, index } => answer(value, index),
                Scripted::Failed => Reply::Failed,
                Scripted::TimedOut => Reply::TimedOut,
                Scripted::Cut => Reply::Cut,
            });
            state = after;
            let item = match outcome {
                Outcome::Changed(update) => Some(Ok(*update.value)),
                Outcome::Failed => Some(Err(())),
                Outcome::Unchanged | Outcome::Quiet => None,
            };
            prop_assert_eq!(item, model::item(&history, n), "reply {}", n);
            if item == Some(Err(())) {
                prop_assert_eq!(next, Next::Backoff(u32::try_from(model::failures(&history, n)).unwrap()));
            }
            // Nothing is asked in a loop without the server holding it back: a request that does not block follows at once
            // only on one that did.
            if next == Next::Now && !state.position.blocks() && !matches!(reply, Scripted::Cut) {
                prop_assert!(sent > 0, "request {} does not block and neither did the one before", n + 1);
            }
        }
    }
}
