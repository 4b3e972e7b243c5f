use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use consul_connect::authorize::AsOf;
use futures_util::task::AtomicWaker;
use http::{Version, request::Parts};
use tokio::time::Instant;

use crate::{
    Peer,
    authorize::{Denied, Reason},
    head,
    measure::Exchanges,
    time::later,
};

/// What a request that has ended takes to be gone.
const MOMENT: Duration = Duration::from_secs(1);

/// What is kept of one open request.
pub(super) struct Entry {
    caller: Peer,
    exchanges: Arc<Exchanges>,
    head: Parts,
    /// Since it is denied: when it ends, and why.
    denied: Mutex<Option<(Instant, Reason)>>,
    ended: AtomicBool,
    upgraded: AtomicBool,
    waker: AtomicWaker,
}

impl Entry {
    pub(super) fn new(caller: &Peer, exchanges: &Arc<Exchanges>, head: &Parts) -> Self {
        let mut kept = head::bare(&head.method, &head.uri, head.version, &head.headers);
        // A token that was valid is not asked for its age again.
        kept.extensions.insert(AsOf::now());
        Self {
            caller: caller.clone(),
            exchanges: Arc::clone(exchanges),
            head: kept,
            denied: Mutex::default(),
            ended: AtomicBool::new(false),
            upgraded: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }

    pub(super) fn request(&self) -> (&Peer, &Parts) {
        (&self.caller, &self.head)
    }

    /// Takes over an answer. A denial that goes on keeps the end it had, and what has ended does not begin again.
    pub(super) fn decided(&self, denied: Option<(Instant, Reason)>) {
        let mut known = self.lock();
        if self.is_ended() {
            return;
        }
        *known = match (known.take(), denied) {
            (Some((end, _)), Some((_, reason))) => Some((end, reason)),
            (_, denied) => denied,
        };
    }

    /// Ends it if its time has come. Returns when to look again: when that will be, or when its connection ends with it if it is
    /// still there.
    pub(super) fn end(&self, now: Instant) -> Option<Instant> {
        let (at, reason) = self.lock().clone()?;
        if at > now {
            return Some(at);
        }
        let upgraded = self.upgraded.load(Ordering::SeqCst);
        if !self.ended.swap(true, Ordering::SeqCst) {
            self.waker.wake();
            // A log or a recorder that panics must not keep the others from their end.
            let _ = catch_unwind(AssertUnwindSafe(|| self.tell(&reason, upgraded)));
        }
        // Who reads nothing is not told anything: the body that would end is not asked. A stream that the application took over
        // has no other end.
        Some(match upgraded {
            true => at,
            false => later(at, MOMENT),
        })
    }

    fn tell(&self, reason: &Reason, upgraded: bool) {
        tracing::info!(caller = %self.caller, method = %self.head.method, path = self.head.uri.path(), reason = reason.code(), "ending an open request: {reason}");
        // Whether a stream of h2 that was taken over is still there is not known.
        if !upgraded || self.head.version < Version::HTTP_2 {
            self.exchanges.denied(reason);
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    pub(super) fn upgraded(&self) {
        self.upgraded.store(true, Ordering::SeqCst);
    }

    pub(super) fn poll_denied(&self, cx: &Context<'_>) -> Poll<Denied> {
        // Remembered first, so that an end between the two lines is not missed.
        self.waker.register(cx.waker());
        if !self.is_ended() {
            return Poll::Pending;
        }
        let denied = self.lock();
        let reason = denied
            .as_ref()
            .map_or(UNKNOWN, |(_, reason)| reason.clone());
        Poll::Ready(Denied::new(reason, Some(self.caller.clone())))
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Instant, Reason)>> {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nothing ends without one.
const UNKNOWN: Reason = Reason::fixed("unknown", "the rules deny it");
