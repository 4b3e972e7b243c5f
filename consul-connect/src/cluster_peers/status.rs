use std::{fmt, time::Duration};

use super::ClusterPeerFault;
use crate::TrustDomain;

/// What is known of the cluster peers that intentions name.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClusterPeersStatus {
    /// How many times something changed that decides.
    pub generation: u64,
    /// Each of them, by name.
    pub peers: Vec<ClusterPeerStatus>,
}

/// What is known of one cluster peer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClusterPeerStatus {
    /// What our own cluster calls it.
    pub name: String,
    /// Whether the program gave it; else it is as Consul says.
    pub given: bool,
    /// Its trust domain, if it is known.
    pub trust_domain: Option<TrustDomain>,
    /// How many roots vouch for its services.
    pub roots: usize,
    /// Whether its services can be verified, so that intentions about them can match anybody.
    pub usable: bool,
    /// What is wrong with it, if something is.
    pub fault: Option<ClusterPeerFault>,
    /// For how long every request has failed, if the last one did.
    pub failing_for: Option<Duration>,
    /// What the last request failed with, if it did.
    pub last_error: Option<consul_api::Error>,
}

impl fmt::Display for ClusterPeersStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, peer) in self.peers.iter().enumerate() {
            let line = if at == 0 { "" } else { "\n" };
            write!(f, "{line}{peer}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ClusterPeerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        match &self.trust_domain {
            Some(trust_domain) => write!(f, ": {} roots of {trust_domain}", self.roots)?,
            None => f.write_str(": not known")?,
        }
        if self.given {
            f.write_str(", as the program says")?;
        }
        if !self.usable {
            f.write_str(", NOBODY OF IT MAY CALL")?;
        }
        if let Some(fault) = &self.fault {
            write!(f, ": {fault}")?;
        }
        if let Some(time) = self.failing_for {
            write!(f, "; Consul has not answered for {} s", time.as_secs())?;
        }
        if let Some(error) = &self.last_error {
            write!(f, ": {error}")?;
        }
        Ok(())
    }
}
