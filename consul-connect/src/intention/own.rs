use std::fmt;

use super::CallerId;
use crate::{ClusterPeers, Identity, Reason, TrustDomain};

/// Which trust domain is ours: always the same one, or that of an [`Identity`], followed as it changes.
#[derive(Clone)]
pub struct OwnTrustDomain(Own);

#[derive(Clone)]
enum Own {
    Fixed(TrustDomain),
    Live(Identity),
}

impl From<TrustDomain> for OwnTrustDomain {
    fn from(trust_domain: TrustDomain) -> Self {
        Self(Own::Fixed(trust_domain))
    }
}

impl From<Identity> for OwnTrustDomain {
    fn from(identity: Identity) -> Self {
        Self(Own::Live(identity))
    }
}

impl From<&Identity> for OwnTrustDomain {
    fn from(identity: &Identity) -> Self {
        Self(Own::Live(identity.clone()))
    }
}

impl OwnTrustDomain {
    pub(super) fn name(&self) -> TrustDomain {
        match &self.0 {
            Own::Fixed(trust_domain) => trust_domain.clone(),
            Own::Live(identity) => identity.current().trust_domain().clone(),
        }
    }

    /// Why this caller is none of ours and of no known cluster peer, if so. Read on every decision rather than copied into
    /// the published set, so that the two can never be of different times.
    pub(super) fn refuses(
        &self,
        caller: CallerId<'_>,
        cluster_peers: &ClusterPeers,
    ) -> Option<Reason> {
        let theirs = caller.id().trust_domain();
        let known = |own: &TrustDomain| match caller.cluster_peer() {
            None => own == theirs,
            // The connection of one that is none any more is about to be cut.
            Some(of) => cluster_peers.peek(|known| known.still_has(of, own)),
        };
        let accepted = match &self.0 {
            Own::Fixed(ours) => known(ours),
            Own::Live(identity) => identity.peek(|current| known(current.trust_domain())),
        };
        if accepted {
            return None;
        }
        let ours = self.name();
        let text = format!(
            "the caller belongs to trust domain {theirs}, ours is {ours}, and no cluster peer that \
             intentions name is known by it"
        );
        Some(Reason::new("foreign_trust_domain", text))
    }

    /// The datacenter of our own identity, where it is known.
    pub(super) fn datacenter(&self) -> String {
        match &self.0 {
            Own::Fixed(_) => "dc1".to_owned(),
            Own::Live(identity) => identity.current().id().datacenter().to_owned(),
        }
    }
}

impl fmt::Debug for OwnTrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}
