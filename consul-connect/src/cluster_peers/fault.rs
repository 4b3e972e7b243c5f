use consul_api::Error;

use crate::{InvalidRoots, TrustDomain};

/// Why nobody of a cluster peer may call, or why what is known of it is not the newest.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterPeerFault {
    /// Consul has not been able to answer yet.
    #[error("Consul has not told its roots yet")]
    Away {
        /// What the last request failed with.
        #[source]
        cause: Error,
    },
    /// The exchange between the two clusters is not there (yet, or any more).
    #[error("the peering is {state}")]
    NotActive {
        /// Consul's word for what it is.
        state: String,
    },
    /// Consul is not asked, and the program did not give it.
    #[error("its roots were not given to the program")]
    NotGiven,
    /// The token may not read it.
    #[error("the token may not read its roots: it needs `peering:read`, or the program gives them")]
    NotPermitted {
        /// What Consul said.
        #[source]
        cause: Error,
    },
    /// It has the trust domain that is our own.
    #[error("its trust domain {trust_domain} is our own")]
    OwnTrustDomain {
        /// The trust domain.
        trust_domain: TrustDomain,
    },
    /// What Consul lists are no roots of one trust domain.
    #[error(transparent)]
    Roots(InvalidRoots),
    /// Two have one trust domain, so that nobody could tell which of them calls.
    #[error("its trust domain {trust_domain} is that of the cluster peer `{with}` as well")]
    SharedTrustDomain {
        /// The trust domain.
        trust_domain: TrustDomain,
        /// The other one.
        with: String,
    },
    /// There is no peering of that name.
    #[error("Consul knows no cluster peer of that name")]
    Unknown,
    /// Consul has not answered yet.
    #[error("Consul has not answered yet")]
    Waiting,
}

impl ClusterPeerFault {
    /// A short, stable word for metrics and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Away { .. } => "away",
            Self::NotActive { .. } => "not_active",
            Self::NotGiven => "not_given",
            Self::NotPermitted { .. } => "not_permitted",
            Self::OwnTrustDomain { .. } => "own_trust_domain",
            Self::Roots(_) => "roots",
            Self::SharedTrustDomain { .. } => "shared_trust_domain",
            Self::Unknown => "unknown",
            Self::Waiting => "waiting",
        }
    }
}
