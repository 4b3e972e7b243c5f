//! Cluster peers: other clusters whose services may call this one, and who vouches for them.
//!
//! A service of another cluster has a certificate of that cluster's own authority. It is verified against the roots of that
//! one cluster peer, never against a pool of all: an authority vouches for its own trust domain alone.
//!
//! Which cluster peers there are is what intentions say: a peer that no intention names as a source may not call, and its
//! roots are not even known. [`ClusterPeers::watch`] reads them from Consul (`GET /v1/peering/:name`, which needs
//! `peering:read`); where the token may not, they are given to the program: [`ClusterPeer::new`].
//!
//! Two cluster peers with one trust domain, or one with our own, could not be told apart, so none of them may call.

mod cluster_peer;
mod fault;
mod follow;
mod known;
mod status;

pub use cluster_peer::ClusterPeer;
pub use fault::ClusterPeerFault;
pub use status::{ClusterPeerStatus, ClusterPeersStatus};

pub(crate) use known::Known;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use consul_api::{Client, WatchMonitor};
use tokio::sync::watch;

use crate::{TrustDomain, task::Task};

/// The cluster peers of one member, kept current. Cheap to clone; all clones are the same set.
///
/// Hand it to a [`Listener`](crate::Listener), which verifies callers by it, and to
/// [`Intentions`](crate::Intentions), which say whom to know: each by its builder or configuration.
///
/// # Security
/// With cluster peers, a caller's service name alone no longer says who it is: another cluster may have a service of the
/// same name. Policies of one's own must look at [`Peer::cluster_peer`](crate::Peer::cluster_peer).
///
/// # Shutdown
/// The tasks behind it end with the last clone. What was received stays in force.
#[derive(Clone)]
pub struct ClusterPeers {
    shared: Arc<Shared>,
    /// Apart from what the tasks themselves hold, so that they end with the last handle.
    watching: Arc<Mutex<Watching>>,
}

struct Watching {
    client: Option<Client>,
    tasks: HashMap<Arc<str>, Task>,
}

struct Shared {
    known: ArcSwap<Known>,
    changes: watch::Sender<u64>,
    entries: Mutex<Entries>,
    /// Told whenever anything about any of them is new.
    progress: watch::Sender<()>,
}

#[derive(Default)]
struct Entries {
    by_name: BTreeMap<Arc<str>, Entry>,
    last_ticket: u64,
}

/// What is known under one name.
struct Entry {
    /// Usable as far as it alone is concerned; others may have the same trust domain.
    usable: Option<Arc<ClusterPeer>>,
    fault: Option<ClusterPeerFault>,
    /// `None` if it was given to the program.
    monitor: Option<WatchMonitor>,
    given: bool,
    /// Which task may write here; a later one for the same name has another.
    ticket: u64,
}

impl Default for ClusterPeers {
    fn default() -> Self {
        Self::none()
    }
}

impl ClusterPeers {
    /// No cluster peer: only services of our own trust domain may call.
    pub fn none() -> Self {
        Self::new(None)
    }

    /// Exactly these. Consul is not asked.
    ///
    /// # Errors
    /// [`ClusterPeerFault::SharedTrustDomain`] if two of them have one trust domain.
    pub fn fixed(peers: impl IntoIterator<Item = ClusterPeer>) -> Result<Self, ClusterPeerFault> {
        let these = Self::none();
        for peer in peers {
            these.give(peer)?;
        }
        Ok(these)
    }

    /// Those that are [named](Self::set_names), as Consul knows them.
    ///
    /// [`set_names`](Self::set_names) must then be called within a Tokio runtime.
    pub fn watch(client: &Client) -> Self {
        Self::new(Some(client.clone()))
    }

    fn new(client: Option<Client>) -> Self {
        Self {
            shared: Arc::new(Shared {
                known: ArcSwap::from_pointee(Known::default()),
                changes: watch::Sender::new(0),
                entries: Mutex::default(),
                progress: watch::Sender::new(()),
            }),
            watching: Arc::new(Mutex::new(Watching {
                client,
                tasks: HashMap::new(),
            })),
        }
    }

    /// Adds a cluster peer, or replaces the one of that name, in the place of what Consul says about it.
    ///
    /// # Errors
    /// [`ClusterPeerFault::SharedTrustDomain`] if another that was given has its trust domain. Nothing is changed then.
    pub fn give(&self, peer: ClusterPeer) -> Result<(), ClusterPeerFault> {
        let name = Arc::clone(peer.shared_name());
        let mut watching = self.watching();
        let mut entries = self.shared.entries();
        let same = |(other, entry): (&Arc<str>, &Entry)| {
            let twin = entry.usable.as_ref();
            (entry.given && *other != name)
                .then_some(twin)
                .flatten()
                .is_some_and(|twin| twin.trust_domain() == peer.trust_domain())
                .then(|| other.to_string())
        };
        if let Some(with) = entries.by_name.iter().find_map(same) {
            let trust_domain = peer.trust_domain().clone();
            return Err(ClusterPeerFault::SharedTrustDomain { trust_domain, with });
        }
        watching.tasks.remove(&name);
        let ticket = entries.ticket();
        let entry = Entry {
            usable: Some(Arc::new(peer)),
            fault: None,
            monitor: None,
            given: true,
            ticket,
        };
        entries.by_name.insert(name, entry);
        self.shared.publish(&entries);
        Ok(())
    }

    /// Says which cluster peers to know, by the names our cluster gave them: from now on these, and those that were
    /// [given](Self::give).
    pub fn set_names(&self, names: impl IntoIterator<Item = String>) {
        let names: BTreeSet<Arc<str>> = names.into_iter().map(Arc::from).collect();
        let mut watching = self.watching();
        let mut entries = self.shared.entries();
        entries
            .by_name
            .retain(|name, entry| entry.given || names.contains(name));
        watching.tasks.retain(|name, _| names.contains(name));
        for name in names {
            if entries.by_name.contains_key(&name) {
                continue;
            }
            let ticket = entries.ticket();
            let watch = watching
                .client
                .as_ref()
                .map(|client| client.peerings().get(&*name).watch());
            let (fault, monitor) = match &watch {
                Some(watch) => (ClusterPeerFault::Waiting, Some(watch.monitor())),
                None => (ClusterPeerFault::NotGiven, None),
            };
            let entry = Entry {
                usable: None,
                fault: Some(fault),
                monitor,
                given: false,
                ticket,
            };
            entries.by_name.insert(Arc::clone(&name), entry);
            if let Some(watch) = watch {
                let shared = Arc::clone(&self.shared);
                let following = follow::follow(watch, Arc::clone(&name), ticket, shared);
                watching.tasks.insert(name, Task::spawn(following));
            }
        }
        self.shared.publish(&entries);
    }

    /// Waits until Consul has said something, be it an error, about every one that is named. Has no deadline of its own.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn ready(&self) {
        let mut progress = self.shared.progress.subscribe();
        loop {
            progress.mark_unchanged();
            let waiting = {
                let entries = self.shared.entries();
                let mut each = entries.by_name.values();
                each.any(|entry| matches!(entry.fault, Some(ClusterPeerFault::Waiting)))
            };
            // The sender is in `shared`, so waiting for it cannot fail.
            if !waiting || progress.changed().await.is_err() {
                return;
            }
        }
    }

    /// What is known about each, and why those that may not call may not. `own` is our own trust domain.
    pub fn status(&self, own: &TrustDomain) -> ClusterPeersStatus {
        let entries = self.shared.entries();
        let each = entries.by_name.iter().map(|(name, entry)| {
            let usable = entry.usable.as_ref();
            let conflict = usable.and_then(|peer| entries.conflict(peer, own));
            let watch = entry.monitor.as_ref().map(WatchMonitor::status);
            ClusterPeerStatus {
                name: name.to_string(),
                given: entry.given,
                trust_domain: usable.map(|peer| peer.trust_domain().clone()),
                roots: usable.map_or(0, |peer| peer.roots().len()),
                usable: usable.is_some() && conflict.is_none(),
                fault: conflict.or_else(|| entry.fault.clone()),
                failing_for: watch.as_ref().and_then(|watch| watch.failing_for),
                last_error: watch.and_then(|watch| watch.last_error),
            }
        });
        ClusterPeersStatus {
            generation: self.generation(),
            peers: each.collect(),
        }
    }

    /// Whether none is named and none was given.
    pub fn is_empty(&self) -> bool {
        self.shared.entries().by_name.is_empty()
    }

    pub(crate) fn current(&self) -> Arc<Known> {
        self.shared.known.load_full()
    }

    /// Looks at what is known now without counting a reference to it.
    pub(crate) fn peek<R>(&self, look: impl FnOnce(&Known) -> R) -> R {
        look(&self.shared.known.load())
    }

    pub(crate) fn generation(&self) -> u64 {
        self.peek(Known::generation)
    }

    /// The generation of what is known: a new value for each publication.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    fn watching(&self) -> MutexGuard<'_, Watching> {
        self.watching.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes what the entries say what is known. `entries` is locked by the caller, so that no older one comes later.
    fn publish(&self, entries: &Entries) {
        let usable = entries.by_name.values();
        let next = Known::new(usable.filter_map(|entry| entry.usable.clone()));
        let current = self.known.load();
        if !current.same_as(&next) {
            let generation = current.generation() + 1;
            // Store first, notify after: whoever wakes finds the new one.
            self.known.store(Arc::new(next.numbered(generation)));
            self.changes.send_replace(generation);
        }
        self.progress.send_replace(());
    }

    /// Writes what a task has found out, if it is still the one for that name.
    fn update(&self, name: &str, ticket: u64, change: impl FnOnce(&mut Entry)) {
        let mut entries = self.entries();
        if let Some(entry) = entries.by_name.get_mut(name)
            && entry.ticket == ticket
        {
            change(entry);
            self.publish(&entries);
        }
    }
}

impl Entries {
    fn ticket(&mut self) -> u64 {
        self.last_ticket += 1;
        self.last_ticket
    }

    /// Why this one may not call although its own facts are in order.
    fn conflict(&self, peer: &ClusterPeer, own: &TrustDomain) -> Option<ClusterPeerFault> {
        let trust_domain = peer.trust_domain().clone();
        if trust_domain == *own {
            return Some(ClusterPeerFault::OwnTrustDomain { trust_domain });
        }
        let mut others = self
            .by_name
            .iter()
            .filter(|(name, _)| ***name != *peer.name());
        let twin = others.find(|(_, other)| {
            let other = other.usable.as_ref();
            other.is_some_and(|other| *other.trust_domain() == trust_domain)
        });
        let with = twin?.0.to_string();
        Some(ClusterPeerFault::SharedTrustDomain { trust_domain, with })
    }
}

impl fmt::Debug for ClusterPeers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClusterPeers")
            .field(&self.current())
            .finish()
    }
}

#[cfg(test)]
mod tests;
