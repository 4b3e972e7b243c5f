//! The servers of one process, as the catalog sees them.

use std::sync::{Arc, Weak};

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
    running: Vec<Weak<Presence>>,
}

impl Entries {
    fn alive(&self) -> impl Iterator<Item = Arc<Presence>> + '_ {
        self.running.iter().filter_map(Weak::upgrade)
    }
}

impl Roster {
    /// Enters a server; it leaves when the entry is dropped.
    pub(super) fn enter(self: &Arc<Self>, presence: Presence) -> Entry {
        let presence = Arc::new(presence);
        self.0
            .send_modify(|entries| entries.running.push(Arc::downgrade(&presence)));
        Entry {
            presence: Some(presence),
            roster: Arc::clone(self),
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<Presence>> {
        self.0.borrow().alive().collect()
    }

    /// Waits until at least one server runs.
    pub(super) async fn inhabited(&self) {
        self.wait(|entries| entries.alive().next().is_some()).await;
    }

    /// Waits until none does.
    pub(super) async fn empty(&self) {
        self.wait(|entries| entries.alive().next().is_none()).await;
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
    presence: Option<Arc<Presence>>,
    roster: Arc<Roster>,
}

impl Entry {
    pub(super) fn presence(&self) -> &Presence {
        self.presence
            .as_deref()
            .expect("an entry holds its presence until it is dropped")
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // First the presence, so that who is woken by the second line finds it gone.
        self.presence = None;
        let gone = |presence: &Weak<Presence>| presence.strong_count() == 0;
        self.roster
            .0
            .send_modify(|entries| entries.running.retain(|presence| !gone(presence)));
    }
}
