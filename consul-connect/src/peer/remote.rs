use std::fmt;

use rustls_pki_types::{CertificateDer, UnixTime};

use super::{MeshGateway, Peer};

/// Who is at the other end of an accepted connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Remote {
    /// A mesh gateway of ours, through which services of cluster peers call. Only under
    /// [`Layer::Request`](crate::Layer::Request), and only where cluster peers are known: who calls is a question of each
    /// request, and the gateway itself may not call.
    MeshGateway(MeshGateway),
    /// The caller itself.
    Peer(Peer),
}

impl Remote {
    /// The caller, if it is at the other end itself.
    pub fn peer(&self) -> Option<&Peer> {
        match self {
            Self::Peer(peer) => Some(peer),
            Self::MeshGateway(_) => None,
        }
    }

    /// The verified chain, leaf first.
    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        match self {
            Self::MeshGateway(gateway) => gateway.chain(),
            Self::Peer(peer) => peer.chain(),
        }
    }

    /// When the leaf expires.
    pub(crate) fn not_after(&self) -> UnixTime {
        match self {
            Self::MeshGateway(gateway) => gateway.not_after(),
            Self::Peer(peer) => peer.not_after(),
        }
    }

    /// When the first certificate above the leaf expires.
    pub(crate) fn anchored_until(&self) -> UnixTime {
        match self {
            Self::MeshGateway(gateway) => gateway.anchored_until(),
            Self::Peer(peer) => peer.anchored_until(),
        }
    }
}

/// The SPIFFE URI.
impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MeshGateway(gateway) => gateway.id().fmt(f),
            Self::Peer(peer) => peer.fmt(f),
        }
    }
}
