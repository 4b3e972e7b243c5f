//! The live set: what is watched, what is published, and what answers.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use consul_api::{Client, WatchMonitor, intention as wire};
use http::request::Parts;
use tokio::sync::watch;

use super::{
    Compiled, DefaultPolicy, Explanation, IntentionsStatus, Match, ResolvedDefault, follow, probe,
};
use crate::authorize::UNAUTHENTICATED;
use crate::task::Task;
use crate::{
    Authorize, Caller, Decision, Identity, Reason, Rule, ServiceId, ServiceName, TrustDomain,
    Verdict,
};

/// The intentions of one destination, kept current. Cheap to clone; all clones answer from the same set.
///
/// Hand it to a [`Listener`](crate::Listener) or a server as its [`Authorize`].
///
/// # Shutdown
/// The tasks behind it end with the last clone, or with [`shutdown`](Self::shutdown). What was received stays in force.
#[derive(Clone)]
pub struct Intentions {
    shared: Arc<Shared>,
    tasks: Arc<Mutex<Vec<Task>>>,
}

/// How [`Intentions`] are followed.
#[derive(Clone, Debug, Default)]
pub struct IntentionsConfig {
    pub(super) default_policy: Option<DefaultPolicy>,
    pub(super) max_staleness: Option<Duration>,
}

impl IntentionsConfig {
    /// Says what happens to callers that no intention matches, so that no agent is asked.
    #[must_use]
    pub fn default_policy(mut self, policy: DefaultPolicy) -> Self {
        self.default_policy = Some(policy);
        self
    }

    /// Denies everybody once Consul has not confirmed the intentions for this long. Default: they never get too old.
    ///
    /// Consul is then asked at least twice in this time. Less than ten seconds is taken as ten.
    #[must_use]
    pub fn max_staleness(mut self, age: Duration) -> Self {
        self.max_staleness = Some(age.max(Duration::from_secs(10)));
        self
    }
}

/// Which trust domain is ours: always the same one, or that of an [`Identity`], followed as it changes.
#[derive(Clone)]
pub struct OwnTrustDomain(Own);

#[derive(Clone)]
enum Own {
    Fixed(TrustDomain),
    Live(Identity),
}

impl From<TrustDomain> for OwnTrustDomain {
    fn from(trust_domain: TrustDomain) -> Self {
        Self(Own::Fixed(trust_domain))
    }
}

impl From<Identity> for OwnTrustDomain {
    fn from(identity: Identity) -> Self {
        Self(Own::Live(identity))
    }
}

impl From<&Identity> for OwnTrustDomain {
    fn from(identity: &Identity) -> Self {
        Self(Own::Live(identity.clone()))
    }
}

impl OwnTrustDomain {
    pub(super) fn name(&self) -> TrustDomain {
        match &self.0 {
            Own::Fixed(trust_domain) => trust_domain.clone(),
            Own::Live(identity) => identity.current().trust_domain().clone(),
        }
    }

    /// Why this caller is none of ours, if it is none. Read on every decision rather than copied into the published set,
    /// so that the two can never be of different times.
    fn refuses(&self, caller: &ServiceId) -> Option<Reason> {
        let ours = match &self.0 {
            Own::Fixed(ours) if ours == caller.trust_domain() => return None,
            Own::Fixed(ours) => ours.clone(),
            Own::Live(identity) => {
                let current = identity.current();
                if current.trust_domain() == caller.trust_domain() {
                    return None;
                }
                current.trust_domain().clone()
            }
        };
        let text = format!(
            "the caller belongs to trust domain {}, ours is {ours}",
            caller.trust_domain()
        );
        Some(Reason::new("foreign_trust_domain", text))
    }

    /// The datacenter of our own identity, where it is known.
    pub(super) fn datacenter(&self) -> String {
        match &self.0 {
            Own::Fixed(_) => "dc1".to_owned(),
            Own::Live(identity) => identity.current().id().datacenter().to_owned(),
        }
    }
}

impl fmt::Debug for OwnTrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}

/// Why there are no intentions.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IntentionsError {
    /// Consul does not let this token read them; waiting does not mend that.
    #[error(
        "the intentions of {service} may not be read: the token needs `service:write` on {service}, \
         or `intentions:read`"
    )]
    Refused {
        /// The destination.
        service: ServiceName,
        /// What Consul said.
        #[source]
        cause: consul_api::Error,
    },
}

/// What the tasks write and decisions read.
pub(super) struct Shared {
    pub(super) service: ServiceName,
    pub(super) own: OwnTrustDomain,
    current: ArcSwap<Snapshot>,
    changes: watch::Sender<u64>,
    /// Held while a new snapshot is made from the current one; never by a reader.
    writing: Mutex<()>,
    /// Whether the first answer has come, or was refused for good.
    pub(super) start: watch::Sender<Start>,
    monitor: WatchMonitor,
}

#[derive(Clone, Debug)]
pub(super) enum Start {
    Waiting,
    Received,
    Refused(consul_api::Error),
}

/// One published state.
#[derive(Clone)]
struct Snapshot {
    generation: u64,
    /// `None` before the first answer.
    received: Option<Arc<Received>>,
    default: ResolvedDefault,
    /// Why everybody is denied, if what was received has become too old.
    stale: Option<Reason>,
}

struct Received {
    wire: Arc<Vec<wire::Intention>>,
    compiled: Compiled,
}

const NOT_RECEIVED: Reason = Reason::fixed(
    "no_intentions",
    "no intentions received yet: Consul has not answered since this service started",
);

impl Snapshot {
    fn decide(&self, caller: &ServiceId) -> Decision {
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
            let compiled = Compiled::new(&self.service, &wire);
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

impl Intentions {
    /// Begins to follow the intentions of `service`. Until [`ready`](Self::ready) everybody is denied.
    ///
    /// Must be called within a Tokio runtime.
    pub fn watch(
        client: &Client,
        service: ServiceName,
        own: impl Into<OwnTrustDomain>,
        config: IntentionsConfig,
    ) -> Self {
        let mut read = client.intentions().match_destination(service.as_str());
        if let Some(age) = config.max_staleness {
            read = read.wait(age / 2);
        }
        let watch = read.watch();
        let default = match config.default_policy {
            Some(policy) => ResolvedDefault::new(policy, super::DefaultOrigin::Configured),
            None => ResolvedDefault::unknown("it has not answered yet"),
        };
        let shared = Arc::new(Shared {
            service,
            own: own.into(),
            current: ArcSwap::from_pointee(Snapshot {
                generation: 0,
                received: None,
                default,
                stale: None,
            }),
            changes: watch::Sender::new(0),
            writing: Mutex::new(()),
            start: watch::Sender::new(Start::Waiting),
            monitor: watch.monitor(),
        });
        let (acl, acl_changes) = watch::channel(None);
        let mut tasks = vec![Task::spawn(follow::intentions(
            watch,
            Arc::clone(&shared),
            config.max_staleness,
            acl,
        ))];
        if config.default_policy.is_none() {
            let probing = probe::follow(client.clone(), Arc::clone(&shared), acl_changes);
            tasks.push(Task::spawn(probing));
        }
        Self {
            shared,
            tasks: Arc::new(Mutex::new(tasks)),
        }
    }

    /// Waits until Consul has answered for the first time. Has no deadline of its own.
    ///
    /// # Errors
    /// [`IntentionsError::Refused`] if the token may not read them. The set is followed all the same, so a token that is
    /// given the right later lets callers in.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn ready(&self) -> Result<(), IntentionsError> {
        let mut start = self.shared.start.subscribe();
        loop {
            match &*start.borrow_and_update() {
                Start::Received => return Ok(()),
                Start::Refused(cause) => {
                    return Err(IntentionsError::Refused {
                        service: self.shared.service.clone(),
                        cause: cause.clone(),
                    });
                }
                Start::Waiting => {}
            }
            if start.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether this caller may call, and by which rule or why not.
    ///
    /// Takes no lock and allocates nothing, except for the text that names a foreign trust domain.
    pub fn decide(&self, caller: &ServiceId) -> Decision {
        if let Some(foreign) = self.shared.own.refuses(caller) {
            return Decision::Deny(foreign);
        }
        self.shared.current.load().decide(caller)
    }

    /// What happens to this caller, and everything that leads to it.
    pub fn explain(&self, caller: &ServiceId) -> Explanation {
        let snapshot = self.shared.current.load_full();
        let decision = match self.shared.own.refuses(caller) {
            Some(foreign) => Decision::Deny(foreign),
            None => snapshot.decide(caller),
        };
        let (rule, because) = match &decision {
            Decision::Allow(permit) => match permit.rule() {
                Some(rule) => (Some(rule), format!("the intention {rule} allows it")),
                None => {
                    let text = "no intention matches the caller, and the default is";
                    (None, format!("{text} {}", snapshot.default))
                }
            },
            Decision::Deny(reason) => (reason.rule(), reason.to_string()),
        };
        let matches = snapshot
            .received
            .iter()
            .flat_map(|received| received.compiled.matching(caller));
        Explanation {
            caller: caller.clone(),
            destination: self.shared.service.to_string(),
            matches: matches
                .enumerate()
                .map(|(position, entry)| {
                    let applied = position == 0 && rule.is_some();
                    Match::new(
                        Rule::clone(&entry.rule),
                        entry.intention.effect.to_string(),
                        applied,
                    )
                })
                .collect(),
            because,
            decision,
            default: snapshot.default.to_string(),
            age: self.age(),
        }
    }

    /// The same for a service of our own trust domain and the default namespace.
    pub fn explain_service(&self, caller: &ServiceName) -> Explanation {
        let own = &self.shared.own;
        self.explain(&ServiceId::new(
            own.name(),
            &own.datacenter(),
            caller.clone(),
        ))
    }

    /// What is in force, how old it is, and what is wrong with it.
    pub fn status(&self) -> IntentionsStatus {
        let snapshot = self.shared.current.load_full();
        let watch = self.shared.monitor.status();
        let compiled = snapshot
            .received
            .as_ref()
            .map(|received| &received.compiled);
        IntentionsStatus {
            service: self.shared.service.clone(),
            generation: snapshot.generation,
            received: snapshot.received.is_some(),
            age: self.age(),
            stale: snapshot.stale.is_some(),
            failing_for: watch.failing_for,
            last_error: watch.last_error,
            default: snapshot.default.clone(),
            count: compiled.map_or(0, Compiled::len),
            findings: compiled
                .map(|compiled| compiled.findings().to_vec())
                .unwrap_or_default(),
        }
    }

    fn age(&self) -> Option<Duration> {
        let watch = self.shared.monitor.status();
        // While a long poll is open and the last one succeeded, Consul would say at once if anything changed.
        match watch.failing_for {
            None => watch.last_answer.map(|_| Duration::ZERO),
            Some(_) => watch.last_answer,
        }
    }

    /// Stops following, and waits until the tasks have ended. What was received stays in force.
    ///
    /// # Cancel safety
    /// The tasks are stopped as soon as this is called, even if the future is then dropped.
    pub async fn shutdown(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            task.stop().await;
        }
    }
}

impl Authorize for Intentions {
    fn connection(&self, caller: Caller<'_>) -> Verdict {
        match caller {
            Caller::Peer(peer) => self.decide(peer.id()).into(),
            Caller::Unauthenticated => Verdict::Deny(UNAUTHENTICATED),
        }
    }

    fn request(&self, caller: Caller<'_>, _head: &Parts) -> Decision {
        match caller {
            Caller::Peer(peer) => self.decide(peer.id()),
            Caller::Unauthenticated => Decision::Deny(UNAUTHENTICATED),
        }
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        Some(self.shared.changes.subscribe())
    }
}

impl fmt::Debug for Intentions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.shared.current.load();
        f.debug_struct("Intentions")
            .field("service", &self.shared.service)
            .field("generation", &snapshot.generation)
            .field("default", &snapshot.default)
            .finish_non_exhaustive()
    }
}
