//! What the tasks publish and decisions read.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use consul_api::{WatchMonitor, intention as wire};
use tokio::sync::watch;

use super::{Compiled, OwnTrustDomain, ResolvedDefault};
use crate::{Decision, Reason, ServiceId, ServiceName};

/// What the tasks write and decisions read.
pub(super) struct Shared {
    pub(super) service: ServiceName,
    namespace: String,
    pub(super) own: OwnTrustDomain,
    pub(super) current: ArcSwap<Snapshot>,
    pub(super) changes: watch::Sender<u64>,
    /// Held while a new snapshot is made from the current one; never by a reader.
    writing: Mutex<()>,
    /// Whether the first answer has come, or was refused for good.
    pub(super) start: watch::Sender<Start>,
    pub(super) monitor: WatchMonitor,
}

#[derive(Clone, Debug)]
pub(super) enum Start {
    Waiting,
    Received,
    Refused(consul_api::Error),
}

/// One published state.
#[derive(Clone)]
pub(super) struct Snapshot {
    pub(super) generation: u64,
    /// `None` before the first answer.
    pub(super) received: Option<Arc<Received>>,
    pub(super) default: ResolvedDefault,
    /// Why everybody is denied, if what was received has become too old.
    pub(super) stale: Option<Reason>,
}

pub(super) struct Received {
    wire: Arc<Vec<wire::Intention>>,
    pub(super) compiled: Compiled,
}

const NOT_RECEIVED: Reason = Reason::fixed(
    "no_intentions",
    "no intentions received yet: Consul has not answered since this service started",
);

impl Snapshot {
    pub(super) fn decide(&self, caller: &ServiceId) -> Decision {
        if let Some(stale) = &self.stale {
            return Decision::Deny(stale.clone());
        }
        let Some(received) = &self.received else {
            return Decision::Deny(NOT_RECEIVED);
        };
        received
            .compiled
            .decide(caller)
            .unwrap_or_else(|| self.default.decision())
    }
}

impl Shared {
    /// Nothing received yet.
    pub(super) fn new(
        service: ServiceName,
        namespace: &str,
        own: OwnTrustDomain,
        default: ResolvedDefault,
        monitor: WatchMonitor,
    ) -> Self {
        Self {
            service,
            namespace: namespace.to_owned(),
            own,
            current: ArcSwap::from_pointee(Snapshot {
                generation: 0,
                received: None,
                default,
                stale: None,
            }),
            changes: watch::Sender::new(0),
            writing: Mutex::new(()),
            start: watch::Sender::new(Start::Waiting),
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
        self.publish(|snapshot| {
            let fresh = snapshot.stale.take().is_some();
            if snapshot.received.as_ref().is_some_and(|known| known.wire == wire) {
                return fresh;
            }
            let compiled = Compiled::in_namespace(&self.namespace, &self.service, &wire);
            tracing::info!(service = %self.service, intentions = compiled.len(), "intentions in force");
            for finding in compiled.findings() {
                tracing::warn!(service = %self.service, intention = %finding.rule, denies = finding.denies, "{}", finding.text);
            }
            snapshot.received = Some(Arc::new(Received { wire, compiled }));
            true
        });
        self.start.send_if_modified(|start| {
            let first = !matches!(start, Start::Received);
            *start = Start::Received;
            first
        });
    }

    pub(super) fn set_default(&self, default: ResolvedDefault) {
        self.publish(|snapshot| {
            if snapshot.default == default {
                return false;
            }
            tracing::info!(service = %self.service, policy = %default.policy(), origin = %default.origin(), "default intention policy");
            snapshot.default = default;
            true
        });
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
