use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::time::{Instant, sleep_until};

use super::{
    Grace, Layer, LiveSet,
    connection::Live,
    review::{Action, NO_REQUESTS, Present, review},
};
use crate::{
    Authorize, Caller, Changes, ClusterPeers, Identity, InvalidPeer, Peer, Permit, Reason, Remote,
    Roots, Verdict,
    task::Task,
    tls::{Admits, Trust, Usage, verify},
};

/// So many connections are looked at before others on the same thread get their turn: about a tenth of a millisecond.
const REVIEWS_AT_ONCE: usize = 64;
/// And so many chains verified, which takes longer.
const VERIFICATIONS_AT_ONCE: usize = 8;

/// The task that holds open connections against what is true now. It stops when it is dropped.
#[derive(Debug)]
pub(crate) struct Warden {
    _task: Task,
}

/// What the warden of one listener or connector asks.
pub(crate) struct Rules {
    pub(crate) identity: Identity,
    pub(crate) cluster_peers: ClusterPeers,
    /// `None` for connections we opened: whom we call is not for intentions on our side to decide.
    pub(crate) authorize: Option<Arc<dyn Authorize>>,
    pub(crate) layer: Layer,
    pub(crate) grace: Grace,
    /// The part the peer plays.
    pub(crate) peer_is: Usage,
    pub(crate) admits: Admits,
}

impl Rules {
    /// Whom to trust now.
    pub(crate) fn trust(&self) -> Trust {
        Trust {
            identity: self.identity.current(),
            cluster_peers: self.cluster_peers.current(),
        }
    }
}

/// What may have changed since a connection was last looked at.
#[derive(Clone, Copy)]
struct Changed {
    /// Our own roots.
    roots: bool,
    /// The cluster peers, or their roots.
    cluster_peers: bool,
    rules: bool,
}

impl Changed {
    const NOTHING: Self = Self::all(false);

    const fn all(changed: bool) -> Self {
        Self {
            roots: changed,
            cluster_peers: changed,
            rules: changed,
        }
    }
}

impl Warden {
    pub(crate) fn new(set: Arc<LiveSet>, rules: Rules) -> Self {
        Self {
            _task: Task::spawn(run(set, rules)),
        }
    }
}

async fn run(set: Arc<LiveSet>, rules: Rules) {
    let mut identity = rules.identity.changes();
    let mut cluster_peers = rules.cluster_peers.changes();
    let mut policy = rules
        .authorize
        .as_ref()
        .map_or_else(Changes::never, |authorize| authorize.changes());
    let mut changed = Changed::all(true);
    let mut seen: Option<Arc<Roots>> = None;
    loop {
        let trust = rules.trust();
        let roots = trust.identity.roots();
        // A renewed leaf takes no trust away, and verifying every chain again is dear.
        changed.roots &= seen.as_ref().is_none_or(|seen| seen != roots);
        seen = Some(Arc::clone(roots));
        let mut next: Option<Instant> = None;
        let all = set.all();
        let mut verified = Verified::default();
        for (reviewed, live) in all.iter().enumerate() {
            if reviewed % REVIEWS_AT_ONCE == REVIEWS_AT_ONCE - 1 || verified.is_enough() {
                verified.since_yield = 0;
                tokio::task::yield_now().await;
            }
            let at = hold(live, &rules, &trust, changed, &mut verified);
            next = [next, at].into_iter().flatten().min();
        }
        drop(verified);
        drop(all);
        let next = set.plan(next);
        changed = Changed::NOTHING;
        tokio::select! {
            // A closed channel says that nothing will change any more, never that something has.
            Ok(()) = identity.changed() => changed.roots = true,
            Ok(()) = cluster_peers.changed() => changed.cluster_peers = true,
            () = policy.changed() => changed.rules = true,
            () = set.sooner.notified() => {}
            () = sleep(next) => {}
        }
    }
}

async fn sleep(until: Option<Instant>) {
    match until {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Reviews one connection and carries out what follows. Returns when to look again.
fn hold<'a>(
    live: &'a Live,
    rules: &Rules,
    trust: &Trust,
    changed: Changed,
    verified: &mut Verified<'a>,
) -> Option<Instant> {
    let facts = &live.facts;
    let now = trust.identity.now();
    let left = |end: UnixTime| {
        Duration::from_secs(
            end.as_secs()
                .saturating_add(1)
                .saturating_sub(now.as_secs()),
        )
    };
    let anchored_for = left(facts.remote.anchored_until());
    let of_cluster_peer = facts.remote.peer().is_some_and(|peer| peer.of().is_some());
    let other_roots = (changed.roots && facts.generation != trust.identity.generation())
        || (changed.cluster_peers
            && of_cluster_peer
            && facts.cluster_peers != trust.cluster_peers.generation());
    let anchored = (other_roots || anchored_for.is_zero())
        .then(|| verified.anchored(&facts.remote, trust, rules.peer_is));
    let decide = changed.rules || changed.cluster_peers;
    let authorize = rules.authorize.as_deref().filter(|_| decide);
    let present = Present {
        now: Instant::now(),
        valid_for: left(facts.not_after),
        anchored_for,
        anchored,
        verdict: authorize.map(|authorize| match &facts.remote {
            // Its requests are decided one by one, and held to the rules by whoever serves them.
            Remote::MeshGateway(gateway) => gateway
                .withdrawn(&trust.cluster_peers)
                .map_or(Verdict::PerRequest, Verdict::Deny),
            Remote::Peer(peer) => ask(authorize, peer),
        }),
    };
    let (action, timers, next) = review(
        &live.phase(),
        live.timers(),
        present,
        rules.layer,
        rules.grace,
    );
    if decide {
        live.set_timers(timers);
    }
    match action {
        Action::Keep => {}
        Action::Drain { reason, cut_at } => {
            tracing::info!(peer = %facts.remote, reason = reason.code(), "draining a connection: {reason}");
            live.drain(reason, cut_at);
        }
        Action::Cut { reason } => {
            tracing::info!(peer = %facts.remote, reason = reason.code(), "cutting a connection: {reason}");
            live.cut(reason);
        }
    }
    next
}

/// A policy that panics must not end the enforcement of everybody else's rules.
fn ask(authorize: &dyn Authorize, peer: &Peer) -> Verdict {
    let verdict = || authorize.connection(Caller::Peer(peer));
    catch_unwind(AssertUnwindSafe(verdict)).unwrap_or(Verdict::Deny(PANICKED))
}

const PANICKED: Reason = Reason::fixed("panic", "the policy panicked while it decided");

/// What one review has verified: callers that keep several connections have one chain.
#[derive(Default)]
struct Verified<'a> {
    known: HashMap<&'a [CertificateDer<'static>], Result<(), InvalidPeer>>,
    since_yield: usize,
}

impl<'a> Verified<'a> {
    fn is_enough(&self) -> bool {
        self.since_yield >= VERIFICATIONS_AT_ONCE
    }

    fn anchored(
        &mut self,
        remote: &'a Remote,
        trust: &Trust,
        usage: Usage,
    ) -> Result<(), InvalidPeer> {
        let since_yield = &mut self.since_yield;
        let verify = || {
            *since_yield += 1;
            still_anchored(remote, trust, usage)
        };
        self.known
            .entry(remote.chain())
            .or_insert_with(verify)
            .clone()
    }
}

fn still_anchored(remote: &Remote, trust: &Trust, usage: Usage) -> Result<(), InvalidPeer> {
    if usage == Usage::Client {
        return trust.still_anchors(remote);
    }
    let (identity, chain) = (&trust.identity, remote.chain());
    let algorithms = &identity.common().provider.signature_verification_algorithms;
    verify(chain, identity.roots(), algorithms, usage, identity.now()).map(drop)
}

/// Decides about a connection that was just entered.
///
/// # Errors
/// The reason why it must not be used. It has been cut.
pub(crate) fn admit(set: &LiveSet, live: &Live, rules: &Rules) -> Result<Option<Permit>, Reason> {
    // Between the handshake and the entry the roots may have changed, and the warden may have looked already.
    let trust = rules.trust();
    let facts = &live.facts;
    let changed = facts.generation != trust.identity.generation()
        || facts.cluster_peers != trust.cluster_peers.generation();
    let admitted =
        if changed && let Err(refusal) = still_anchored(&facts.remote, &trust, rules.peer_is) {
            Err(Reason::new(
                "roots",
                format!("the roots changed during the handshake: {refusal}"),
            ))
        } else {
            match (&rules.authorize, rules.layer, &facts.remote) {
                (Some(authorize), Layer::Connection, Remote::Peer(peer)) => {
                    match ask(&**authorize, peer) {
                        Verdict::Allow(permit) => Ok(Some(permit)),
                        Verdict::Deny(reason) => Err(reason),
                        Verdict::PerRequest => Err(NO_REQUESTS),
                    }
                }
                (_, Layer::Connection, Remote::MeshGateway(_)) => Err(NO_REQUESTS),
                _ => Ok(None),
            }
        };
    let permit = admitted.inspect_err(|reason| live.cut(reason.clone()))?;
    let mut verified = Verified::default();
    if let Some(at) = hold(live, rules, &trust, Changed::NOTHING, &mut verified) {
        set.look_at(at);
    }
    Ok(permit)
}
