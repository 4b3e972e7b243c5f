//! The TLS in force: published whole, read by every handshake, kept current by a task.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use consul_api::{Client, Error, Watch, WatchMonitor, config_entry::Mesh};
use futures_util::StreamExt;
use rustls::crypto::CryptoProvider;
use tokio::sync::watch;

use super::{
    parameters::{TlsLimits, TlsParameters},
    side::{Side, TlsSideStatus},
};
use crate::{Identity, task::Task};

/// Which TLS the connections of one member speak. Cheap to clone; all clones are the same.
///
/// Hand it to a [`Listener`](crate::Listener) and to a [`Connector`](crate::Connector). A change is in force on the next
/// handshake; connections that are open stay as they are.
///
/// # Shutdown
/// The task behind [`watch`](Self::watch) ends with the last clone. What was received stays in force.
#[derive(Clone)]
pub struct TlsPolicy {
    shared: Arc<Shared>,
    monitor: Option<WatchMonitor>,
    _task: Option<Arc<Task>>,
}

struct Shared {
    provider: Arc<CryptoProvider>,
    current: ArcSwap<Published>,
    /// Whether the first answer has come, or was refused.
    answered: watch::Sender<bool>,
    /// Written by the task, read by `status()`.
    refused: Mutex<Option<Error>>,
}

pub(crate) struct Published {
    pub(crate) incoming: Side,
    pub(crate) outgoing: Side,
    origin: TlsOrigin,
}

/// Where the parameters in force come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsOrigin {
    /// The program gave them.
    Given,
    /// The `mesh` config entry.
    MeshEntry,
    /// Consul has no `mesh` entry: the defaults.
    NoMeshEntry,
    /// Consul does not let us read the entry: the defaults.
    NotPermitted,
    /// Consul has not answered yet: every handshake is refused.
    Unknown,
}

impl fmt::Display for TlsOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Given => "as the program says",
            Self::MeshEntry => "as the `mesh` entry says",
            Self::NoMeshEntry => "there is no `mesh` entry",
            Self::NotPermitted => "the token may not read the `mesh` entry",
            Self::Unknown => "Consul has not told the `mesh` entry yet",
        })
    }
}

/// Which TLS is in force, and what is wrong with what was asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TlsStatus {
    /// Where it comes from.
    pub origin: TlsOrigin,
    /// With those who call us.
    pub incoming: TlsSideStatus,
    /// With those we call.
    pub outgoing: TlsSideStatus,
    /// How long ago Consul was last known to agree with it: zero while requests succeed, because a change would be told at
    /// once. `None` if it was given, or before the first answer.
    pub age: Option<Duration>,
    /// For how long Consul has not answered about it, if the last request failed.
    pub failing_for: Option<Duration>,
    /// What the last request failed with, if it did.
    pub last_error: Option<Error>,
}

impl TlsPolicy {
    /// These parameters, for ever. The cryptography is that of `identity`.
    pub fn fixed(identity: &Identity, parameters: &TlsParameters) -> Self {
        let snapshot = identity.current();
        let provider = &snapshot.common().provider;
        let published = Published {
            incoming: Side::new(&parameters.incoming, provider),
            outgoing: Side::new(&parameters.outgoing, provider),
            origin: TlsOrigin::Given,
        };
        Self::of(provider, published)
    }

    /// What nobody restricted.
    pub(crate) fn default_of(identity: &Identity) -> Self {
        Self::fixed(identity, &TlsParameters::default())
    }

    /// Begins to follow the `mesh` config entry. Until [`ready`](Self::ready) every handshake is refused. Without an entry
    /// the defaults are in force, and also if the token may not read it; after that an error changes nothing.
    ///
    /// Must be called within a Tokio runtime.
    pub fn watch(client: &Client, identity: &Identity) -> Self {
        let origin = TlsOrigin::Unknown;
        let unknown = || Side::refusing(origin.to_string());
        let policy = Self::of(
            &identity.current().common().provider,
            Published {
                incoming: unknown(),
                outgoing: unknown(),
                origin,
            },
        );
        let watch = client.config_entries().mesh().watch();
        let monitor = watch.monitor();
        let task = Task::spawn(follow(watch, Arc::clone(&policy.shared)));
        Self {
            monitor: Some(monitor),
            _task: Some(Arc::new(task)),
            ..policy
        }
    }

    /// Waits until it is known what to speak. Has no deadline of its own.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn ready(&self) {
        // The sender lives in `self`, so the channel cannot close.
        let _ = self
            .shared
            .answered
            .subscribe()
            .wait_for(|&answered| answered)
            .await;
    }

    /// What is in force, and what is wrong with what was asked for.
    pub fn status(&self) -> TlsStatus {
        let current = self.current();
        let watch = self.monitor.as_ref().map(WatchMonitor::status);
        let refused = self.shared.refused.lock();
        let refused = refused.unwrap_or_else(PoisonError::into_inner).clone();
        TlsStatus {
            origin: current.origin,
            incoming: current.incoming.status().clone(),
            outgoing: current.outgoing.status().clone(),
            age: watch.as_ref().and_then(|watch| match watch.failing_for {
                None => watch.last_answer.map(|_| Duration::ZERO),
                Some(_) => watch.last_answer,
            }),
            failing_for: watch.as_ref().and_then(|watch| watch.failing_for),
            last_error: watch.and_then(|watch| watch.last_error).or(refused),
        }
    }

    /// Never waits, takes no lock.
    pub(crate) fn current(&self) -> Arc<Published> {
        self.shared.current.load_full()
    }

    fn of(provider: &Arc<CryptoProvider>, published: Published) -> Self {
        let known = published.origin != TlsOrigin::Unknown;
        Self {
            shared: Arc::new(Shared {
                provider: Arc::clone(provider),
                current: ArcSwap::from_pointee(published),
                answered: watch::Sender::new(known),
                refused: Mutex::default(),
            }),
            monitor: None,
            _task: None,
        }
    }
}

impl Shared {
    fn publish(&self, published: Published) {
        for (direction, side) in [
            ("incoming", &published.incoming),
            ("outgoing", &published.outgoing),
        ] {
            let status = side.status();
            if let Some(why) = &status.refused {
                tracing::error!(direction, "every TLS handshake is refused: {why}");
            }
            for finding in &status.findings {
                tracing::warn!(direction, "TLS parameters: {finding}");
            }
        }
        self.current.store(Arc::new(published));
        self.answered.send_replace(true);
    }

    fn entry(&self, entry: Option<&Mesh>) -> Published {
        let tls = entry.and_then(|entry| entry.tls.as_ref());
        let side = |direction: Option<&consul_api::config_entry::MeshTlsDirection>| {
            let limits = direction.map_or_else(|| Ok(TlsLimits::default()), TlsLimits::try_from);
            match limits {
                Ok(limits) => Side::new(&limits, &self.provider),
                Err(unknown) => Side::refusing(unknown.to_string()),
            }
        };
        Published {
            incoming: side(tls.and_then(|tls| tls.incoming.as_ref())),
            outgoing: side(tls.and_then(|tls| tls.outgoing.as_ref())),
            origin: match entry {
                Some(_) => TlsOrigin::MeshEntry,
                None => TlsOrigin::NoMeshEntry,
            },
        }
    }

    fn refused(&self, error: Error) {
        if !*self.answered.borrow() {
            tracing::warn!(%error, "the token may not read the `mesh` entry: TLS as by default");
            self.publish(Published {
                origin: TlsOrigin::NotPermitted,
                ..self.entry(None)
            });
        }
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

/// Follows the entry, for ever; the owner stops it by dropping the task.
async fn follow(mut watch: Watch<Option<Mesh>>, shared: Arc<Shared>) {
    let mut known = None;
    while let Some(item) = watch.next().await {
        match item {
            Ok(update) => {
                *shared
                    .refused
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = None;
                let tls = update.value.as_ref().as_ref().map(|mesh| mesh.tls.clone());
                // Other settings live in the same entry.
                if known.as_ref() != Some(&tls) {
                    shared.publish(shared.entry(Option::as_ref(&update.value)));
                    known = Some(tls);
                }
            }
            Err(error) if error.is_permission_denied() || error.is_unknown_token() => {
                shared.refused(error);
            }
            Err(_) => {}
        }
    }
}

impl TlsStatus {
    /// Whether handshakes can succeed at all, in both directions.
    pub fn is_usable(&self) -> bool {
        self.incoming.refused.is_none() && self.outgoing.refused.is_none()
    }
}

impl fmt::Display for TlsStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "callers by {}, calls by {}, {}",
            self.incoming, self.outgoing, self.origin
        )?;
        if let Some(time) = self.failing_for {
            write!(f, "; Consul has not answered for {} s", time.as_secs())?;
        }
        if let Some(error) = &self.last_error {
            write!(f, ": {error}")?;
        }
        for (direction, side) in [("incoming", &self.incoming), ("outgoing", &self.outgoing)] {
            for finding in &side.findings {
                write!(f, "\n  note: {direction}: {finding}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for TlsSideStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = &self.refused {
            return write!(f, "NOTHING ({why})");
        }
        for (at, version) in self.versions.iter().enumerate() {
            let joined = if at == 0 { "" } else { " or " };
            write!(f, "{joined}{version}")?;
        }
        match self.cipher_suites.is_empty() {
            true => Ok(()),
            false => write!(f, " ({})", self.cipher_suites.join(", ")),
        }
    }
}

impl fmt::Debug for TlsPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let current = self.current();
        f.debug_struct("TlsPolicy")
            .field("origin", &current.origin)
            .field("incoming", current.incoming.status())
            .field("outgoing", current.outgoing.status())
            .finish_non_exhaustive()
    }
}
