use std::fmt;

use consul_connect::{
    ClusterPeersStatus, IdentityStatus, NormalizationStatus, ServiceName, TlsStatus,
    intention::IntentionsStatus,
    registration::{RegistrationState, RegistrationStatus},
};

use super::Platform;
use crate::UpstreamStatus;

/// What a member of the mesh knows now, how old it is, and what is wrong with it. No secrets.
///
/// `Display` is for a person who asks why something does not work: one line per subject.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// Who it is.
    pub service: ServiceName,
    /// What started it.
    pub platform: Platform,
    /// Where Consul is.
    pub consul: String,
    /// Whether the certificate of that Consul is not verified.
    pub consul_unverified: bool,
    /// Why the identity comes from where it comes from.
    pub identity_source: String,
    /// Its leaf and roots.
    pub identity: IdentityStatus,
    /// The intentions in force; `None` if another policy was given.
    pub intentions: Option<IntentionsStatus>,
    /// The cluster peers that the intentions or the program name.
    pub cluster_peers: ClusterPeersStatus,
    /// The TLS its connections speak.
    pub tls: TlsStatus,
    /// What is done to requests before rules are asked.
    pub normalization: NormalizationStatus,
    /// Its servers in the catalog.
    pub registrations: Vec<RegistrationStatus>,
    /// The services it calls.
    pub upstreams: Vec<UpstreamStatus>,
    /// Whether it is on its way out: asked by a signal or
    /// [`Mesh::shutdown`](crate::Mesh::shutdown), or the last of its servers leaves or has left.
    pub leaving: bool,
}

impl Status {
    /// Whether callers can be served: a leaf that is valid, intentions that have come, a TLS that
    /// can be spoken with callers, requests that are not all refused, every server in the catalog, and not on its way out.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let received = |intentions: &IntentionsStatus| intentions.received && !intentions.stale;
        let present = |registration: &RegistrationStatus| {
            matches!(
                registration.state,
                // One that left while others stay is taken out.
                RegistrationState::Registered
                    | RegistrationState::External
                    | RegistrationState::Deregistered
            )
        };
        !self.leaving
            && self.identity.is_usable()
            && self.intentions.as_ref().is_none_or(received)
            && self.tls.incoming.refused.is_none()
            && self.normalization.refused.is_none()
            && self.registrations.iter().all(present)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {}",
            self.service,
            if self.is_ready() {
                "ready"
            } else {
                "NOT READY"
            }
        )?;
        if self.leaving {
            f.write_str(", leaving")?;
        }
        write!(f, "\nconsul: {}, as {}", self.consul, self.platform)?;
        if self.consul_unverified {
            f.write_str(", CERTIFICATE NOT VERIFIED")?;
        }
        write!(
            f,
            "\nidentity: {}\n  {}",
            self.identity, self.identity_source
        )?;
        match &self.intentions {
            Some(intentions) => write!(f, "\nintentions: {intentions}")?,
            None => f.write_str("\nintentions: not used, another policy was given")?,
        }
        for peer in &self.cluster_peers.peers {
            write!(f, "\ncluster peer: {peer}")?;
        }
        write!(f, "\ntls: {}", self.tls)?;
        write!(f, "\nrequests: {}", self.normalization)?;
        for registration in &self.registrations {
            write!(f, "\nregistration: {registration}")?;
        }
        for upstream in &self.upstreams {
            let (usable, known) = (upstream.usable.len(), upstream.known);
            write!(
                f,
                "\nupstream: {}, {usable} of {known} instances usable",
                upstream.name
            )?;
            if let Some(age) = upstream.age {
                write!(f, ", as of {} s ago", age.as_secs())?;
            }
            for (endpoint, why) in &upstream.out {
                write!(f, "\n  out: {endpoint}: {why}")?;
            }
            if let Some(problem) = &upstream.problem {
                write!(f, "\n  problem: {problem}")?;
            }
        }
        Ok(())
    }
}
