//! The rules of Consul's blocking queries as one pure function: what was asked and what came back, to what is
//! published and what is asked next.
//!
//! A query without an index answers at once. A query with an index answers when the index of what it reads has
//! gone past it, or when its wait is over. The index is Consul's, not ours: it moves without a change of the
//! answer (a table is shared), it goes back when a server is restored, and answers exist that have none.

use std::{num::NonZeroU64, sync::Arc};

use super::Update;
pub(crate) use crate::read::Pace as Basis;
use crate::{Meta, Response};

/// Where the next request starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Position {
    /// No index: answered at once with what there is.
    #[default]
    Start,
    /// Answered when something newer than this index exists.
    Index(NonZeroU64),
    /// Answered when the content no longer has this hash: the few agent reads that have a hash and no index.
    Hash(String),
}

impl Position {
    /// Whether the server may hold this request back.
    pub(crate) fn blocks(&self) -> bool {
        *self != Self::Start
    }

    /// Where an answer to a request at `self` leads.
    ///
    /// Index 0 would not block and is what a proxy or an old server sends when it has none; a request at 0 in a
    /// tight loop is the classic defect. A lower index than ours means that the server's state went back (a
    /// restored snapshot, another server that lags): with the old index we would wait for it to catch up.
    fn after(&self, basis: Basis, meta: &Meta) -> Self {
        match basis {
            Basis::Index => match (self, meta.index.and_then(NonZeroU64::new)) {
                (Self::Index(sent), Some(index)) if index < *sent => Self::Start,
                (_, Some(index)) => Self::Index(index),
                (_, None) => Self::Start,
            },
            Basis::Hash => meta.content_hash.clone().map_or(Self::Start, Self::Hash),
        }
    }
}

/// What a request came to.
#[derive(Debug)]
pub(crate) enum Reply<T> {
    /// An answer; a 404 whose request reads it as a value is one.
    Answer(Response<T>),
    /// An error of any kind. Its headers are not looked at: Consul puts `X-Consul-Index: 1` on some.
    Failed,
    /// The time for the answer ran out.
    TimedOut,
    /// We ended it ourselves, to give its connection to another watch.
    Cut,
}

/// What a reply means to the subscribers.
#[derive(Debug)]
pub(crate) enum Outcome<T> {
    /// A value that differs from the one before.
    Changed(Update<T>),
    /// An answer that says what is already known.
    Unchanged,
    /// An ordinary end without an answer.
    Quiet,
    /// An error to report.
    Failed,
}

/// When the next request is due. Requests are paced in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Now,
    /// The server cannot block on this: ask again after a while.
    Poll,
    /// After a pause that grows with this number of failures in a row.
    Backoff(u32),
}

/// What one watch remembers from request to request.
#[derive(Debug)]
pub(crate) struct State<T> {
    pub(crate) position: Position,
    basis: Basis,
    last: Option<Update<T>>,
    failures: u32,
}

impl<T> State<T> {
    pub(crate) fn new(basis: Basis) -> Self {
        Self {
            position: Position::Start,
            basis,
            last: None,
            failures: 0,
        }
    }
}

/// Takes the reply to a request at `state.position` and says what follows.
pub(crate) fn step<T: PartialEq>(
    mut state: State<T>,
    reply: Reply<T>,
) -> (State<T>, Outcome<T>, Next) {
    let asked = std::mem::take(&mut state.position);
    match reply {
        Reply::Answer(Response { value, meta, .. }) => {
            state.failures = 0;
            state.position = asked.after(state.basis, &meta);
            // From a blocking request the way back to the start is one immediate read; from the start it would
            // be a loop.
            let next = if state.position.blocks() || asked.blocks() {
                Next::Now
            } else {
                Next::Poll
            };
            if state
                .last
                .as_ref()
                .is_some_and(|last| *last.value == value && same_meaning(&last.meta, &meta))
            {
                return (state, Outcome::Unchanged, next);
            }
            let update = Update {
                value: Arc::new(value),
                meta,
            };
            state.last = Some(update.clone());
            (state, Outcome::Changed(update), next)
        }
        // A long poll that hangs says little: a middlebox forgot the connection, or the agent stopped. The
        // request that follows does not block, and is the one that is believed.
        Reply::TimedOut if asked.blocks() => (state, Outcome::Quiet, Next::Now),
        Reply::Failed | Reply::TimedOut => {
            state.failures = state.failures.saturating_add(1);
            let next = Next::Backoff(state.failures);
            (state, Outcome::Failed, next)
        }
        Reply::Cut => {
            state.position = asked;
            (state, Outcome::Quiet, Next::Now)
        }
    }
}

/// Whether two answers with the same body mean the same. An empty list means something else when ACLs emptied it, and
/// the default policy decides what the absence of a rule means.
fn same_meaning(a: &Meta, b: &Meta) -> bool {
    a.filtered_by_acls == b.filtered_by_acls && a.default_acl_policy == b.default_acl_policy
}

#[cfg(test)]
mod tests;
