//! Requests that are open: each is asked about again when the rules change.
//!
//! A request that is over in a moment is none the worse for it. One that goes on (a download, a gRPC stream, a WebSocket) must
//! not go on for hours after the rule that let it in is gone. Who is denied as a caller loses the connection, which is the live
//! set's business; here is who is still let in, but would not be with this request.
//!
//! Only requests of callers about whom requests decide are kept, because keeping one means a copy of its head.

mod entry;

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
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
    open: Mutex<Open>,
    /// How long a connection may still take for a stream in it that must end.
    drain: Duration,
    /// The application has taken over a stream of it.
    upgraded: AtomicBool,
    /// And that is denied.
    cut: AtomicBool,
    connection: AtomicWaker,
}

#[derive(Default)]
struct Open {
    next: u64,
    entries: HashMap<u64, Arc<Entry>>,
}

/// One of them, held by whoever answers it.
pub(crate) struct OpenRequest {
    of: Arc<Requests>,
    key: u64,
    entry: Arc<Entry>,
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
            for entry in requests.entries() {
                match entry.end(now) {
                    Some(at) => next = Some(next.map_or(at, |next| next.min(at))),
                    None if entry.is_upgraded() && entry.is_ended() => requests.cut(),
                    None => {}
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
        requests.per_request.store(per_request, Ordering::Relaxed);
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
            open: Mutex::default(),
            drain,
            upgraded: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            connection: AtomicWaker::new(),
        }
    }

    /// Keeps a request that is about to be decided, where requests decide about the caller.
    pub(crate) fn enter(self: &Arc<Self>, caller: &Peer, head: &Parts) -> Option<OpenRequest> {
        if !self.per_request.load(Ordering::Relaxed) {
            return None;
        }
        let entry = Arc::new(Entry::new(caller, head));
        let mut open = lock(&self.open);
        let key = open.next;
        open.next += 1;
        open.entries.insert(key, Arc::clone(&entry));
        Some(OpenRequest {
            of: Arc::clone(self),
            key,
            entry,
            upgraded: false,
        })
    }

    /// Ready when a stream that the application took over is to end, with how long its connection may take for that: there is no
    /// way to end such a stream alone.
    pub(crate) fn poll_cut(&self, cx: &Context<'_>) -> Poll<Duration> {
        if !self.upgraded.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        self.connection.register(cx.waker());
        match self.cut.load(Ordering::Acquire) {
            true => Poll::Ready(self.drain),
            false => Poll::Pending,
        }
    }

    fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        self.connection.wake();
    }

    fn entries(&self) -> Vec<Arc<Entry>> {
        lock(&self.open).entries.values().cloned().collect()
    }
}

impl OpenRequest {
    /// Ready, with why, when the request is to end.
    pub(crate) fn poll_denied(&self, cx: &Context<'_>) -> Poll<Denied> {
        self.entry.poll_denied(cx)
    }

    /// The application takes over the connection: the request is open for as long as that is.
    pub(crate) fn upgraded(mut self) {
        self.upgraded = true;
        self.entry.upgraded();
        self.of.upgraded.store(true, Ordering::Release);
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        if !self.upgraded {
            lock(&self.of.open).entries.remove(&self.key);
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
