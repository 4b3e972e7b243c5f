use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    Grace, Layer, LiveSet,
    connection::Live,
    review::{Action, NO_REQUESTS, Present, review},
};
use crate::{
    Authorize, Caller, Identity, InvalidPeer, Reason, Roots, Snapshot, Verdict,
    task::Task,
    tls::{Usage, verify},
};

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
        .and_then(|authorize| authorize.changes());
    let (mut roots_changed, mut rules_changed) = (true, true);
    let mut seen: Option<Arc<Roots>> = None;
    loop {
        let snapshot = rules.identity.current();
        // A renewed leaf takes no trust away, and verifying every chain again is dear.
        roots_changed &= seen.as_ref().is_none_or(|seen| seen != snapshot.roots());
        seen = Some(Arc::clone(snapshot.roots()));
        let mut next: Option<Instant> = None;
        for (reviewed, live) in set.all().into_iter().enumerate() {
            if reviewed % 64 == 63 {
                tokio::task::yield_now().await;
            }
            let at = hold(&live, &rules, &snapshot, roots_changed, rules_changed);
            next = [next, at].into_iter().flatten().min();
        }
        let next = set.plan(next);
        (roots_changed, rules_changed) = (false, false);
        tokio::select! {
            // A closed channel says that nothing will change any more, never that something has.
            Ok(()) = identity.changed() => roots_changed = true,
            Ok(()) = changed(&mut policy) => rules_changed = true,
            () = set.sooner.notified() => {}
            () = sleep(next) => {}
        }
    }
}

async fn changed(policy: &mut Option<watch::Receiver<u64>>) -> Result<(), watch::error::RecvError> {
    match policy {
        Some(policy) => policy.changed().await,
        None => std::future::pending().await,
    }
}

async fn sleep(until: Option<Instant>) {
    match until {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Reviews one connection and carries out what follows. Returns when to look again.
fn hold(
    live: &Live,
    rules: &Rules,
    snapshot: &Snapshot,
    roots_changed: bool,
    rules_changed: bool,
) -> Option<Instant> {
    let facts = &live.facts;
    let now = snapshot.now();
    let anchored = (roots_changed && facts.generation != snapshot.generation())
        .then(|| still_anchored(live, snapshot, rules.peer_is));
    let authorize = rules.authorize.as_ref().filter(|_| rules_changed);
    let present = Present {
        now: Instant::now(),
        valid_for: Duration::from_secs(
            (facts.not_after.as_secs() + 1).saturating_sub(now.as_secs()),
        ),
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

fn still_anchored(live: &Live, snapshot: &Snapshot, usage: Usage) -> Result<(), InvalidPeer> {
    let algorithms = &snapshot.common().provider.signature_verification_algorithms;
    verify(
        live.facts.peer.chain(),
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
pub(crate) fn admit(set: &LiveSet, live: &Live, rules: &Rules) -> Result<(), Reason> {
    // Between the handshake and the entry the roots may have changed, and the warden may have looked already.
    let snapshot = rules.identity.current();
    let refused = if live.facts.generation != snapshot.generation()
        && let Err(refusal) = still_anchored(live, &snapshot, rules.peer_is)
    {
        Some(Reason::new(
            "roots",
            format!("the roots changed during the handshake: {refusal}"),
        ))
    } else {
        match (&rules.authorize, rules.layer) {
            (Some(authorize), Layer::Connection) => {
                match authorize.connection(Caller::Peer(&live.facts.peer)) {
                    Verdict::Allow(_) => None,
                    Verdict::Deny(reason) => Some(reason),
                    Verdict::PerRequest => Some(NO_REQUESTS),
                }
            }
            _ => None,
        }
    };
    if let Some(reason) = refused {
        live.cut(reason.clone());
        return Err(reason);
    }
    if let Some(at) = hold(live, rules, &snapshot, false, false) {
        set.look_at(at);
    }
    Ok(())
}
