//! What the tasks publish and decisions read.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use consul_api::{WatchMonitor, intention as wire};
use tokio::sync::watch;

use http::request::Parts;

use super::compiled::Destination;
use super::{CallerId, Compiled, DefaultOrigin, OwnTrustDomain, ResolvedDefault, start::Start};
use crate::jwt::{JwtProviders, Tokens};
use crate::task::aside;
use crate::{ClusterPeers, Decision, Reason, ServiceName, Verdict};

/// What the tasks write and decisions read.
pub(super) struct Shared {
    pub(super) service: ServiceName,
    namespace: Option<String>,
    pub(super) own: OwnTrustDomain,
    pub(super) cluster_peers: ClusterPeers,
    pub(super) token_providers: JwtProviders,
    pub(super) current: ArcSwap<Snapshot>,
    pub(super) changes: watch::Sender<u64>,
    /// Whether there are permissions, for which it matters what the destination speaks.
    pub(super) has_permissions: watch::Sender<bool>,
    /// Held while a set is compiled and published.
    compiling: Mutex<()>,
    /// Held while a new snapshot is made from the current one; never by a reader.
    writing: Mutex<()>,
    /// Whether the first answers have come, or were refused for good.
    pub(super) start: watch::Sender<Start>,
    pub(super) monitor: WatchMonitor,
}

/// One published state.
#[derive(Clone)]
pub(super) struct Snapshot {
    pub(super) generation: u64,
    /// `None` before the first answer.
    pub(super) received: Option<Arc<Received>>,
    pub(super) default: ResolvedDefault,
    /// Whether Consul takes the destination for a service that speaks HTTP, or has not said.
    has_requests: bool,
    /// Why everybody is denied, if what was received has become too old.
    pub(super) stale: Option<Reason>,
}

pub(super) struct Received {
    wire: Arc<Vec<wire::Intention>>,
    pub(super) compiled: Compiled,
    pub(super) asks_for_tokens: bool,
}

const NOT_RECEIVED: Reason = Reason::fixed(
    "no_intentions",
    "no intentions received yet: Consul has not answered since this service started",
);

impl Snapshot {
    pub(super) fn connection(&self, caller: CallerId<'_>) -> Verdict {
        match self.in_force() {
            Ok(received) => received
                .compiled
                .connection(caller, self.default.policy())
                .unwrap_or_else(|| self.default.decision().into()),
            Err(reason) => Verdict::Deny(reason),
        }
    }

    pub(super) fn request(&self, caller: CallerId<'_>, head: &Parts, tokens: &Tokens) -> Decision {
        match self.in_force() {
            Ok(received) => received
                .compiled
                .request(caller, head, tokens, self.default.policy())
                .unwrap_or_else(|| self.default.decision()),
            Err(reason) => Decision::Deny(reason),
        }
    }

    pub(super) fn asks_for_tokens(&self) -> bool {
        let received = self.received.as_ref();
        received.is_some_and(|received| received.asks_for_tokens)
    }

    /// # Errors
    /// Why everybody is denied, whatever was received.
    fn in_force(&self) -> Result<&Received, Reason> {
        match (&self.stale, &self.received) {
            (Some(stale), _) => Err(stale.clone()),
            (None, None) => Err(NOT_RECEIVED),
            (None, Some(received)) => Ok(received),
        }
    }
}

impl Shared {
    /// Nothing received yet.
    pub(super) fn new(
        service: ServiceName,
        namespace: Option<&str>,
        own: OwnTrustDomain,
        cluster_peers: ClusterPeers,
        token_providers: JwtProviders,
        default: ResolvedDefault,
        monitor: WatchMonitor,
    ) -> Self {
        let start = Start::new(is_known(&default));
        Self {
            service,
            namespace: namespace.map(str::to_owned),
            own,
            cluster_peers,
            token_providers,
            current: ArcSwap::from_pointee(Snapshot {
                generation: 0,
                received: None,
                default,
                has_requests: true,
                stale: None,
            }),
            changes: watch::Sender::new(0),
            has_permissions: watch::Sender::new(false),
            compiling: Mutex::new(()),
            writing: Mutex::new(()),
            start: watch::Sender::new(start),
            monitor,
        }
    }

    fn publish(&self, change: impl FnOnce(&mut Snapshot) -> bool) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Snapshot::clone(&self.current.load());
        if change(&mut next) {
            next.generation += 1;
            let generation = next.generation;
            // Store first, notify after: whoever wakes finds the new one.
            self.current.store(Arc::new(next));
            self.changes.send_replace(generation);
        }
    }

    /// Takes over a set. An equal one changes nothing but ends staleness.
    pub(super) fn receive(&self, wire: Arc<Vec<wire::Intention>>) {
        let _compiling = self.compiling();
        let known = self.current.load_full();
        let is_known = |received: &Arc<Received>| received.wire == wire;
        let received = match known.received.as_ref().is_some_and(is_known) {
            true => None,
            false => Some(Arc::new(self.compile(wire, known.has_requests))),
        };
        self.publish(|snapshot| {
            let fresh = snapshot.stale.take().is_some();
            let Some(received) = received else {
                return fresh;
            };
            tracing::info!(service = %self.service, intentions = received.compiled.len(), "intentions in force");
            snapshot.received = Some(received);
            true
        });
        self.start.send_if_modified(Start::received);
    }

    /// Takes over whether the destination speaks HTTP, as Consul sees it.
    pub(super) fn set_has_requests(&self, has_requests: bool) {
        let _compiling = self.compiling();
        let known = self.current.load_full();
        if known.has_requests == has_requests {
            return;
        }
        let again = |known: &Arc<Received>| self.compile(Arc::clone(&known.wire), has_requests);
        let received = known.received.as_ref().map(again).map(Arc::new);
        self.publish(|snapshot| {
            snapshot.has_requests = has_requests;
            snapshot.received = received;
            true
        });
    }

    /// What a set is compiled from stays as it is until it is published.
    fn compiling(&self) -> MutexGuard<'_, ()> {
        let compiling = self.compiling.lock();
        compiling.unwrap_or_else(PoisonError::into_inner)
    }

    fn compile(&self, wire: Arc<Vec<wire::Intention>>, has_requests: bool) -> Received {
        let destination = Destination {
            service: self.service.clone(),
            namespace: self.namespace.clone(),
            has_requests,
        };
        // A large set takes milliseconds, and so do long expressions.
        let compiled = aside(|| Compiled::about(&destination, &wire));
        for finding in compiled.findings() {
            tracing::warn!(service = %self.service, intention = %finding.rule, denies = finding.denies, "{}", finding.text);
        }
        // Before the set is in force, so that nobody it allows is waited for longer than need be.
        let named: BTreeSet<String> = compiled.cluster_peers().map(str::to_owned).collect();
        self.cluster_peers.set_names(named);
        self.token_providers.set_names(compiled.token_providers());
        // What they become on a `tcp` service is no permission any more, and may be one again.
        let has_permissions = wire.iter().any(|one| one.permissions.is_some());
        self.has_permissions
            .send_if_modified(|known| std::mem::replace(known, has_permissions) != has_permissions);
        let asks_for_tokens = compiled.token_providers().next().is_some();
        Received {
            wire,
            compiled,
            asks_for_tokens,
        }
    }

    pub(super) fn set_default(&self, default: ResolvedDefault) {
        let known = is_known(&default);
        self.publish(|snapshot| {
            if snapshot.default == default {
                return false;
            }
            tracing::info!(service = %self.service, policy = %default.policy(), origin = %default.origin(), "default intention policy");
            snapshot.default = default;
            true
        });
        self.start
            .send_if_modified(|start| start.asked_for_default(known));
    }

    pub(super) fn set_stale(&self, stale: Option<Reason>) {
        self.publish(|snapshot| {
            if snapshot.stale.is_some() == stale.is_some() {
                return false;
            }
            snapshot.stale = stale;
            true
        });
    }
}

fn is_known(default: &ResolvedDefault) -> bool {
    !matches!(default.origin(), DefaultOrigin::Unknown(_))
}
