//! The live providers: which are followed, and what requests are held against.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use consul_api::Client;
use http::request::Parts;
use rustls_pki_types::UnixTime;
use tokio::sync::watch;

use super::{
    JwtConfig, JwtProviderStatus, Tokens, follow,
    published::{Reporter, Shared, State},
};
use crate::task::Task;

/// The token providers that the intentions of a service name, kept current.
///
/// Each is followed by one watch of its config entry; keys that are not in the entry are read or fetched off the path of
/// requests, and kept when that fails.
///
/// # Shutdown
/// The tasks end when it is dropped, or with [`shutdown`](Self::shutdown). What is known stays in force.
pub(crate) struct JwtProviders {
    client: Client,
    config: JwtConfig,
    shared: Arc<Shared>,
    followed: Mutex<Followed>,
}

#[derive(Default)]
struct Followed {
    tasks: BTreeMap<Arc<str>, Task>,
    ids: u64,
}

impl JwtProviders {
    /// Nobody is followed until [`set_names`](Self::set_names).
    pub(crate) fn new(client: Client, config: JwtConfig) -> Self {
        Self {
            client,
            config,
            shared: Arc::new(Shared::new()),
            followed: Mutex::default(),
        }
    }

    /// Follows these providers and no others. Those that were followed before go on undisturbed.
    ///
    /// Must be called within a Tokio runtime.
    pub(crate) fn set_names<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let names: BTreeSet<&str> = names.into_iter().collect();
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let followed = &mut *followed;
        let known = |name: &str| names.contains(name);
        let new: Vec<(Arc<str>, u64)> = names
            .iter()
            .filter(|name| !followed.tasks.contains_key(**name))
            .map(|name| {
                followed.ids += 1;
                (Arc::from(*name), followed.ids)
            })
            .collect();
        followed.tasks.retain(|name, _| known(name));
        self.shared.update(|states| {
            let before = states.len();
            states.retain(|name, _| known(name));
            let fewer = states.len() < before;
            states.extend(
                new.iter()
                    .map(|(name, id)| (Arc::clone(name), State::new(*id))),
            );
            fewer || !new.is_empty()
        });
        for (name, id) in new {
            let report = Reporter {
                shared: Arc::clone(&self.shared),
                name: Arc::clone(&name),
                id,
            };
            let following = follow::provider(self.client.clone(), self.config.clone(), report);
            followed.tasks.insert(name, Task::spawn(following));
        }
    }

    /// The tokens of a request, verified as of so long ago. Takes no lock; without providers it does nothing.
    pub(crate) fn authenticate(&self, head: &Parts, ago: Duration) -> Tokens {
        let providers = self.shared.current.load();
        let then = self.now().as_secs().saturating_sub(ago.as_secs());
        providers.authenticate(head, UnixTime::since_unix_epoch(Duration::from_secs(then)))
    }

    /// Waits until of each provider something is known, good or bad.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn settled(&self) {
        let mut states = self.shared.states.subscribe();
        let settled = |states: &BTreeMap<Arc<str>, State>| !states.values().any(State::is_awaited);
        // The sender lives in `self`, so the channel cannot close.
        let _ = states.wait_for(settled).await;
    }

    /// The wall clock. One that cannot be read makes every token expired that expires, which is the closed side.
    fn now(&self) -> UnixTime {
        let end = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX >> 1));
        self.config.time.current_time().unwrap_or(end)
    }

    /// The generation of what decides: a new value for every change of it.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// How each provider is doing, by name.
    pub(crate) fn status(&self) -> Vec<JwtProviderStatus> {
        self.shared.statuses()
    }

    /// Told of every report of a task, also of those that change nothing.
    #[cfg(test)]
    pub(super) fn reports(&self) -> watch::Receiver<BTreeMap<Arc<str>, State>> {
        self.shared.states.subscribe()
    }

    /// Stops following, and waits until the tasks have ended.
    ///
    /// # Cancel safety
    /// The tasks are stopped as soon as this is called, even if the future is then dropped.
    pub(crate) async fn shutdown(&self) {
        let tasks = {
            let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut followed.tasks)
        };
        for task in tasks.into_values() {
            task.stop().await;
        }
    }
}

impl fmt::Debug for JwtProviders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let states = self.shared.states.borrow();
        f.debug_list().entries(states.keys()).finish()
    }
}
