use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit},
    time::Instant,
};

use super::{
    Warden,
    connection::{Facts, Live},
};

/// Every open connection of one listener or connector.
#[derive(Default)]
pub(crate) struct LiveSet {
    members: Mutex<Members>,
    /// Tells the warden that it must look earlier than it planned.
    pub(super) sooner: Notify,
}

#[derive(Default)]
struct Members {
    next_key: u64,
    open: HashMap<u64, Arc<Live>>,
    /// When the warden will look next.
    planned: Option<Instant>,
    /// Whether the warden sleeps until then.
    asleep: bool,
}

impl LiveSet {
    pub(crate) fn len(&self) -> usize {
        self.lock().open.len()
    }

    /// Enters a connection. It leaves when the membership, which its stream holds, is dropped.
    pub(crate) fn enter(
        self: &Arc<Self>,
        facts: Facts,
        permit: Option<OwnedSemaphorePermit>,
        warden: &Arc<Warden>,
    ) -> Membership {
        let live = Arc::new(Live::new(facts));
        let mut members = self.lock();
        let key = members.next_key;
        members.next_key += 1;
        members.open.insert(key, Arc::clone(&live));
        Membership {
            set: Arc::clone(self),
            key,
            live,
            _permit: permit,
            _warden: Arc::clone(warden),
        }
    }

    /// Makes sure the warden looks at `at`.
    pub(super) fn look_at(&self, at: Instant) {
        let mut members = self.lock();
        if members.planned.is_none_or(|planned| at < planned) {
            members.planned = Some(at);
            // While it reviews it need not be woken: it asks for the plan before it sleeps.
            if members.asleep {
                members.asleep = false;
                self.sooner.notify_one();
            }
        }
    }

    /// The plan of the warden that is about to sleep: its own, or an earlier one that was made while it reviewed.
    pub(super) fn plan(&self, at: Option<Instant>) -> Option<Instant> {
        let mut members = self.lock();
        members.planned = [members.planned, at].into_iter().flatten().min();
        members.asleep = true;
        members.planned
    }

    /// Everybody there is, for a review. A copy, so that nobody who enters or leaves waits for it.
    pub(super) fn all(&self) -> Vec<Arc<Live>> {
        let mut members = self.lock();
        members.planned = None;
        members.asleep = false;
        members.open.values().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for LiveSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveSet")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// A connection's place in the live set.
pub(crate) struct Membership {
    set: Arc<LiveSet>,
    key: u64,
    live: Arc<Live>,
    _permit: Option<OwnedSemaphorePermit>,
    /// An open connection is held to the rules, whatever becomes of the handle that made it.
    _warden: Arc<Warden>,
}

impl Membership {
    pub(crate) fn live(&self) -> &Arc<Live> {
        &self.live
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.set.lock().open.remove(&self.key);
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
