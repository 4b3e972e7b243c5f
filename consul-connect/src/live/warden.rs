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
    Authorize, Caller, Changes, Identity, InvalidPeer, Peer, Permit, Reason, Roots, Snapshot,
    Verdict,
    task::Task,
    tls::{Usage, verify},
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
    /// `None` for connections we opened: whom we call is not for intentions on our side to decide.
    pub(crate) authorize: Option<Arc<dyn Authorize>>,
    pub(crate) layer: Layer,
    pub(crate) grace: Grace,
    /// The part the peer plays.
    pub(crate) peer_is: Usage,
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
    let mut policy = rules
        .authorize
        .as_ref()
        .map_or_else(Changes::never, |authorize| authorize.changes());
    let (mut roots_changed, mut rules_changed) = (true, true);
    let mut seen: Option<Arc<Roots>> = None;
    loop {
        let snapshot = rules.identity.current();
        // A renewed leaf takes no trust away, and verifying every chain again is dear.
        roots_changed &= seen.as_ref().is_none_or(|seen| seen != snapshot.roots());
        seen = Some(Arc::clone(snapshot.roots()));
        let mut next: Option<Instant> = None;
        let all = set.all();
        let mut verified = Verified::default();
        for (reviewed, live) in all.iter().enumerate() {
            if reviewed % REVIEWS_AT_ONCE == REVIEWS_AT_ONCE - 1 || verified.is_enough() {
                verified.since_yield = 0;
                tokio::task::yield_now().await;
            }
            let at = hold(
                live,
                &rules,
                &snapshot,
                roots_changed,
                rules_changed,
                &mut verified,
            );
            next = [next, at].into_iter().flatten().min();
        }
        drop(verified);
        drop(all);
        let next = set.plan(next);
        (roots_changed, rules_changed) = (false, false);
        tokio::select! {
            // A closed channel says that nothing will change any more, never that something has.
            Ok(()) = identity.changed() => roots_changed = true,
            () = policy.changed() => rules_changed = true,
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
    snapshot: &Snapshot,
    roots_changed: bool,
    rules_changed: bool,
    verified: &mut Verified<'a>,
) -> Option<Instant> {
    let facts = &live.facts;
    let now = snapshot.now();
    let left = |end: UnixTime| {
        Duration::from_secs(
            end.as_secs()
                .saturating_add(1)
                .saturating_sub(now.as_secs()),
        )
    };
    let anchored_for = left(facts.peer.anchored_until());
    let other_roots = roots_changed && facts.generation != snapshot.generation();
    let anchored = (other_roots || anchored_for.is_zero())
        .then(|| verified.anchored(&facts.peer, snapshot, rules.peer_is));
    let authorize = rules.authorize.as_ref().filter(|_| rules_changed);
    let present = Present {
        now: Instant::now(),
        valid_for: left(facts.not_after),
        anchored_for,
        anchored,
        verdict: authorize.map(|authorize| ask(&**authorize, Caller::Peer(&facts.peer))),
    };
    let (action, timers, next) = review(
        &live.phase(),
        live.timers(),
        present,
        rules.layer,
        rules.grace,
    );
    if rules_changed {
        live.set_timers(timers);
    }
    match action {
        Action::Keep => {}
        Action::Drain { reason, cut_at } => {
            tracing::info!(peer = %facts.peer, reason = reason.code(), "draining a connection: {reason}");
            live.drain(reason, cut_at);
        }
        Action::Cut { reason } => {
            tracing::info!(peer = %facts.peer, reason = reason.code(), "cutting a connection: {reason}");
            live.cut(reason);
        }
    }
    next
}

/// A policy that panics must not end the enforcement of everybody else's rules.
fn ask(authorize: &dyn Authorize, caller: Caller<'_>) -> Verdict {
    catch_unwind(AssertUnwindSafe(|| authorize.connection(caller)))
        .unwrap_or(Verdict::Deny(PANICKED))
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
        peer: &'a Peer,
        snapshot: &Snapshot,
        usage: Usage,
    ) -> Result<(), InvalidPeer> {
        let since_yield = &mut self.since_yield;
        let verify = || {
            *since_yield += 1;
            still_anchored(peer, snapshot, usage)
        };
        self.known
            .entry(peer.chain())
            .or_insert_with(verify)
            .clone()
    }
}

fn still_anchored(peer: &Peer, snapshot: &Snapshot, usage: Usage) -> Result<(), InvalidPeer> {
    let algorithms = &snapshot.common().provider.signature_verification_algorithms;
    verify(
        peer.chain(),
        snapshot.roots(),
        algorithms,
        usage,
        snapshot.now(),
    )
    .map(drop)
}

/// Decides about a connection that was just entered.
///
/// # Errors
/// The reason why it must not be used. It has been cut.
pub(crate) fn admit(set: &LiveSet, live: &Live, rules: &Rules) -> Result<Option<Permit>, Reason> {
    // Between the handshake and the entry the roots may have changed, and the warden may have looked already.
    let snapshot = rules.identity.current();
    let admitted = if live.facts.generation != snapshot.generation()
        && let Err(refusal) = still_anchored(&live.facts.peer, &snapshot, rules.peer_is)
    {
        Err(Reason::new(
            "roots",
            format!("the roots changed during the handshake: {refusal}"),
        ))
    } else {
        match (&rules.authorize, rules.layer) {
            (Some(authorize), Layer::Connection) => {
                match ask(&**authorize, Caller::Peer(&live.facts.peer)) {
                    Verdict::Allow(permit) => Ok(Some(permit)),
                    Verdict::Deny(reason) => Err(reason),
                    Verdict::PerRequest => Err(NO_REQUESTS),
                }
            }
            _ => Ok(None),
        }
    };
    let permit = admitted.inspect_err(|reason| live.cut(reason.clone()))?;
    if let Some(at) = hold(
        live,
        rules,
        &snapshot,
        false,
        false,
        &mut Verified::default(),
    ) {
        set.look_at(at);
    }
    Ok(permit)
}
