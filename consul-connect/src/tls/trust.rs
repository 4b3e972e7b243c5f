//! Whom a listener trusts at one moment, and whose roots a caller is held against.

use std::sync::Arc;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::{CertificateDer, UnixTime};

use super::{
    InvalidPeer, Roots, Usage,
    verify::{Verified, inspect_member, verify_member},
};
use crate::{ClusterPeer, Remote, ServiceId, Snapshot, SpiffeId, cluster_peers::Known};

/// Our own trust domain and those of cluster peers, each with its own roots.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    pub(crate) identity: Arc<Snapshot>,
    pub(crate) cluster_peers: Arc<Known>,
}

/// Which kinds of callers a listener lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admits {
    /// Services, of our own trust domain and of cluster peers.
    Services,
    /// Mesh gateways of ours as well, for what they say about each request.
    Gateways,
}

/// Who a verified chain belongs to.
#[derive(Clone, Debug)]
pub(crate) enum Who {
    Gateway(SpiffeId),
    Service(ServiceId, Option<Arc<ClusterPeer>>),
}

impl Trust {
    /// Verifies the chain of a caller to the roots of the one trust domain it claims to be of.
    pub(super) fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        admits: Admits,
        algorithms: &WebPkiSupportedAlgorithms,
        now: UnixTime,
    ) -> Result<Verified<Who>, InvalidPeer> {
        let (roots, cluster_peer) = self.roots_of(chain.first());
        let member = verify_member(chain, roots, algorithms, Usage::Client, now)?;
        let id = match member.id {
            SpiffeId::Service(id) => Who::Service(id, cluster_peer.cloned()),
            // The gateway of another cluster speaks for nobody here.
            gateway @ SpiffeId::MeshGateway { .. }
                if admits == Admits::Gateways && cluster_peer.is_none() =>
            {
                let ours = self.own_gateway();
                if gateway != ours {
                    return Err(InvalidPeer::ForeignGateway {
                        id: Box::new(gateway),
                        ours: Box::new(ours),
                    });
                }
                Who::Gateway(gateway)
            }
            other => {
                return Err(InvalidPeer::NotAService {
                    id: Box::new(other),
                });
            }
        };
        Ok(Verified {
            id,
            not_before: member.not_before,
            not_after: member.not_after,
            anchored_until: member.anchored_until,
            serial: member.serial,
        })
    }

    /// Whether a caller is still who it was when its connection was made.
    pub(crate) fn still_anchors(&self, remote: &Remote) -> Result<(), InvalidPeer> {
        let common = self.identity.common();
        let algorithms = &common.provider.signature_verification_algorithms;
        let verified = self.verify(
            remote.chain(),
            Admits::Gateways,
            algorithms,
            self.identity.now(),
        )?;
        let before = remote.peer().and_then(|peer| peer.of());
        let now = match &verified.id {
            Who::Gateway(_) => None,
            Who::Service(_, cluster_peer) => cluster_peer.as_deref(),
        };
        let same = match (before, now) {
            (None, None) => true,
            (Some(before), Some(now)) => before.is_same_place(now),
            _ => false,
        };
        if same {
            return Ok(());
        }
        let name =
            |of: Option<&ClusterPeer>| of.map_or("our own cluster", ClusterPeer::name).to_owned();
        Err(InvalidPeer::OtherClusterPeer {
            before: name(before),
            now: name(now),
        })
    }

    /// By what the leaf claims, which is only believed once these very roots vouch for it.
    fn roots_of(&self, leaf: Option<&CertificateDer<'_>>) -> (&Roots, Option<&Arc<ClusterPeer>>) {
        let own = self.identity.roots();
        // Reading a certificate takes time; without cluster peers there is nothing to choose.
        let claimed = leaf
            .filter(|_| !self.cluster_peers.is_empty())
            .and_then(|leaf| inspect_member(leaf).ok());
        let cluster_peer = claimed.and_then(|claimed| {
            let claimed = claimed.id.trust_domain();
            self.cluster_peers.of(claimed, own.trust_domain())
        });
        match cluster_peer {
            Some(cluster_peer) => (cluster_peer.roots(), Some(cluster_peer)),
            None => (own, None),
        }
    }

    fn own_gateway(&self) -> SpiffeId {
        let id = self.identity.id();
        SpiffeId::MeshGateway {
            trust_domain: self.identity.trust_domain().clone(),
            partition: id.partition().to_owned(),
            datacenter: id.datacenter().to_owned(),
        }
    }
}
