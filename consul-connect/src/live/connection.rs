use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

use futures_util::task::AtomicWaker;
use rustls_pki_types::UnixTime;
use tokio::{sync::watch, time::Instant};

use crate::{Peer, Reason};

/// What is known of a connection from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) peer: Peer,
    /// The generation of our identity it was made under.
    pub(crate) generation: u64,
    /// The earlier expiry of the two leafs in it.
    pub(crate) not_after: UnixTime,
}

/// One open connection.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) facts: Facts,
    phase: watch::Sender<Phase>,
    /// Written by the warden alone; a mutex because `Live` is shared, never contended.
    timers: Mutex<Timers>,
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
            phase: watch::Sender::new(Phase::Open),
            timers: Mutex::default(),
            cut: AtomicBool::new(false),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    pub(super) fn watch_phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    pub(super) fn timers(&self) -> Timers {
        self.timers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set_timers(&self, timers: Timers) {
        *self.timers.lock().unwrap_or_else(PoisonError::into_inner) = timers;
    }

    pub(super) fn drain(&self, reason: Reason, cut_at: Instant) {
        self.phase.send_if_modified(|phase| {
            let open = matches!(phase, Phase::Open);
            if open {
                *phase = Phase::Draining { reason, cut_at };
            }
            open
        });
    }

    pub(super) fn cut(&self, reason: Reason) {
        let first = self.phase.send_if_modified(|phase| {
            let first = !matches!(phase, Phase::Cut { .. });
            if first {
                *phase = Phase::Cut { reason };
            }
            first
        });
        if first {
            // The flag before the wakers: whoever is woken finds it.
            self.cut.store(true, Ordering::Release);
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
