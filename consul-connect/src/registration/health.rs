use std::fmt;

use tokio::sync::watch;

/// How the application is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HealthState {
    /// It works.
    Passing,
    /// It works, and something needs attention; the text says what. Clients may prefer other instances.
    Warning(String),
    /// It cannot work; the text says why. Clients use other instances.
    Critical(String),
}

/// Says how the application is. Cheap to clone; all clones speak for the same instance.
///
/// The text should stay the same as long as the state does, because every change of it goes through the catalog.
#[derive(Clone)]
pub struct Health(watch::Sender<HealthState>);

impl Health {
    /// A handle of its own, for [`RegistrationConfig::health`](super::RegistrationConfig::health).
    pub fn new(initial: HealthState) -> Self {
        Self(watch::Sender::new(initial))
    }

    /// The application works.
    pub fn set_passing(&self) {
        self.set(HealthState::Passing);
    }

    /// The application works, and `note` needs attention.
    pub fn set_warning(&self, note: impl Into<String>) {
        self.set(HealthState::Warning(note.into()));
    }

    /// The application cannot work, because of `note`.
    pub fn set_critical(&self, note: impl Into<String>) {
        self.set(HealthState::Critical(note.into()));
    }

    /// Sets any state. Reported to the agent at once if it is another one.
    pub fn set(&self, state: HealthState) {
        self.0.send_if_modified(|current| {
            let changes = *current != state;
            *current = state;
            changes
        });
    }

    /// What was set last.
    pub fn current(&self) -> HealthState {
        self.0.borrow().clone()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<HealthState> {
        self.0.subscribe()
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Health").field(&*self.0.borrow()).finish()
    }
}
