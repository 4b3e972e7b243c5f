use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use consul_connect::authorize::AsOf;
use futures_util::task::AtomicWaker;
use http::request::Parts;
use tokio::time::Instant;

use crate::{
    Peer,
    authorize::{Denied, Reason},
    head,
};

/// What is kept of one open request.
pub(super) struct Entry {
    caller: Peer,
    head: Parts,
    /// Since it is denied: when it ends, and why.
    denied: Mutex<Option<(Instant, Reason)>>,
    ended: AtomicBool,
    upgraded: AtomicBool,
    waker: AtomicWaker,
}

impl Entry {
    pub(super) fn new(caller: &Peer, head: &Parts) -> Self {
        let mut kept = head::bare(&head.method, &head.uri, head.version, &head.headers);
        // A token that was valid is not asked for its age again.
        kept.extensions.insert(AsOf::now());
        Self {
            caller: caller.clone(),
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

    /// Takes over an answer. A denial that goes on keeps the end it had.
    pub(super) fn decided(&self, denied: Option<(Instant, Reason)>) {
        let mut known = self.lock();
        *known = match (known.take(), denied) {
            (Some((end, _)), Some((_, reason))) => Some((end, reason)),
            (_, denied) => denied,
        };
    }

    /// Ends it if its time has come. Returns when that will be, if it is still to come.
    pub(super) fn end(&self, now: Instant) -> Option<Instant> {
        if self.is_ended() {
            return None;
        }
        let at = self.lock().as_ref().map(|(at, _)| *at)?;
        if at > now {
            return Some(at);
        }
        if let Some((_, reason)) = &*self.lock() {
            tracing::info!(caller = %self.caller, method = %self.head.method, path = self.head.uri.path(), reason = reason.code(), "ending an open request: {reason}");
        }
        self.ended.store(true, Ordering::Release);
        self.waker.wake();
        None
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(super) fn upgraded(&self) {
        self.upgraded.store(true, Ordering::Release);
    }

    pub(super) fn is_upgraded(&self) -> bool {
        self.upgraded.load(Ordering::Acquire)
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
            .map_or(ALLOWED_AGAIN, |(_, reason)| reason.clone());
        Poll::Ready(Denied::new(reason, Some(self.caller.clone())))
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Instant, Reason)>> {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// It was denied when it was ended, which cannot be taken back.
const ALLOWED_AGAIN: Reason = Reason::fixed("intention", "the rules denied it for a while");
