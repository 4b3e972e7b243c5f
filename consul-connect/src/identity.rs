//! Who I am: the leaf, the roots, and where they come from.
//!
//! An [`Identity`] is live. Its source renews; the newest material that a peer would accept is published whole, as one
//! [`Snapshot`], and everything that depends on it follows. Material that would be refused is never published: the one in
//! use stays until its own expiry, and [`status`](Identity::status) says what is wrong. Two cases are special:
//!
//! * A leaf that is not valid *yet* (the authority's clock is ahead) is kept, and taken when its time has come.
//! * Roots that no longer anchor the leaf *in use* are published with that leaf: a root that was withdrawn ends for others
//!   at once, while our own leaf, which those who heard of it refuse, is being signed anew.

mod error;
mod follow;
mod leaf;
mod material;
#[cfg(feature = "grpc")]
mod renewal;
mod snapshot;
pub mod source;
mod status;

pub use error::{IdentityError, IdentityFault, InvalidMaterial};
pub use leaf::Leaf;
pub use material::{KeyPem, Material};
pub use snapshot::Snapshot;
pub use status::IdentityStatus;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::{
    crypto::CryptoProvider,
    time_provider::{DefaultTimeProvider, TimeProvider},
};
use tokio::{sync::watch, time::timeout};

use crate::{ServiceName, crypto_provider, task::Task};
use follow::{Deliveries, Validate, first, follow};
use source::IdentitySource;

/// A live identity. Cheap to clone; all clones follow the same source.
///
/// # Shutdown
/// The task that follows the source stops with the last clone, or with [`shutdown`](Self::shutdown).
#[derive(Clone)]
pub struct Identity {
    shared: Arc<Shared>,
    task: Arc<Mutex<Option<Task>>>,
}

struct Shared {
    current: ArcSwap<Snapshot>,
    changes: watch::Sender<u64>,
    source: String,
    /// Written by the task, read by `status()`; never on a path that serves.
    health: Mutex<Health>,
}

#[derive(Default)]
struct Health {
    fault: Option<IdentityFault>,
    ended: bool,
}

/// How to establish an [`Identity`].
#[derive(Clone)]
pub struct IdentityConfig {
    service: Option<ServiceName>,
    ready_within: Duration,
    provider: Option<Arc<CryptoProvider>>,
    time: Arc<dyn TimeProvider>,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        Self {
            service: None,
            ready_within: Duration::from_secs(30),
            provider: None,
            time: Arc::new(DefaultTimeProvider),
        }
    }
}

impl IdentityConfig {
    /// Refuse material of any other service.
    #[must_use]
    pub fn service(mut self, service: ServiceName) -> Self {
        self.service = Some(service);
        self
    }

    /// How long [`Identity::connect`] waits for the first usable material. Default 30 s.
    #[must_use]
    pub fn ready_within(mut self, deadline: Duration) -> Self {
        self.ready_within = deadline;
        self
    }

    /// The cryptography to use. Default [`crypto_provider`].
    #[must_use]
    pub fn crypto_provider(mut self, provider: Arc<CryptoProvider>) -> Self {
        self.provider = Some(provider);
        self
    }

    /// The wall clock that certificates are held against. Default the system's.
    #[must_use]
    pub fn time_provider(mut self, time: Arc<dyn TimeProvider>) -> Self {
        self.time = time;
        self
    }
}

impl fmt::Debug for IdentityConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityConfig")
            .field("service", &self.service)
            .field("ready_within", &self.ready_within)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// Waits for the first usable material of `source`, and follows it from then on.
    ///
    /// # Errors
    /// [`IdentityError`] if the deadline passes, the source ends, or it says that waiting is of no use. The last thing that
    /// went wrong is its `source()`.
    ///
    /// # Cancel safety
    /// Dropping the future stops the source.
    pub async fn connect(
        source: impl IdentitySource,
        config: IdentityConfig,
    ) -> Result<Self, IdentityError> {
        let described = source.describe();
        let validate = Validate {
            service: config.service,
            provider: match config.provider {
                Some(provider) => provider,
                None => crypto_provider()?,
            },
            time: config.time,
        };
        let mut deliveries = Deliveries::new(Box::new(source).materials());
        let mut last = None;
        let first = timeout(
            config.ready_within,
            first(&mut deliveries, &validate, &described, &mut last),
        )
        .await;
        let snapshot = match first {
            Ok(result) => result?,
            Err(_elapsed) => {
                return Err(IdentityError::TimedOut {
                    described,
                    waited: config.ready_within,
                    last,
                });
            }
        };
        tracing::info!(id = %snapshot.id(), source = %described, serial = snapshot.leaf().serial(), "identity established");
        let shared = Arc::new(Shared {
            changes: watch::Sender::new(snapshot.generation()),
            current: ArcSwap::from_pointee(snapshot),
            source: described,
            health: Mutex::default(),
        });
        let task = Task::spawn(follow(deliveries, validate, Arc::clone(&shared)));
        Ok(Self {
            shared,
            task: Arc::new(Mutex::new(Some(task))),
        })
    }

    /// The state to use now. Never waits, takes no lock.
    pub fn current(&self) -> Arc<Snapshot> {
        self.shared.current.load_full()
    }

    /// The generation of the state to use now: cheaper than [`current`](Self::current) for who asks at every request,
    /// because it counts no reference that all threads share.
    pub fn generation(&self) -> u64 {
        self.peek(Snapshot::generation)
    }

    /// Looks at the state to use now without counting a reference to it.
    pub(crate) fn peek<R>(&self, look: impl FnOnce(&Snapshot) -> R) -> R {
        look(&self.shared.current.load())
    }

    /// The generation of the current state: a new value for each publication.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// What is known, how old it is, and what is wrong with it.
    pub fn status(&self) -> IdentityStatus {
        let snapshot = self.current();
        let health = self
            .shared
            .health
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (now, end) = (
            snapshot.now().as_secs(),
            snapshot.leaf().not_after().as_secs(),
        );
        IdentityStatus {
            id: snapshot.id().clone(),
            trust_domain: snapshot.trust_domain().clone(),
            source: self.shared.source.clone(),
            generation: snapshot.generation(),
            leaf_serial: snapshot.leaf().serial().to_owned(),
            leaf_not_after: snapshot.leaf().not_after(),
            leaf_remaining: end.checked_sub(now).map(Duration::from_secs),
            roots: snapshot.roots().len(),
            fault: health.fault.clone(),
            ended: health.ended,
        }
    }

    /// Stops following the source, and waits until its task has ended. What was published stays usable until it expires.
    ///
    /// # Cancel safety
    /// The task is stopped as soon as this is called, even if the future is then dropped.
    pub async fn shutdown(&self) {
        let task = self
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(task) = task {
            task.stop().await;
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("current", &self.current())
            .field("source", &self.shared.source)
            .finish()
    }
}
