//! One per client: identical watches share one task, and all of them one budget and one opinion on whether
//! Consul is there.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{runtime::Handle, sync::watch, task::AbortHandle};

#[cfg(feature = "grpc")]
use super::journal::Answered;
use super::{
    backoff::Backoff,
    budget::Budget,
    driver::{Ask, Shared, drive},
    published::Published,
};
use crate::{Config, Token};

/// What makes two watches the same: they ask the same, as the same, and decode into the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    call: String,
    /// The address of the token's cell: a token may be replaced under its watches, and then they still belong together.
    /// An entry whose cell is gone is gone itself.
    token: usize,
    value: TypeId,
}

impl Key {
    /// `call` is the whole request without the token.
    pub(crate) fn new<T: 'static>(call: String, token: &Arc<watch::Sender<Token>>) -> Self {
        Self {
            call,
            token: Arc::as_ptr(token).addr(),
            value: TypeId::of::<T>(),
        }
    }
}

/// The watches of one client.
pub(crate) struct Hub {
    shared: Arc<Shared>,
    entries: Mutex<HashMap<Key, Listed>>,
    next_id: AtomicU64,
}

/// An entry as the hub knows it: it does not keep it alive.
struct Listed {
    id: u64,
    entry: Weak<dyn Any + Send + Sync>,
}

impl Hub {
    /// For the watches of a client of this configuration.
    pub(crate) fn new(config: &Config) -> Self {
        let budget = Budget::new(config.watch_connections());
        Self {
            shared: Arc::new(Shared::new(
                budget,
                Backoff::new(config.address().is_local()),
            )),
            entries: Mutex::default(),
            next_id: AtomicU64::new(0),
        }
    }

    /// Notes that the server speaks HTTP/2.
    pub(crate) fn multiplexed(&self) {
        self.shared.budget.multiplexed();
    }

    /// The entry of `key`: the one there is, or a new one that asks through `ask`.
    pub(crate) fn entry<A: Ask>(
        self: &Arc<Self>,
        key: Key,
        ask: impl FnOnce() -> A,
    ) -> Arc<Entry<A::Value>> {
        let mut entries = self.lock();
        let found = entries.get(&key).and_then(|listed| listed.entry.upgrade());
        if let Some(Ok(entry)) = found.map(Arc::downcast) {
            return entry;
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let published = Arc::new(watch::Sender::new(Published::default()));
        let task = Box::pin(drive(
            ask(),
            Arc::clone(&self.shared),
            Arc::clone(&published),
        ));
        let entry = Arc::new(Entry {
            published,
            task: Mutex::new(Task {
                waiting: Some(task),
                running: None,
            }),
            place: Place {
                hub: Arc::downgrade(self),
                key: key.clone(),
                id,
            },
        });
        let listed: Weak<dyn Any + Send + Sync> =
            Arc::downgrade(&(Arc::clone(&entry) as Arc<dyn Any + Send + Sync>));
        entries.insert(key, Listed { id, entry: listed });
        entry
    }

    /// As [`Shared::answered`], for what asks the same server in other ways.
    #[cfg(feature = "grpc")]
    pub(crate) fn answered(&self, answered: Answered) {
        self.shared.answered(answered);
    }

    /// As [`Shared::returns`].
    pub(crate) fn returns(&self) -> watch::Receiver<u64> {
        self.shared.returns()
    }

    /// As [`Shared::recoveries`].
    #[cfg(feature = "grpc")]
    pub(crate) fn recoveries(&self) -> watch::Receiver<u64> {
        self.shared.recoveries()
    }

    /// How many watches run.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Listed>> {
        // Each change under the lock is one insert or one remove: a panic cannot leave half of it.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("watches", &self.len())
            .finish_non_exhaustive()
    }
}

/// One running watch, owned by its subscribers: the task ends with the last of them.
pub(crate) struct Entry<T> {
    pub(crate) published: Arc<watch::Sender<Published<T>>>,
    task: Mutex<Task>,
    // Read only by its Drop.
    #[expect(dead_code, reason = "leaves the hub when dropped")]
    place: Place,
}

/// Where an entry is listed; dropped with it.
struct Place {
    hub: Weak<Hub>,
    key: Key,
    id: u64,
}

/// The future, until there is a runtime to run it.
struct Task {
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    running: Option<AbortOnDrop>,
}

struct AbortOnDrop(AbortHandle);

impl<T> Entry<T> {
    /// Starts the task if it does not run yet. Returns `false` outside a Tokio runtime.
    pub(crate) fn start(&self) -> bool {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(runtime) = Handle::try_current()
            && let Some(future) = task.waiting.take()
        {
            task.running = Some(AbortOnDrop(runtime.spawn(future).abort_handle()));
        }
        task.running.is_some()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(hub) = self.hub.upgrade() else {
            return;
        };
        let mut entries = hub.lock();
        // Somebody may have subscribed anew between the last drop and this line.
        if entries
            .get(&self.key)
            .is_some_and(|listed| listed.id == self.id)
        {
            entries.remove(&self.key);
        }
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
