//! What is known of all cluster peers at one moment: a value without time or connection.

use std::{collections::HashMap, fmt, sync::Arc};

use super::ClusterPeer;
use crate::TrustDomain;

/// The cluster peers whose callers can be verified, by trust domain.
#[derive(Default)]
pub(crate) struct Known {
    generation: u64,
    by_trust_domain: HashMap<TrustDomain, Arc<ClusterPeer>>,
}

impl Known {
    /// Those of them whose trust domain no other has.
    pub(super) fn new(peers: impl IntoIterator<Item = Arc<ClusterPeer>>) -> Self {
        let mut by_trust_domain: HashMap<TrustDomain, Option<Arc<ClusterPeer>>> = HashMap::new();
        for peer in peers {
            by_trust_domain
                .entry(peer.trust_domain().clone())
                .and_modify(|twins| *twins = None)
                .or_insert(Some(peer));
        }
        let unique = by_trust_domain
            .into_iter()
            .filter_map(|(trust_domain, peer)| Some((trust_domain, peer?)));
        Self {
            generation: 0,
            by_trust_domain: unique.collect(),
        }
    }

    pub(super) fn numbered(self, generation: u64) -> Self {
        Self { generation, ..self }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_trust_domain.is_empty()
    }

    /// The cluster peer of a trust domain. Our own trust domain is nobody else's, whatever a peering says: `own` is asked
    /// for here so that nobody can forget it.
    pub(crate) fn of(
        &self,
        trust_domain: &TrustDomain,
        own: &TrustDomain,
    ) -> Option<&Arc<ClusterPeer>> {
        if trust_domain == own {
            return None;
        }
        self.by_trust_domain.get(trust_domain)
    }

    /// Whether callers that were verified as of `peer` are still of it.
    pub(crate) fn still_has(&self, peer: &ClusterPeer, own: &TrustDomain) -> bool {
        self.of(peer.trust_domain(), own)
            .is_some_and(|known| known.is_same_place(peer))
    }

    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.by_trust_domain == other.by_trust_domain
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.by_trust_domain.values())
            .finish()
    }
}
