#[cfg(feature = "axum")]
mod extract;

use std::{fmt, sync::Arc};

use rustls_pki_types::{CertificateDer, UnixTime};

use crate::{ServiceId, SpiffeId};

/// A remote whose certificate was verified in this process. Cheap to clone.
///
/// Only the TLS verifier makes one, so holding a `Peer` is the proof that the check was made. `Display` is its SPIFFE URI.
#[derive(Clone)]
pub struct Peer(Arc<Inner>);

struct Inner {
    id: ServiceId,
    via: Option<SpiffeId>,
    chain: Vec<CertificateDer<'static>>,
    not_after: UnixTime,
    anchored_until: UnixTime,
}

impl Peer {
    pub(crate) fn verified(
        id: ServiceId,
        chain: Vec<CertificateDer<'static>>,
        not_after: UnixTime,
        anchored_until: UnixTime,
    ) -> Self {
        Self(Arc::new(Inner {
            id,
            via: None,
            chain,
            not_after,
            anchored_until,
        }))
    }

    /// A peer that nobody verified, for tests of handlers and policies.
    #[cfg(feature = "test-util")]
    pub fn for_test(id: ServiceId) -> Self {
        let never = UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::MAX >> 2));
        Self::verified(id, Vec::new(), never, never)
    }

    /// Who calls, or who was called.
    pub fn id(&self) -> &ServiceId {
        &self.0.id
    }

    /// The gateway that vouches for [`id`](Self::id), or `None` if the certificate itself says it.
    pub fn via(&self) -> Option<&SpiffeId> {
        self.0.via.as_ref()
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
            .finish_non_exhaustive()
    }
}
