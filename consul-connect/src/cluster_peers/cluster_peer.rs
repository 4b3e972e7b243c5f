use std::{fmt, sync::Arc};

use consul_api::peering::{Peering, PeeringState};

use super::ClusterPeerFault;
use crate::{Roots, TrustDomain, spiffe::DEFAULT};

/// One cluster peer: what it is called here, and the roots that vouch for its services.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterPeer {
    name: Arc<str>,
    partition: Box<str>,
    roots: Roots,
}

impl ClusterPeer {
    /// The cluster peer that our cluster calls `name`, with its roots, which also say its trust domain.
    ///
    /// # Security
    /// Whoever these roots vouch for can call as any service of their trust domain.
    pub fn new(name: impl Into<Arc<str>>, roots: Roots) -> Self {
        Self {
            name: name.into(),
            partition: DEFAULT.into(),
            roots,
        }
    }

    /// The admin partition it exports its services from. Default `default`, the only one outside Consul Enterprise.
    #[must_use]
    pub fn with_partition(mut self, partition: &str) -> Self {
        self.partition = match partition {
            "" => DEFAULT,
            other => other,
        }
        .into();
        self
    }

    /// What our own cluster calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The trust domain its services are in.
    pub fn trust_domain(&self) -> &TrustDomain {
        self.roots.trust_domain()
    }

    /// The admin partition it exports its services from. Intentions about its services are about those in there.
    pub fn partition(&self) -> &str {
        &self.partition
    }

    /// Who vouches for its services.
    pub fn roots(&self) -> &Roots {
        &self.roots
    }

    pub(super) fn shared_name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether a caller of this one is a caller of the other: roots may come and go, these may not.
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        self.name == other.name
            && self.partition == other.partition
            && self.trust_domain() == other.trust_domain()
    }
}

/// # Errors
/// The [`ClusterPeerFault`] for which its callers cannot be verified.
impl TryFrom<&Peering> for ClusterPeer {
    type Error = ClusterPeerFault;

    fn try_from(peering: &Peering) -> Result<Self, ClusterPeerFault> {
        match peering.state {
            // A stream that is interrupted takes no trust away.
            PeeringState::Active | PeeringState::Failing => {}
            // Until it is active, what is listed are the authorities of the peer's servers.
            ref state => {
                return Err(ClusterPeerFault::NotActive {
                    state: state.to_string(),
                });
            }
        }
        let pems = peering.peer_ca_pems.iter().map(String::as_str);
        // The trust domain must be in the roots: whatever else names it was not signed by anybody.
        let roots = Roots::from_pem(pems, None).map_err(ClusterPeerFault::Roots)?;
        Ok(Self::new(peering.name.as_str(), roots).with_partition(&peering.remote.partition))
    }
}

impl fmt::Debug for ClusterPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterPeer")
            .field("name", &self.name)
            .field("roots", &self.roots)
            .finish_non_exhaustive()
    }
}
