//! The connections of one endpoint.
//!
//! A [`Pool`] hands out [`Lease`]s: the right to send one request on one connection. A lease lives
//! in the response body, so a connection is given back, and its load counted, when the body ends.
//!
//! * HTTP/1.1 connections are lent whole and come back to an idle list, last in first out.
//! * An h2 connection is shared up to a stream count of our own: hyper queues silently above the
//!   peer's limit. When streams crowd, a second connection is opened beside it, because one
//!   connection is one task and one task is one core.
//! * Dials run in tasks the pool owns. A caller that goes away takes nothing with it: the
//!   connection it asked for goes to whoever waits, or becomes idle. While nobody knows what the
//!   peer speaks, one dial serves all callers.
//! * Each connection has a keeper task that learns when it must go: told by the connector's guard
//!   (drain, or cut at once), idle for too long, or the pool is gone.
//! * Connections carry the generation of our identity they were made with. New requests prefer the
//!   current one; older connections serve until one of it has been made.
//!
//! The pool knows nothing of TLS or Consul: [`Open`] makes byte streams, so that its tests run on
//! in-memory pipes.

mod connection;
pub(crate) mod failure;
mod keeper;
mod open;
mod protocol;
mod state;

#[cfg(test)]
mod tests;

use std::{
    num::NonZeroUsize,
    pin::Pin,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::sync::oneshot;

pub(crate) use connection::{Lease, SendError, Sender};
pub(crate) use open::{Answer, BoxFuture, Closing, Guard, Offer, Open, Opened};
pub(crate) use protocol::{Protocol, Want};

use crate::error::{Error, ErrorKind};
use state::{Dial, State, Waiter};

/// What a pool may do, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolConfig {
    /// Whether the peer is known to speak h2: then nothing else is offered, and a peer that answers
    /// no ALPN is spoken to in h2 all the same.
    pub(crate) http2_only: bool,
    /// Idle HTTP/1.1 connections kept; the oldest above it is closed.
    pub(crate) max_idle: usize,
    /// How long an HTTP/1.1 connection may be idle. Shorter than servers keep theirs (20 s against
    /// 30 s and more), so that the peer seldom closes one while a request is on its way.
    pub(crate) http1_idle: Duration,
    /// How long an h2 connection may be without streams. GOAWAY tells such a race apart, so it may
    /// be longer.
    pub(crate) http2_idle: Duration,
    /// Streams on one h2 connection above which callers wait for another. 100 is what a client may
    /// assume before it has seen the peer's settings.
    pub(crate) max_streams: usize,
    /// Streams on every h2 connection above which one more is opened in the background.
    pub(crate) crowded_streams: usize,
    /// How many connections crowding alone may open.
    pub(crate) crowded_connections: usize,
    /// After how much silence with open streams an h2 PING is sent.
    pub(crate) keep_alive_interval: Duration,
    /// How long its answer may take before the connection is given up.
    pub(crate) keep_alive_timeout: Duration,
}

impl Default for PoolConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            http2_only: false,
            max_idle: 128,
            http1_idle: Duration::from_secs(20),
            http2_idle: Duration::from_secs(90),
            max_streams: 100,
            crowded_streams: 16,
            crowded_connections: cores.clamp(1, 4),
            keep_alive_interval: Duration::from_secs(20),
            keep_alive_timeout: Duration::from_secs(10),
        }
    }
}

/// The owning handle. Dropping it closes idle connections, stops dials and lets what is in flight
/// finish on connections that then close.
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

/// What leases and dial tasks hold.
struct Shared {
    open: Arc<dyn Open>,
    config: PoolConfig,
    /// How many callers wait in `state`; read without the lock when a stream ends.
    waiting: AtomicUsize,
    open_now: AtomicUsize,
    state: std::sync::Mutex<State>,
}

impl Pool {
    pub(crate) fn new(open: Arc<dyn Open>, config: PoolConfig) -> Self {
        Self {
            shared: Arc::new(Shared {
                open,
                config,
                waiting: AtomicUsize::new(0),
                open_now: AtomicUsize::new(0),
                state: std::sync::Mutex::new(State::new(config)),
            }),
        }
    }

    /// A connection to send one request on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`] or [`ErrorKind::Identity`] when the dial failed,
    /// [`ErrorKind::Protocol`] when the peer does not speak what is wanted. Nothing was sent.
    ///
    /// # Cancel safety
    ///
    /// A dial that was begun goes on and its connection stays in the pool.
    pub(crate) fn checkout(&self, want: Want) -> Checkout<'_> {
        let state = self.shared.update(|state| {
            if let Some(lease) = state.take(&self.shared, want) {
                return Checking::Ready(Some(Ok(lease)));
            }
            if let Some(refusal) = state.refusal(&self.shared, want) {
                return Checking::Ready(Some(Err(refusal)));
            }
            let (answer, waiting) = oneshot::channel();
            state.push(Waiter { want, answer });
            state.plan(&self.shared);
            Checking::Waiting(waiting)
        });
        Checkout { pool: self, state }
    }

    /// Connections that are open, for status.
    pub(crate) fn connections(&self) -> usize {
        self.shared.open_now.load(Ordering::Relaxed)
    }
}

/// A connection that is awaited, or was free at once.
#[must_use = "the connection is given back with it"]
pub(crate) struct Checkout<'a> {
    pool: &'a Pool,
    state: Checking,
}

enum Checking {
    Ready(Option<Result<Lease, Error>>),
    Waiting(oneshot::Receiver<Result<Lease, Error>>),
}

impl Future for Checkout<'_> {
    type Output = Result<Lease, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match &mut self.state {
            Checking::Ready(ready) => ready.take(),
            Checking::Waiting(waiting) => ready!(Pin::new(waiting).poll(cx)).ok(),
        };
        Poll::Ready(answer.unwrap_or_else(|| {
            let name = self.pool.shared.open.name();
            let context = format!("connecting to {name}: given up");
            Err(Error::new(ErrorKind::Connect, context))
        }))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // The remains are dropped outside the lock: dial tasks report to it when they are aborted.
        let _remains = self.shared.update(State::close);
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Everything that is done under the lock.
    ///
    /// The state is whole after each statement of it, so a panic while it was held would not make
    /// it unusable.
    fn update<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut state);
        self.waiting.store(state.waiting(), Ordering::Release);
        let orphans = state.orphans();
        drop(state);
        drop(orphans);
        result
    }

    fn has_waiters(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// One dial and handshake, and its result to the pool.
    async fn dial(self: Arc<Self>, dial: Dial) {
        let mut landing = Landing {
            shared: &self,
            dial,
            result: None,
        };
        landing.result = Some(protocol::establish(&self, dial).await);
    }
}

/// Reports the outcome of a dial, also of one that panicked: its callers must not wait for ever.
struct Landing<'a> {
    shared: &'a Arc<Shared>,
    dial: Dial,
    result: Option<Result<connection::Fresh, Error>>,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        let result = self
            .result
            .take()
            .unwrap_or_else(|| Err(Error::new(ErrorKind::Connect, "dialling was given up")));
        self.shared.update(|state| {
            state.land(self.shared, self.dial, result);
            state.plan(self.shared);
        });
    }
}
