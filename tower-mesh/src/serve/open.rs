//! Requests that are open: each is asked about again when the rules change.
//!
//! A request that is over in a moment is none the worse for it. One that goes on (a download, a gRPC stream, a WebSocket) must
//! not go on for hours after the rule that let it in is gone. Who is denied as a caller loses the connection, which is the live
//! set's business; here is who is still let in, but would not be with this request.
//!
//! Only requests of callers about whom requests decide are kept, because keeping one means a copy of its head. Of the others
//! their number is known: should requests come to decide about such a caller, nobody could be asked about those, and what is
//! still open after the grace ends with its connection.

mod entry;

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use consul_connect::{Grace, Peer};
use futures_util::task::AtomicWaker;
use http::request::Parts;
use tokio::time::{Instant, sleep_until};

use self::entry::Entry;
use super::callers::Callers;
use crate::{
    authorize::{Authorize, Caller, Decision, Denied, Reason, Verdict},
    measure::Exchanges,
    time::later,
};

/// The open requests of one server.
pub(crate) struct OpenRequests {
    authorize: Arc<dyn Authorize>,
    grace: Grace,
    connections: Mutex<Vec<Weak<Requests>>>,
}

/// Those of one connection. Its lock is taken by the tasks of this connection, and by the follower after a change.
pub(crate) struct Requests {
    /// `None` behind a gateway: each request has a caller of its own.
    caller: Option<Peer>,
    /// Whether requests decide about the caller.
    per_request: AtomicBool,
    /// `None` before the first.
    kept: Mutex<Option<Box<Kept>>>,
    /// How many are open and not kept.
    unkept: AtomicUsize,
    /// Since requests decide about those too: when their connection ends.
    unkept_end: Mutex<Option<Instant>>,
    /// How long a connection may still take for a stream in it that must end.
    drain: Duration,
    /// [`GO_ON`], [`RENEW`] or [`CUT`].
    order: AtomicU8,
    connection: AtomicWaker,
}

const GO_ON: u8 = 0;
/// Take no further request.
const RENEW: u8 = 1;
/// And end soon: there is something in it that must.
const CUT: u8 = 2;

/// How many streams of one connection an application may take over. Nobody says when one of h2 ends, so what is kept of them is
/// kept as long as the connection.
const MOST_UPGRADED: usize = 128;

#[derive(Default)]
struct Kept {
    next: u64,
    upgraded: usize,
    entries: HashMap<u64, Arc<Entry>>,
}

/// One of them, held by whoever answers it.
pub(crate) struct OpenRequest {
    of: Arc<Requests>,
    /// `None`: it is not kept.
    kept: Option<(u64, Arc<Entry>)>,
    upgraded: bool,
}

impl OpenRequests {
    pub(crate) fn new(authorize: Arc<dyn Authorize>, grace: Grace) -> Arc<Self> {
        Arc::new(Self {
            authorize,
            grace,
            connections: Mutex::default(),
        })
    }

    /// Begins to keep the requests of a connection, until it drops them.
    pub(crate) fn connection(&self, callers: &Callers) -> Arc<Requests> {
        let requests = Arc::new(Requests::new(callers.one().cloned(), self.grace.drain));
        // Entered first and asked second: a change in between is not missed.
        let mut connections = lock(&self.connections);
        if connections.len() == connections.capacity() {
            connections.retain(|one| one.strong_count() > 0);
        }
        connections.push(Arc::downgrade(&requests));
        drop(connections);
        self.ask_about_caller(&requests);
        requests
    }

    /// Follows the rules, for ever; the owner stops it by dropping the future.
    pub(crate) async fn follow(self: Arc<Self>) {
        let mut changes = self.authorize.changes();
        let mut next = None;
        loop {
            tokio::select! {
                () = changes.changed() => self.ask_again(),
                () = at(next) => {}
            }
            next = self.end(Instant::now());
        }
    }

    /// Asks about everything that is open.
    fn ask_again(&self) {
        let end = later(Instant::now(), self.grace.denied);
        for requests in self.all() {
            self.ask_about_caller(&requests);
            requests.decided(end);
            for entry in requests.entries() {
                let (caller, head) = entry.request();
                let ask = || self.authorize.request(Caller::Peer(caller), head);
                // Who cannot decide has not allowed.
                let decision = catch_unwind(AssertUnwindSafe(ask));
                entry.decided(match decision {
                    Ok(Decision::Allow(_)) => None,
                    Ok(Decision::Deny(reason)) => Some((end, reason)),
                    _ => Some((end, UNDECIDED)),
                });
            }
        }
    }

    /// Ends what has been denied for long enough. Returns when to look again.
    fn end(&self, now: Instant) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        for requests in self.all() {
            let entries = requests.entries();
            let ends = entries.iter().map(|entry| entry.end(now));
            for at in ends.chain([requests.unkept_end()]).flatten() {
                match at <= now {
                    true => requests.order(CUT),
                    false => next = Some(next.map_or(at, |next| next.min(at))),
                }
            }
        }
        next
    }

    fn ask_about_caller(&self, requests: &Requests) {
        let Some(caller) = &requests.caller else {
            return;
        };
        let ask = || self.authorize.connection(Caller::Peer(caller));
        let verdict = catch_unwind(AssertUnwindSafe(ask));
        let per_request = matches!(verdict, Ok(Verdict::PerRequest));
        requests.per_request.store(per_request, Ordering::SeqCst);
    }

    /// A copy, so that no connection waits for the look at all of them.
    fn all(&self) -> Vec<Arc<Requests>> {
        lock(&self.connections)
            .iter()
            .filter_map(Weak::upgrade)
            .collect()
    }
}

const UNDECIDED: Reason = Reason::fixed("panic", "the policy panicked while it decided");

impl Requests {
    pub(super) fn new(caller: Option<Peer>, drain: Duration) -> Self {
        Self {
            per_request: AtomicBool::new(caller.is_none()),
            caller,
            kept: Mutex::default(),
            unkept: AtomicUsize::new(0),
            unkept_end: Mutex::default(),
            drain,
            order: AtomicU8::new(GO_ON),
            connection: AtomicWaker::new(),
        }
    }

    /// A request that is about to be decided. It is kept where requests decide about the caller; if it then comes to be denied,
    /// that is counted as a second decision about it.
    pub(crate) fn enter(
        self: &Arc<Self>,
        caller: &Peer,
        exchanges: &Arc<Exchanges>,
        head: &Parts,
    ) -> OpenRequest {
        // Counted first and asked second, where the follower tells first and counts second: one of the two sees the other.
        self.unkept.fetch_add(1, Ordering::SeqCst);
        let mut request = OpenRequest {
            of: Arc::clone(self),
            kept: None,
            upgraded: false,
        };
        if self.per_request.load(Ordering::SeqCst) {
            self.unkept.fetch_sub(1, Ordering::SeqCst);
            let entry = Arc::new(Entry::new(caller, exchanges, head));
            let key = self.kept(|kept| {
                let key = kept.next;
                kept.next += 1;
                kept.entries.insert(key, Arc::clone(&entry));
                key
            });
            request.kept = Some((key, entry));
        }
        request
    }

    /// Ready when the connection is to end: with how long it may take for that, if something in it must end that cannot be ended
    /// alone.
    pub(crate) fn poll_order(&self, cx: &Context<'_>) -> Poll<Option<Duration>> {
        self.connection.register(cx.waker());
        match self.order.load(Ordering::SeqCst) {
            GO_ON => Poll::Pending,
            RENEW => Poll::Ready(None),
            _ => Poll::Ready(Some(self.drain)),
        }
    }

    /// Whether something in the connection must end that cannot be ended alone.
    pub(crate) fn is_cut(&self) -> bool {
        self.order.load(Ordering::SeqCst) == CUT
    }

    fn order(&self, order: u8) {
        if self.order.fetch_max(order, Ordering::SeqCst) < order {
            self.connection.wake();
        }
    }

    /// Those that are not kept end then, if requests decide about the caller now.
    fn decided(&self, end: Instant) {
        let mut known = lock(&self.unkept_end);
        let asked = self.per_request.load(Ordering::SeqCst) && self.caller.is_some();
        *known = (asked && self.unkept.load(Ordering::SeqCst) > 0)
            .then(|| known.map_or(end, |known| known.min(end)));
    }

    fn unkept_end(&self) -> Option<Instant> {
        let mut end = lock(&self.unkept_end);
        if self.unkept.load(Ordering::SeqCst) == 0 {
            *end = None;
        }
        *end
    }

    fn kept<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> T {
        change(lock(&self.kept).get_or_insert_default())
    }

    fn entries(&self) -> Vec<Arc<Entry>> {
        lock(&self.kept)
            .iter()
            .flat_map(|kept| kept.entries.values().cloned())
            .collect()
    }
}

impl OpenRequest {
    /// Ready, with why, when the request is to end.
    pub(crate) fn poll_denied(&self, cx: &Context<'_>) -> Poll<Denied> {
        match &self.kept {
            Some((_, entry)) => entry.poll_denied(cx),
            None => Poll::Pending,
        }
    }

    /// The application takes over the stream: the request is open for as long as the connection is.
    pub(crate) fn upgraded(mut self) {
        self.upgraded = true;
        let Some((_, entry)) = &self.kept else {
            return;
        };
        entry.upgraded();
        if entry.is_ended() {
            self.of.order(CUT);
        }
        let upgraded = self.of.kept(|kept| {
            kept.upgraded += 1;
            kept.upgraded
        });
        if upgraded >= MOST_UPGRADED {
            self.of.order(RENEW);
        }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        if self.upgraded {
            return;
        }
        match &self.kept {
            Some((key, _)) => drop(self.of.kept(|kept| kept.entries.remove(key))),
            None => drop(self.of.unkept.fetch_sub(1, Ordering::SeqCst)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
