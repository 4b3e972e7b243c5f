//! Being in the catalog: a loop that keeps one instance of a service registered with the agent, and its health current.
//!
//! A [`Registration`] registers the instance as natively meshed (`Connect.Native`) with one TTL check, reports the health
//! of application *and* certificate to it, and repairs what is lost: an agent that forgot the instance (it was wiped, an
//! operator deregistered it, or its check was reaped) gets it again at the next report, within a third of the TTL, and at once
//! when a watch of the same client says that the agent was away and answers again. An agent that is away is asked again, with
//! backoff, for ever.
//!
//! # Why a TTL check
//! The agent cannot probe a port that demands a client certificate. The check is reported to at a third of its TTL; a
//! process that dies without saying so turns critical within one TTL (15 s), and the agent removes the instance after
//! [`RegistrationConfig::deregister_after`] (10 min). The text of the check changes only with its state, because tools
//! that follow the catalog act on every change.
//!
//! # Instances
//! The id is `<service>-<host name>-<port>`, with the address before the port when one is registered: the same after a
//! restart, so that a process that crashed takes its old entry over instead of leaving a ghost beside it; and different for
//! two instances on one host, and for containers that share an agent. [`RegistrationConfig::id`] overrides it.

mod config;
mod health;
mod instance;
mod reconcile;
mod status;
mod worker;

pub use config::RegistrationConfig;
pub use health::{Health, HealthState};
pub use status::{RegistrationError, RegistrationState, RegistrationStatus};

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use consul_api::Client;
use tokio::{sync::watch, time::timeout};

use crate::task::Task;
use reconcile::Presence;
use worker::{Progress, Wish};

/// How long [`Registration::deregister`] tries before it leaves the instance to the agent.
const DEREGISTER_WITHIN: Duration = Duration::from_secs(5);

/// One instance of a service, kept in the catalog.
///
/// # Shutdown
/// Dropping it is what a crash is: reports end, the check turns critical after its TTL, and the agent removes the instance
/// later. An orderly end is [`drain`](Self::drain), then [`deregister`](Self::deregister).
pub struct Registration {
    shared: Arc<Shared>,
    health: Health,
    task: Mutex<Option<Task>>,
}

struct Shared {
    config: RegistrationConfig,
    id: String,
    wish: watch::Sender<Wish>,
    progress: watch::Sender<Progress>,
}

impl Registration {
    /// Begins to keep the instance registered. Must be called within a Tokio runtime.
    pub fn new(client: Client, config: RegistrationConfig) -> Self {
        let id = config.instance_id();
        let health = match &config.health {
            Some(shared) => shared.clone(),
            None => Health::new(config.initial.clone()),
        };
        let external = config.external.is_some();
        let shared = Arc::new(Shared {
            wish: watch::Sender::new(Wish::default()),
            progress: watch::Sender::new(Progress::default()),
            config,
            id,
        });
        let task = (!external)
            .then(|| Task::spawn(worker::run(client, Arc::clone(&shared), health.subscribe())));
        Self {
            shared,
            health,
            task: Mutex::new(task),
        }
    }

    /// The instance's id in the catalog.
    pub fn id(&self) -> &str {
        &self.shared.id
    }

    /// The handle by which the application says how it is.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Waits until the agent has taken the instance in. Has no deadline of its own.
    ///
    /// # Errors
    /// [`RegistrationError::Refused`] if the agent says that it never will: a token without `service:write`, a definition
    /// it does not accept. It is tried again all the same.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn registered(&self) -> Result<(), RegistrationError> {
        self.reached(|progress| match progress.state() {
            RegistrationState::Registered | RegistrationState::Deregistered => Some(Ok(())),
            RegistrationState::Pending => progress.refusal().map(|cause| {
                Err(RegistrationError::Refused {
                    id: self.shared.id.clone(),
                    cause,
                })
            }),
            RegistrationState::External => None,
        })
        .await
    }

    /// Reports critical with the note `draining`, whatever the application's health, and waits until the agent knows.
    ///
    /// Has no deadline of its own: an agent that is away is waited for. Clients learn of it once the catalog has carried it.
    ///
    /// # Cancel safety
    /// The wish stays when the future is dropped.
    pub async fn drain(&self) {
        self.shared.wish.send_modify(|wish| wish.draining = true);
        let drained = self.reached(|progress| {
            let gone = progress.state() == RegistrationState::Deregistered;
            (gone || progress.is_drained()).then_some(Ok(()))
        });
        // The closure makes no error.
        let _ = drained.await;
    }

    /// Takes the instance out of the catalog and ends the loop. Tries for at most five seconds.
    ///
    /// # Errors
    /// [`RegistrationError::NotDeregistered`] if the agent could not be told in that time. It then removes the instance by
    /// itself, as after a crash.
    ///
    /// # Cancel safety
    /// The wish stays when the future is dropped; the loop goes on trying while this handle lives.
    pub async fn deregister(&self) -> Result<(), RegistrationError> {
        self.shared
            .wish
            .send_modify(|wish| wish.presence = Presence::Absent);
        let gone = self.reached(|progress| {
            (progress.state() == RegistrationState::Deregistered).then_some(Ok(()))
        });
        let result = timeout(DEREGISTER_WITHIN, gone)
            .await
            .unwrap_or_else(|_elapsed| {
                Err(RegistrationError::NotDeregistered {
                    id: self.shared.id.clone(),
                    cause: self.shared.progress.borrow().last_error(),
                })
            });
        let task = self
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(task) = task {
            task.stop().await;
        }
        result
    }

    /// What the agent was told last, and what is wrong.
    pub fn status(&self) -> RegistrationStatus {
        let progress = self.shared.progress.borrow();
        let config = &self.shared.config;
        RegistrationStatus {
            id: self.shared.id.clone(),
            service: config.service.clone(),
            external: config.external.clone(),
            state: match config.external {
                Some(_) => RegistrationState::External,
                None => progress.state(),
            },
            check: progress.reported(),
            failures: progress.failures(),
            last_error: progress.last_error(),
        }
    }

    /// Waits until the worker has come to where `done` has an answer; at once if somebody else registers.
    async fn reached(
        &self,
        done: impl Fn(&Progress) -> Option<Result<(), RegistrationError>>,
    ) -> Result<(), RegistrationError> {
        if self.shared.config.external.is_some() {
            return Ok(());
        }
        let mut progress = self.shared.progress.subscribe();
        loop {
            if let Some(result) = done(&progress.borrow_and_update()) {
                return result;
            }
            if progress.changed().await.is_err() {
                return Ok(());
            }
        }
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registration").field(&self.status()).finish()
    }
}
