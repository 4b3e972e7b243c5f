use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

use futures_util::task::AtomicWaker;
use rustls_pki_types::UnixTime;
use tokio::{
    sync::{Notify, futures::Notified},
    time::Instant,
};

use crate::{Reason, Remote};

/// What is known of a connection from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) remote: Remote,
    /// The generation of our identity it was made under.
    pub(crate) generation: u64,
    /// The generation of the known cluster peers it was made under.
    pub(crate) cluster_peers: u64,
    /// The earlier expiry of the two leafs in it.
    pub(crate) not_after: UnixTime,
}

/// One open connection.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) facts: Facts,
    /// `None` while it is open, as it nearly always is: what is rare is not paid for by each connection. So with the timers.
    phase: Mutex<Option<Box<Phase>>>,
    /// Told whenever the phase moves. A channel would do the same and take 0.4 KiB of each connection.
    moved: Notify,
    /// Written by the warden alone; a mutex because `Live` is shared, never contended.
    timers: Mutex<Option<Box<Timers>>>,
    cut: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

/// How far a connection is on its way out. It only ever goes forward.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    Open,
    Draining { reason: Reason, cut_at: Instant },
    Cut { reason: Reason },
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Timers {
    /// Since when a rule denies it, and which.
    pub(crate) denied: Option<(Instant, Reason)>,
}

impl Live {
    pub(super) fn new(facts: Facts) -> Self {
        Self {
            facts,
            phase: Mutex::default(),
            moved: Notify::new(),
            timers: Mutex::default(),
            cut: AtomicBool::new(false),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.lock_phase().as_deref().cloned().unwrap_or(Phase::Open)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.lock_phase().is_none()
    }

    /// Ready when the phase has moved since this was enabled.
    pub(super) fn moved(&self) -> Notified<'_> {
        self.moved.notified()
    }

    fn lock_phase(&self) -> MutexGuard<'_, Option<Box<Phase>>> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn timers(&self) -> Timers {
        self.timers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_deref()
            .cloned()
            .unwrap_or_default()
    }

    pub(super) fn set_timers(&self, timers: Timers) {
        let timers = timers.denied.is_some().then(|| Box::new(timers));
        *self.timers.lock().unwrap_or_else(PoisonError::into_inner) = timers;
    }

    pub(super) fn drain(&self, reason: Reason, cut_at: Instant) {
        let mut phase = self.lock_phase();
        if phase.is_none() {
            *phase = Some(Box::new(Phase::Draining { reason, cut_at }));
            drop(phase);
            self.moved.notify_waiters();
        }
    }

    pub(super) fn cut(&self, reason: Reason) {
        let mut phase = self.lock_phase();
        let first = !matches!(phase.as_deref(), Some(Phase::Cut { .. }));
        if first {
            *phase = Some(Box::new(Phase::Cut { reason }));
        }
        drop(phase);
        if first {
            // The flag before the wakers: whoever is woken finds it.
            self.cut.store(true, Ordering::Release);
            self.moved.notify_waiters();
            self.reader.wake();
            self.writer.wake();
        }
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    /// Remembers whom to wake, then looks again, so that a cut between the two is not missed.
    pub(crate) fn is_cut_or_wake_reader(&self, waker: &Waker) -> bool {
        self.reader.register(waker);
        self.is_cut()
    }

    /// Lets whoever waits for bytes look again.
    pub(crate) fn wake_reader(&self) {
        self.reader.wake();
    }

    pub(crate) fn is_cut_or_wake_writer(&self, waker: &Waker) -> bool {
        self.writer.register(waker);
        self.is_cut()
    }
}
