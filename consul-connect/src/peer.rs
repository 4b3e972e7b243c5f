#[cfg(feature = "axum")]
mod extract;
mod gateway;
mod remote;

pub use gateway::MeshGateway;
pub use remote::Remote;

use std::{fmt, sync::Arc};

use rustls_pki_types::{CertificateDer, UnixTime};

use crate::{ClusterPeer, ServiceId, SpiffeId};

/// A remote service whose certificate was verified in this process, or by a mesh gateway that was. Cheap to clone.
///
/// Only the TLS verifier makes one, so holding a `Peer` is the proof that the check was made. `Display` is its SPIFFE URI.
///
/// # Security
/// Where cluster peers may call, a service name alone does not say who it is: look at
/// [`cluster_peer`](Self::cluster_peer) too.
#[derive(Clone)]
pub struct Peer(Arc<Inner>);

struct Inner {
    id: ServiceId,
    via: Option<SpiffeId>,
    cluster_peer: Option<Arc<ClusterPeer>>,
    chain: Vec<CertificateDer<'static>>,
    not_after: UnixTime,
    anchored_until: UnixTime,
}

impl Peer {
    pub(crate) fn verified(
        id: ServiceId,
        cluster_peer: Option<Arc<ClusterPeer>>,
        chain: Vec<CertificateDer<'static>>,
        not_after: UnixTime,
        anchored_until: UnixTime,
    ) -> Self {
        Self(Arc::new(Inner {
            id,
            via: None,
            cluster_peer,
            chain,
            not_after,
            anchored_until,
        }))
    }

    /// A caller whose chain a gateway has verified. It is held to the gateway's connection, and has none of its own.
    pub(crate) fn vouched(
        id: ServiceId,
        cluster_peer: Arc<ClusterPeer>,
        gateway: &MeshGateway,
    ) -> Self {
        Self(Arc::new(Inner {
            id,
            via: Some(gateway.id().clone()),
            cluster_peer: Some(cluster_peer),
            chain: Vec::new(),
            not_after: gateway.not_after(),
            anchored_until: gateway.anchored_until(),
        }))
    }

    /// A peer that nobody verified, for tests of handlers and policies.
    #[cfg(feature = "test-util")]
    pub fn for_test(id: ServiceId) -> Self {
        Self::for_test_of(id, None)
    }

    /// The same of a cluster peer.
    #[cfg(feature = "test-util")]
    pub fn for_test_of(id: ServiceId, cluster_peer: Option<ClusterPeer>) -> Self {
        let never = UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::MAX >> 2));
        Self::verified(id, cluster_peer.map(Arc::new), Vec::new(), never, never)
    }

    /// Who calls, or who was called.
    pub fn id(&self) -> &ServiceId {
        &self.0.id
    }

    /// The gateway that vouches for [`id`](Self::id), or `None` if the certificate itself says it.
    pub fn via(&self) -> Option<&SpiffeId> {
        self.0.via.as_ref()
    }

    /// The cluster peer it belongs to, as our own cluster calls it; `None` if it is of our own trust domain.
    pub fn cluster_peer(&self) -> Option<&str> {
        self.of().map(ClusterPeer::name)
    }

    pub(crate) fn of(&self) -> Option<&ClusterPeer> {
        self.0.cluster_peer.as_deref()
    }

    /// The verified chain, leaf first: kept so that it can be verified again when the roots change.
    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.0.chain
    }

    /// When the peer's leaf expires.
    pub(crate) fn not_after(&self) -> UnixTime {
        self.0.not_after
    }

    /// When the first certificate above the peer's leaf expires.
    pub(crate) fn anchored_until(&self) -> UnixTime {
        self.0.anchored_until
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.id.fmt(f)
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("id", &self.0.id)
            .field("via", &self.0.via)
            .field("cluster_peer", &self.cluster_peer())
            .finish_non_exhaustive()
    }
}
