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

/// The servers that run now.
#[derive(Debug, Default)]
pub(super) struct Roster(watch::Sender<Entries>);

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    running: BTreeMap<u64, Running>,
    /// The last of them left in order, and none has come since.
    left: bool,
}

#[derive(Debug)]
struct Running {
    presence: Arc<Presence>,
    leaving: bool,
}

impl Entries {
    /// Whether there are servers, and all are on their way out.
    fn all_leave(&self) -> bool {
        !self.running.is_empty() && self.running.values().all(|running| running.leaving)
    }
}

impl Roster {
    /// Enters a server; it leaves when the entry is dropped.
    pub(super) fn enter(self: &Arc<Self>, presence: Presence) -> Entry {
        let presence = Arc::new(presence);
        let running = Running {
            presence: Arc::clone(&presence),
            leaving: false,
        };
        let mut key = 0;
        self.0.send_modify(|entries| {
            key = entries.next;
            entries.next += 1;
            entries.running.insert(key, running);
            entries.left = false;
        });
        Entry {
            presence,
            key,
            roster: Arc::clone(self),
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<Presence>> {
        let entries = self.0.borrow();
        let running = entries.running.values();
        running.map(|one| Arc::clone(&one.presence)).collect()
    }

    /// Those that are not on their way out.
    pub(super) fn staying(&self) -> Vec<Arc<Presence>> {
        let entries = self.0.borrow();
        let staying = entries.running.values().filter(|running| !running.leaving);
        staying.map(|one| Arc::clone(&one.presence)).collect()
    }

    /// Whether the last servers are on their way out, or have gone it.
    pub(super) fn is_left(&self) -> bool {
        let entries = self.0.borrow();
        entries.left || entries.all_leave()
    }

    /// Waits until at least one server runs.
    pub(super) async fn inhabited(&self) {
        self.wait(|entries| !entries.running.is_empty()).await;
    }

    /// Waits until all that run are on their way out.
    pub(super) async fn leaving(&self) {
        self.wait(Entries::all_leave).await;
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

impl Place for Entry {
    fn leave(&self) {
        self.roster.0.send_modify(|entries| {
            if let Some(running) = entries.running.get_mut(&self.key) {
                running.leaving = true;
            }
        });
    }

    async fn announce(&self) {
        if let Some(registration) = &self.presence.registration {
            registration.drain().await;
        }
    }

    async fn depart(&self) {
        if let Some(registration) = &self.presence.registration
            && let Err(error) = registration.deregister().await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "left without deregistering"
            );
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.roster.0.send_modify(|entries| {
            let ended = entries.running.remove(&self.key);
            let in_order = ended.is_some_and(|running| running.leaving);
            entries.left = in_order && entries.running.is_empty();
        });
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn roster() -> Arc<Roster> {
        Arc::default()
    }

    fn enter(roster: &Arc<Roster>) -> Entry {
        roster.enter(Presence::new(None))
    }

    fn runs(roster: &Roster, entry: &Entry) -> bool {
        let all = roster.all();
        all.iter().any(|one| Arc::ptr_eq(one, &entry.presence))
    }

    #[test]
    fn each_server_leaves_by_itself_in_whatever_order() {
        let roster = roster();
        let (one, two) = (enter(&roster), enter(&roster));
        drop(one);
        let three = enter(&roster);
        assert!(runs(&roster, &two) && runs(&roster, &three));
        // Whoever looks at one keeps its presence, not its place.
        let looking = roster.all();
        drop(three);
        assert!(runs(&roster, &two));
        assert_eq!(roster.all().len(), 1);
        assert!(roster.empty().now_or_never().is_none());
        drop(two);
        assert!(roster.empty().now_or_never().is_some());
        drop(looking);
    }

    #[test]
    fn the_member_leaves_with_the_last_of_its_servers() {
        let roster = roster();
        assert!(!roster.is_left(), "a caller has none");
        let (one, two) = (enter(&roster), enter(&roster));
        one.leave();
        assert!(!roster.is_left() && roster.leaving().now_or_never().is_none());
        assert_eq!(roster.staying().len(), 1);
        two.leave();
        assert!(roster.is_left() && roster.leaving().now_or_never().is_some());
        drop((one, two));
        assert!(roster.is_left(), "it does not come back by ending");
        let three = enter(&roster);
        assert!(!roster.is_left());
        drop(three);
        assert!(!roster.is_left(), "a crash is no leaving");
    }
}
