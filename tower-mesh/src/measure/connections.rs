//! Connections: those of one server, and those to one upstream.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use consul_connect::{ConnectError, Peer, Reason, Refused};

use super::{
    exchange::{Exchanges, decision_counter, denied, permitted},
    sink::{Counter, Gauge, Sink},
};
use crate::{
    authorize::Permit,
    metrics::{CONNECTIONS, CONNECTIONS_ENDED, HANDSHAKES, SHEDS},
};

/// Callers that have series of their own. The names are verified, but there may be many.
const CALLERS: usize = 1000;

/// What all servers of a member share.
pub(crate) struct Inbound {
    sink: Sink,
    ends: Arc<Ends>,
    callers: Mutex<HashMap<Arc<str>, Arc<Exchanges>>>,
}

impl Inbound {
    pub(crate) fn new(sink: Sink) -> Arc<Self> {
        Arc::new(Self {
            ends: Ends::new(sink.clone(), "in"),
            sink,
            callers: Mutex::default(),
        })
    }

    /// A connection was accepted. It counts as open until the value is dropped.
    pub(crate) fn accepted(&self) -> Open {
        self.ends.opened()
    }

    /// A caller of byte streams was let in.
    pub(crate) fn permitted(&self, permit: &Permit) {
        decision_counter(&self.sink, permitted(permit), "connection").increment();
    }

    /// A connection was refused.
    pub(crate) fn refused(&self, refused: &Refused) {
        match refused {
            Refused::TooManyConnections | Refused::TooManyHandshakes { .. } => {
                self.sink
                    .counter(SHEDS, &[("reason", refused.code())])
                    .increment();
            }
            Refused::Denied { reason, .. } => {
                self.ends.handshake("ok").increment();
                decision_counter(&self.sink, denied(reason), "connection").increment();
            }
            _ => self.ends.handshake(refused.code()).increment(),
        }
    }

    /// The requests of a caller.
    pub(crate) fn caller(&self, peer: &Peer) -> Arc<Exchanges> {
        let service = peer.id().service().as_str();
        match peer.cluster_peer() {
            None => self.named(service),
            // Another cluster's service of the same name is another caller.
            Some(cluster_peer) => self.named(&format!("{cluster_peer}/{service}")),
        }
    }

    /// The requests that came by a mesh gateway and for which it named no caller.
    pub(crate) fn gateway(&self) -> Arc<Exchanges> {
        self.named("(mesh gateway)")
    }

    fn named(&self, name: &str) -> Arc<Exchanges> {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = callers.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = if callers.len() < CALLERS {
            name.into()
        } else {
            "other".into()
        };
        let make = || Exchanges::new(self.sink.clone(), "in", Arc::clone(&name));
        Arc::clone(callers.entry(Arc::clone(&name)).or_insert_with(make))
    }
}

/// Everything with one upstream.
pub(crate) struct Outbound {
    ends: Arc<Ends>,
    exchanges: Arc<Exchanges>,
}

impl Outbound {
    pub(crate) fn new(sink: &Sink, upstream: Arc<str>) -> Arc<Self> {
        Arc::new(Self {
            ends: Ends::new(sink.clone(), "out"),
            exchanges: Exchanges::new(sink.clone(), "out", upstream),
        })
    }

    pub(crate) fn exchanges(&self) -> &Arc<Exchanges> {
        &self.exchanges
    }

    /// A connection was made. It counts as open until the value is dropped.
    pub(crate) fn connected(&self) -> Open {
        self.ends.opened()
    }

    /// None was.
    pub(crate) fn refused(&self, error: &ConnectError) {
        self.ends.handshake(error.failure().code()).increment();
    }
}

/// The connections of one direction.
struct Ends {
    sink: Sink,
    direction: &'static str,
    open: Gauge,
    made: Counter,
}

impl Ends {
    fn new(sink: Sink, direction: &'static str) -> Arc<Self> {
        let labels = [("direction", direction), ("result", "ok")];
        Arc::new(Self {
            direction,
            open: sink.gauge(CONNECTIONS, &labels[..1]),
            made: sink.counter(HANDSHAKES, &labels),
            sink,
        })
    }

    fn opened(self: &Arc<Self>) -> Open {
        self.made.increment();
        self.open.add(1.0);
        Open(Arc::clone(self))
    }

    fn handshake(&self, result: &str) -> Counter {
        let labels = [("direction", self.direction), ("result", result)];
        self.sink.counter(HANDSHAKES, &labels)
    }
}

/// A connection that is open.
pub(crate) struct Open(Arc<Ends>);

impl Open {
    /// The mesh asks it to end.
    pub(crate) fn drained(&self, reason: &Reason) {
        self.ended("drained", reason);
    }

    /// The mesh ends it.
    pub(crate) fn cut(&self, reason: &Reason) {
        self.ended("cut", reason);
    }

    fn ended(&self, how: &str, reason: &Reason) {
        let labels = [
            ("direction", self.0.direction),
            ("how", how),
            ("reason", reason.code()),
        ];
        self.0.sink.counter(CONNECTIONS_ENDED, &labels).increment();
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Open").field(&self.0.direction).finish()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.add(-1.0);
    }
}
