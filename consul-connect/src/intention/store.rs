//! The live set: what is watched, what is published, and what answers.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use consul_api::Client;
use http::request::Parts;
use tokio::sync::watch;

use super::published::{Shared, Start};
use super::{
    Compiled, DefaultOrigin, Explanation, IntentionsConfig, IntentionsError, IntentionsStatus,
    Match, OwnTrustDomain, ResolvedDefault, follow, probe,
};
use crate::authorize::UNAUTHENTICATED;
use crate::task::Task;
use crate::{Authorize, Caller, Decision, Rule, ServiceId, ServiceName, Verdict};

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
            Some(policy) => ResolvedDefault::new(policy, DefaultOrigin::Configured),
            None => ResolvedDefault::unknown("it has not answered yet"),
        };
        let namespace = client.config().namespace().unwrap_or("default");
        let shared = Arc::new(Shared::new(
            service,
            namespace,
            own.into(),
            default,
            watch.monitor(),
        ));
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
