//! The servers of one process, as the catalog sees them.

use std::{collections::BTreeMap, sync::Arc};

use consul_connect::{
    Registration,
    registration::{RegistrationError, RegistrationStatus},
};
use tokio::sync::watch;

use crate::serve::shutdown::Place;

/// One server's place in the catalog, or none.
#[derive(Debug)]
pub(super) struct Presence {
    registration: Option<Registration>,
}

impl Presence {
    pub(super) fn new(registration: Option<Registration>) -> Self {
        Self { registration }
    }

    /// Whether the catalog knows this server from us.
    pub(super) fn is_own(&self) -> bool {
        self.status()
            .is_some_and(|status| status.external.is_none())
    }

    pub(super) fn status(&self) -> Option<RegistrationStatus> {
        self.registration.as_ref().map(Registration::status)
    }

    pub(super) async fn registered(&self) -> Result<(), RegistrationError> {
        match &self.registration {
            Some(registration) => registration.registered().await,
            None => Ok(()),
        }
    }
}

impl Place for Presence {
    async fn announce(&self) {
        if let Some(registration) = &self.registration {
            registration.drain().await;
        }
    }

    async fn depart(&self) {
        if let Some(registration) = &self.registration
            && let Err(error) = registration.deregister().await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "left without deregistering"
            );
        }
    }
}

/// The servers that run now.
#[derive(Debug, Default)]
pub(super) struct Roster(watch::Sender<Entries>);

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    running: BTreeMap<u64, Arc<Presence>>,
}

impl Roster {
    /// Enters a server; it leaves when the entry is dropped.
    pub(super) fn enter(self: &Arc<Self>, presence: Presence) -> Entry {
        let presence = Arc::new(presence);
        let mut key = 0;
        self.0.send_modify(|entries| {
            key = entries.next;
            entries.next += 1;
            entries.running.insert(key, Arc::clone(&presence));
        });
        Entry {
            presence,
            key,
            roster: Arc::clone(self),
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<Presence>> {
        self.0.borrow().running.values().cloned().collect()
    }

    /// Waits until at least one server runs.
    pub(super) async fn inhabited(&self) {
        self.wait(|entries| !entries.running.is_empty()).await;
    }

    /// Waits until none does. Whoever still looks at one that has ended does not hold this up.
    pub(super) async fn empty(&self) {
        self.wait(|entries| entries.running.is_empty()).await;
    }

    async fn wait(&self, reached: impl Fn(&Entries) -> bool) {
        // The sender is `self`, so the channel cannot close.
        let _ = self
            .0
            .subscribe()
            .wait_for(|entries| reached(entries))
            .await;
    }
}

/// A running server's entry.
#[derive(Debug)]
pub(super) struct Entry {
    presence: Arc<Presence>,
    key: u64,
    roster: Arc<Roster>,
}

impl Entry {
    pub(super) fn presence(&self) -> &Presence {
        &self.presence
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.roster.0.send_modify(|entries| {
            entries.running.remove(&self.key);
        });
    }
}
