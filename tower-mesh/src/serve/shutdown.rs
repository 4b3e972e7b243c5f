//! The order in which a server leaves the mesh without failing a request.
//!
//! ```text
//! Serving ──asked──► Announcing ──told──► Lingering ──grace──► Draining ──idle──► Departing ──► Gone
//!    │                (critical)         (accepting)         (GOAWAY, no accept)  (deregister)
//!    └── asked again, at any time: cut, then Departing; so does the end of a drain's deadline
//! ```
//!
//! Accepting goes on until the catalog has carried that this instance leaves: a caller that still
//! believes in it finds it working.

use std::{future::pending, pin::pin, time::Duration};

use futures_core::Stream;
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, FusedFuture as _},
    stream,
};
use tokio::time::{Instant, sleep_until};

use super::ServerHandle;
use crate::time::later;

/// How long telling the catalog may hold up the rest. A Consul that is away must not keep a process
/// from ending; the instance's own check runs out then.
const TELL_WITHIN: Duration = Duration::from_secs(2);

/// How long a server takes to leave.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Timing {
    /// From the catalog's knowing until it stops accepting.
    pub(crate) grace: Duration,
    /// From then on, for what is open.
    pub(crate) drain: Duration,
}

/// Where a server is on its way out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    Serving,
    Announcing { until: Instant },
    Lingering { until: Instant },
    Draining { until: Instant },
    Cutting,
    Departing,
    Gone,
}

/// What happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Event {
    /// It was asked to leave.
    Asked,
    /// The catalog knows that it leaves, or never will.
    Told,
    /// The time a state waits for has come.
    Due,
    /// The last connection has ended, and no further one is accepted.
    Idle,
    /// The catalog has forgotten it, or never will in time.
    Departed,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    /// Say that it leaves.
    Announce,
    /// Accept nothing further, finish what is open.
    Drain,
    /// End what is open.
    Cut,
    /// Leave the catalog.
    Depart,
}

impl State {
    /// The next state, and what it demands.
    pub(crate) fn on(self, event: Event, now: Instant, timing: Timing) -> (Self, Option<Action>) {
        use {Action as A, Event as E, State as S};
        match (self, event) {
            (S::Serving, E::Asked) => (
                S::Announcing {
                    until: now + TELL_WITHIN,
                },
                Some(A::Announce),
            ),
            (S::Announcing { .. }, E::Told | E::Due) => (
                S::Lingering {
                    until: later(now, timing.grace),
                },
                None,
            ),
            (S::Lingering { .. }, E::Due) => (
                S::Draining {
                    until: later(now, timing.drain),
                },
                Some(A::Drain),
            ),
            // Whoever asks twice means now.
            (S::Announcing { .. } | S::Lingering { .. } | S::Draining { .. }, E::Asked)
            | (S::Draining { .. }, E::Due) => (S::Cutting, Some(A::Cut)),
            (S::Departing | S::Gone, E::Idle) => (self, None),
            // The server ended by itself only if something else drained it; it leaves all the same.
            (_, E::Idle) => (S::Departing, Some(A::Depart)),
            (S::Departing, E::Departed) => (S::Gone, None),
            (
                S::Serving
                | S::Announcing { .. }
                | S::Lingering { .. }
                | S::Draining { .. }
                | S::Cutting
                | S::Departing
                | S::Gone,
                _,
            ) => (self, None),
        }
    }

    /// When [`Event::Due`] is due.
    pub(crate) fn due(self) -> Option<Instant> {
        match self {
            Self::Announcing { until } | Self::Lingering { until } | Self::Draining { until } => {
                Some(until)
            }
            Self::Serving | Self::Cutting | Self::Departing | Self::Gone => None,
        }
    }
}

/// What leaving means outside the server.
pub(crate) trait Place: Sync {
    /// Notes that this instance leaves, before anybody is told.
    fn leave(&self);

    /// Says that this instance leaves. May be dropped before it ends.
    fn announce(&self) -> impl Future<Output = ()> + Send;

    /// Leaves the catalog. Ends in bounded time.
    fn depart(&self) -> impl Future<Output = ()> + Send;
}

/// Runs a server from its first connection to its departure.
///
/// `server` is [`Server::run`](super::Server::run); each item of `asks` is a wish that it leave.
pub(crate) async fn conduct(
    server: impl Future<Output = ()>,
    handle: ServerHandle,
    place: &impl Place,
    timing: Timing,
    asks: impl Stream<Item = ()>,
) {
    let mut state = State::Serving;
    let mut server = pin!(server.fuse());
    // The end of the stream says that nobody will ask, not that somebody did.
    let mut asks = pin!(asks.chain(stream::pending()));
    // What is under way outside while the server goes on.
    let mut errand: BoxFuture<'_, Event> = pending().boxed();
    while state != State::Gone {
        let due = async {
            match state.due() {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        let serving = !server.is_terminated();
        let event = tokio::select! {
            biased;
            () = &mut server, if serving => Event::Idle,
            event = &mut errand => {
                errand = pending().boxed();
                event
            }
            () = due => Event::Due,
            Some(()) = asks.next() => Event::Asked,
        };
        let (next, action) = state.on(event, Instant::now(), timing);
        if state == State::Serving && next != state {
            place.leave();
        }
        if next != state {
            tracing::debug!(from = ?state, to = ?next, "leaving the mesh");
        }
        state = next;
        match action {
            None => {}
            Some(Action::Announce) => errand = place.announce().map(|()| Event::Told).boxed(),
            Some(Action::Drain) => handle.drain(),
            Some(Action::Cut) => handle.cut(),
            Some(Action::Depart) => errand = place.depart().map(|()| Event::Departed).boxed(),
        }
    }
}

#[cfg(test)]
mod tests;
