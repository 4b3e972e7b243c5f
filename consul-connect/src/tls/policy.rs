//! The TLS in force: published whole, read by every handshake.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use consul_api::{
    Client, Error,
    config_entry::{Mesh, MeshTls, MeshTlsDirection},
};
use rustls::crypto::CryptoProvider;

use super::{
    parameters::{TlsLimits, TlsParameters},
    side::{Side, TlsSideStatus},
};
use crate::{
    Identity,
    mesh_entry::{Following, MeshEntry, SettingsOrigin},
};

/// Which TLS the connections of one member speak. Cheap to clone; all clones are the same.
///
/// Hand it to a [`Listener`](crate::Listener) and to a [`Connector`](crate::Connector). A change is in force on the next
/// handshake; connections that are open stay as they are.
///
/// # Shutdown
/// What follows the entry ends with the last clone, and with the last of what else a [`MeshEntry`] gave out. What was received
/// stays in force.
#[derive(Clone)]
pub struct TlsPolicy {
    cell: Arc<TlsCell>,
    following: Option<Arc<Following>>,
}

pub(crate) struct TlsCell {
    provider: Arc<CryptoProvider>,
    current: ArcSwap<Published>,
}

pub(crate) struct Published {
    pub(crate) incoming: Side,
    pub(crate) outgoing: Side,
    origin: SettingsOrigin,
    /// What it was made from.
    wire: Option<MeshTls>,
}

/// Which TLS is in force, and what is wrong with what was asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TlsStatus {
    /// Where it comes from.
    pub origin: SettingsOrigin,
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
            origin: SettingsOrigin::Given,
            wire: None,
        };
        Self {
            cell: Arc::new(TlsCell::of(provider, published)),
            following: None,
        }
    }

    /// What nobody restricted.
    pub(crate) fn default_of(identity: &Identity) -> Self {
        Self::fixed(identity, &TlsParameters::default())
    }

    /// Begins to follow the `mesh` config entry for this alone; see [`MeshEntry::tls`].
    ///
    /// Must be called within a Tokio runtime.
    pub fn watch(client: &Client, identity: &Identity) -> Self {
        MeshEntry::watch(client, identity).tls()
    }

    pub(crate) fn following(cell: Arc<TlsCell>, following: Arc<Following>) -> Self {
        Self {
            cell,
            following: Some(following),
        }
    }

    /// Waits until it is known what to speak. Has no deadline of its own.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn ready(&self) {
        if let Some(following) = &self.following {
            following.ready().await;
        }
    }

    /// What is in force, and what is wrong with what was asked for.
    pub fn status(&self) -> TlsStatus {
        let current = self.current();
        let following = self.following.as_ref();
        let health = following.map_or_else(Default::default, |following| following.health());
        TlsStatus {
            origin: current.origin,
            incoming: current.incoming.status().clone(),
            outgoing: current.outgoing.status().clone(),
            age: health.age,
            failing_for: health.failing_for,
            last_error: health.last_error,
        }
    }

    /// Never waits, takes no lock.
    pub(crate) fn current(&self) -> Arc<Published> {
        self.cell.current.load_full()
    }
}

impl TlsCell {
    /// Every handshake is refused until the entry is known.
    pub(crate) fn unknown(identity: &Identity) -> Self {
        let origin = SettingsOrigin::Unknown;
        let refusing = || Side::refusing(origin.to_string());
        let published = Published {
            incoming: refusing(),
            outgoing: refusing(),
            origin,
            wire: None,
        };
        Self::of(&identity.current().common().provider, published)
    }

    fn of(provider: &Arc<CryptoProvider>, published: Published) -> Self {
        Self {
            provider: Arc::clone(provider),
            current: ArcSwap::from_pointee(published),
        }
    }

    pub(crate) fn publish(&self, entry: Option<&Mesh>, origin: SettingsOrigin) {
        let wire = entry.and_then(|entry| entry.tls.as_ref());
        let current = self.current.load();
        // Other settings live in the same entry.
        if current.origin == origin && current.wire.as_ref() == wire {
            return;
        }
        let side = |direction: Option<&MeshTlsDirection>| {
            let limits = direction.map_or_else(|| Ok(TlsLimits::default()), TlsLimits::try_from);
            match limits {
                Ok(limits) => Side::new(&limits, &self.provider),
                Err(unknown) => Side::refusing(unknown.to_string()),
            }
        };
        let published = Published {
            incoming: side(wire.and_then(|tls| tls.incoming.as_ref())),
            outgoing: side(wire.and_then(|tls| tls.outgoing.as_ref())),
            origin,
            wire: wire.cloned(),
        };
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
