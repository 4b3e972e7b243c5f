//! The live set: what is watched, what is published, and what answers.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use consul_api::Client;
use http::request::Parts;
use tokio::{sync::watch, time::timeout};

use super::published::{Shared, Snapshot};
use super::start::{Stage, Start};
use super::{
    CallerId, Compiled, DefaultOrigin, Explanation, IntentionsConfig, IntentionsError,
    IntentionsStatus, Match, OwnTrustDomain, ResolvedDefault, follow, probe, protocol,
};
use crate::authorize::{AsOf, UNAUTHENTICATED};
use crate::cluster_peers::Known;
use crate::jwt::{JwtProviders, RequestEdits, Tokens};
use crate::task::Task;
use crate::{
    Authorize, Caller, Changes, Decision, Permit, Reason, ServiceId, ServiceName, Verdict,
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
    /// Nothing is enforced.
    shadow: bool,
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
        let namespace = client.config().namespace();
        let shared = Arc::new(Shared::new(
            service,
            namespace,
            own.into(),
            config.cluster_peers,
            JwtProviders::new(client.clone(), config.jwt),
            default,
            watch.monitor(),
        ));
        let (acl, acl_changes) = watch::channel(None);
        let wanted = shared.has_permissions.subscribe();
        let mut tasks = vec![Task::spawn(follow::intentions(
            watch,
            Arc::clone(&shared),
            config.max_staleness,
            acl,
        ))];
        let following = protocol::follow(client.clone(), Arc::clone(&shared), wanted);
        tasks.push(Task::spawn(following));
        if config.default_policy.is_none() {
            let probing = probe::follow(
                client.clone(),
                Arc::clone(&shared),
                acl_changes,
                config.max_staleness,
            );
            tasks.push(Task::spawn(probing));
        }
        Self {
            shared,
            shadow: config.shadow,
            tasks: Arc::new(Mutex::new(tasks)),
        }
    }

    /// Waits until Consul has answered for the first time, and the agent has been asked for the default policy, if it has to
    /// be: in vain is enough, and so are five seconds. So it is with the keys of the token providers that the intentions name.
    /// The rest has no deadline of its own.
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
            let stage = start.borrow_and_update().stage();
            let wait = match stage {
                Stage::Ready => break,
                Stage::Refused(cause) => {
                    return Err(IntentionsError::Refused {
                        service: self.shared.service.clone(),
                        cause,
                    });
                }
                Stage::Waiting => Duration::MAX,
                Stage::DefaultMissing => DEFAULT_WITHIN,
            };
            match timeout(wait, start.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_closed)) => std::future::pending().await,
                // An agent that hangs must not keep a service from starting. What it allows follows when it says so.
                Err(_elapsed) => {
                    self.shared
                        .start
                        .send_if_modified(|start: &mut Start| start.asked_for_default(false));
                }
            }
        }
        // Nor must a provider of tokens: until it is there, those who need one of its tokens are denied.
        let _ = timeout(PROVIDERS_WITHIN, self.shared.token_providers.settled()).await;
        Ok(())
    }

    /// Whether this caller may open a connection, and by which rule or why not. A caller of a known cluster peer is one by its
    /// trust domain.
    ///
    /// Takes no lock and allocates nothing, except for the text that names a foreign trust domain.
    pub fn decide(&self, caller: &ServiceId) -> Verdict {
        let cluster_peers = &self.shared.cluster_peers;
        cluster_peers.peek(|known| self.verdict(self.caller_of(caller, known)))
    }

    /// Whether this caller may make this request, and by which rule or why not.
    ///
    /// The path is compared as it is: whoever serves normalises it before.
    ///
    /// Takes no lock and allocates nothing to decide by paths, headers and methods. Tokens are verified where an intention
    /// asks for one.
    pub fn decide_request(&self, caller: &ServiceId, head: &Parts) -> Decision {
        let cluster_peers = &self.shared.cluster_peers;
        cluster_peers.peek(|known| self.decision(self.caller_of(caller, known), head))
    }

    fn verdict(&self, caller: CallerId<'_>) -> Verdict {
        if let Some(foreign) = self.refuses(caller) {
            return Verdict::Deny(foreign);
        }
        let verdict = self.shared.current.load().connection(caller);
        match verdict {
            Verdict::Deny(denial) if self.shadow => Verdict::Allow(Permit::overruling(denial)),
            verdict => verdict,
        }
    }

    fn decision(&self, caller: CallerId<'_>, head: &Parts) -> Decision {
        if let Some(foreign) = self.refuses(caller) {
            return Decision::Deny(foreign);
        }
        let snapshot = self.shared.current.load();
        let tokens = self.tokens(&snapshot, head);
        let permit = match decide(&snapshot, caller, &as_rules_see(head, &tokens), &tokens) {
            Decision::Allow(permit) => permit,
            Decision::Deny(denial) if self.shadow => Permit::overruling(denial),
            Decision::Deny(denial) => return Decision::Deny(denial),
        };
        Decision::Allow(permit.edited(tokens.edits().clone()))
    }

    fn refuses(&self, caller: CallerId<'_>) -> Option<Reason> {
        let Shared {
            own, cluster_peers, ..
        } = &*self.shared;
        own.refuses(caller, cluster_peers)
    }

    fn caller_of<'a>(&self, caller: &'a ServiceId, known: &'a Known) -> CallerId<'a> {
        if known.is_empty() {
            return caller.into();
        }
        match known.of(caller.trust_domain(), &self.shared.own.name()) {
            Some(cluster_peer) => CallerId::of(cluster_peer, caller),
            None => caller.into(),
        }
    }

    /// The tokens the request bears, verified. There is nothing to do where no intention asks for one.
    fn tokens(&self, snapshot: &Snapshot, head: &Parts) -> Tokens {
        if snapshot.asks_for_tokens() {
            let as_of = head.extensions.get::<AsOf>();
            let ago = as_of.map_or(Duration::ZERO, |as_of| as_of.ago());
            self.shared.token_providers.authenticate(head, ago)
        } else {
            Tokens::default()
        }
    }

    /// What happens to this caller, or to this request of it, and everything that leads to it.
    ///
    /// In [shadow mode](IntentionsConfig::dangerously_shadow) it says what would happen if the intentions were enforced.
    pub fn explain(&self, caller: &ServiceId, request: Option<&Parts>) -> Explanation {
        let snapshot = self.shared.current.load_full();
        let known = self.shared.cluster_peers.current();
        let caller_id = self.caller_of(caller, &known);
        let tokens = request.map(|head| self.tokens(&snapshot, head));
        let request = request.zip(tokens.as_ref());
        let request = request.map(|(head, tokens)| (as_rules_see(head, tokens), tokens));
        let verdict = match (self.refuses(caller_id), &request) {
            (Some(foreign), _) => Verdict::Deny(foreign),
            (None, None) => snapshot.connection(caller_id),
            (None, Some((head, tokens))) => decide(&snapshot, caller_id, head, tokens).into(),
        };
        let request = request.as_ref().map(|(head, _)| &**head);
        let found = snapshot.received.iter();
        let matches: Vec<Match> = found
            .flat_map(|received| received.compiled.matching(caller_id))
            .enumerate()
            .map(|(position, entry)| {
                let applied = match &verdict {
                    Verdict::Allow(permit) => permit.rule(),
                    Verdict::Deny(reason) => reason.rule(),
                    Verdict::PerRequest => return entry.explain(request, position == 0),
                };
                entry.explain(request, applied.is_some_and(|rule| rule.is_of(&entry.rule)))
            })
            .collect();
        let because = match &verdict {
            Verdict::Allow(permit) => match (permit.rule(), matches.first()) {
                (Some(rule), _) => format!("the intention {rule} allows it"),
                (None, Some(first)) => format!(
                    "none of the permissions of the intention {} matches the request, and the default is {}",
                    first.rule, snapshot.default
                ),
                (None, None) => format!(
                    "no intention matches the caller, and the default is {}",
                    snapshot.default
                ),
            },
            Verdict::Deny(reason) => reason.to_string(),
            Verdict::PerRequest => match matches.first() {
                Some(first) => format!("the intention {} is about requests", first.rule),
                None => "requests are decided one by one".to_owned(),
            },
        };
        Explanation {
            caller: caller.clone(),
            destination: self.shared.service.to_string(),
            request: request.map(|head| format!("{} {}", head.method, head.uri.path())),
            verdict,
            because,
            matches,
            default: snapshot.default.to_string(),
            age: self.age(),
        }
    }

    /// The same for a service of our own trust domain and the default namespace.
    pub fn explain_service(&self, caller: &ServiceName, request: Option<&Parts>) -> Explanation {
        let own = &self.shared.own;
        let caller = ServiceId::new(own.name(), &own.datacenter(), caller.clone());
        self.explain(&caller, request)
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
            shadow: self.shadow,
            stale: snapshot.stale.is_some(),
            failing_for: watch.failing_for,
            last_error: watch.last_error,
            default: snapshot.default.clone(),
            count: compiled.map_or(0, Compiled::len),
            token_providers: self.shared.token_providers.status(),
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
        self.shared.token_providers.shutdown().await;
    }
}

/// How long a service that has its intentions waits for the default policy, which an agent that is well says within milliseconds.
const DEFAULT_WITHIN: Duration = Duration::from_secs(5);
/// How long the keys of token providers may be waited for.
const PROVIDERS_WITHIN: Duration = Duration::from_secs(5);

/// What the application will see, as rules do behind an Envoy: without verified tokens and without what the caller wrote where
/// only we may write.
fn as_rules_see<'a>(head: &'a Parts, tokens: &Tokens) -> Cow<'a, Parts> {
    let edits = tokens.edits();
    if !edits.concern(head) {
        return Cow::Borrowed(head);
    }
    let mut edited = head.clone();
    edits.apply(&mut edited);
    Cow::Owned(edited)
}

fn decide(snapshot: &Snapshot, caller: CallerId<'_>, head: &Parts, tokens: &Tokens) -> Decision {
    match (snapshot.request(caller, head, tokens), tokens.unheard()) {
        (Decision::Allow(_), Some(provider)) => {
            let text = format!(
                "Consul has not told of the token provider `{provider}`, so that nobody knows which header the caller must not write"
            );
            Decision::Deny(Reason::new("jwt_provider", text))
        }
        (decision, _) => decision,
    }
}

impl Authorize for Intentions {
    fn connection(&self, caller: Caller<'_>) -> Verdict {
        match caller {
            Caller::Peer(peer) => self.verdict(peer.into()),
            Caller::Unauthenticated => Verdict::Deny(UNAUTHENTICATED),
        }
    }

    fn request(&self, caller: Caller<'_>, head: &Parts) -> Decision {
        match caller {
            Caller::Peer(peer) => self.decision(peer.into(), head),
            Caller::Unauthenticated => Decision::Deny(UNAUTHENTICATED),
        }
    }

    fn edits(&self, head: &Parts) -> RequestEdits {
        let snapshot = self.shared.current.load();
        self.tokens(&snapshot, head).edits().clone()
    }

    fn changes(&self) -> Changes {
        // Another key of a provider decides as well.
        let tokens = Changes::from(self.shared.token_providers.changes());
        tokens.and(self.shared.changes.subscribe().into())
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
