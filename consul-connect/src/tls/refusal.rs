use std::{io, sync::Arc, time::Duration};

use rustls::{AlertDescription, CertificateError, OtherError, PeerIncompatible};
use rustls_pki_types::UnixTime;

use crate::{InvalidSpiffeId, ServiceId, SpiffeId, TrustDomain};

/// Why a remote is not who it should be. Each variant is a different thing to mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPeer {
    /// Its certificate is a certificate authority's, or may sign others.
    #[error("its certificate may sign other certificates, so it is nobody's identity")]
    CertificateAuthority,
    /// The chain does not hold for another reason.
    #[error("its certificate chain does not verify: {0}")]
    Chain(String),
    /// Its leaf has expired.
    #[error("its leaf expired {} ago", seconds(.since))]
    Expired {
        /// How long ago, by our clock.
        since: Duration,
    },
    /// It is a mesh gateway, and not one that may speak for others here.
    #[error(
        "it is the mesh gateway {id}, and only one of our own datacenter and partition may speak for callers: {ours}"
    )]
    ForeignGateway {
        /// Which gateway it is.
        id: Box<SpiffeId>,
        /// The one that might.
        ours: Box<SpiffeId>,
    },
    /// It belongs to another mesh.
    #[error("it belongs to trust domain {theirs}, ours is {ours}")]
    ForeignTrustDomain {
        /// Our trust domain.
        ours: TrustDomain,
        /// The one its certificate names.
        theirs: TrustDomain,
    },
    /// Its URI is not an id Consul would issue.
    #[error(transparent)]
    InvalidId(#[from] InvalidSpiffeId),
    /// The certificate cannot be read.
    #[error("its certificate cannot be read: {0}")]
    Malformed(String),
    /// It presented no certificate.
    #[error("it presented no certificate")]
    NoCertificate,
    /// It is a member of the mesh, but not a service.
    #[error("it is a {} ({id}), only services call and are called", .id.kind())]
    NotAService {
        /// What it is.
        id: Box<SpiffeId>,
    },
    /// Its leaf is not valid yet: one of the two clocks is wrong.
    #[error("its leaf is not valid for another {}: compare the clocks of the two hosts", seconds(.skew))]
    NotYetValid {
        /// How far the beginning of its validity is ahead of our clock.
        skew: Duration,
    },
    /// The root above it has expired.
    #[error("the root above it, {root}, expired {} ago", seconds(.since))]
    RootExpired {
        /// The root's subject.
        root: String,
        /// How long ago, by our clock.
        since: Duration,
    },
    /// None of our roots signed it.
    #[error("none of the {roots} roots of trust domain {trust_domain} signed its certificate")]
    UnknownIssuer {
        /// Our trust domain.
        trust_domain: TrustDomain,
        /// How many roots we trust.
        roots: usize,
    },
    /// It must have exactly one URI name, and has another number of them.
    #[error("its certificate has {count} URI names instead of exactly one")]
    UriNames {
        /// How many.
        count: usize,
    },
    /// Its key is too short to prove anything.
    #[error("its RSA key has {bits} bits, fewer than {MIN_RSA_BITS} prove nothing")]
    WeakKey {
        /// How long the key is.
        bits: usize,
    },
    /// Its chain is signed with an algorithm that proves nothing (any more), such as SHA-1.
    #[error("its certificate chain is signed with {algorithm}, which is not accepted")]
    WeakSignature {
        /// The algorithm, by its object identifier if it has no name here.
        algorithm: String,
    },
    /// The cluster peer it was verified for is known by another name or partition now.
    #[error(
        "it was a caller of the cluster peer `{before}`, whose trust domain is now that of `{now}`"
    )]
    OtherClusterPeer {
        /// What it was.
        before: String,
        /// What it would be.
        now: String,
    },
    /// It is a service, but not the one that was called.
    #[error("it is {found}, expected {expected}")]
    WrongIdentity {
        /// Who was to answer; several are joined by ` or `.
        expected: String,
        /// Who did.
        found: ServiceId,
    },
}

/// What the providers of our cryptography verify.
pub(super) const MIN_RSA_BITS: usize = 2048;

fn seconds(d: &Duration) -> String {
    match d.as_secs() {
        s @ 0..120 => format!("{s} s"),
        s @ 120..7200 => format!("{} min", s / 60),
        s => format!("{} h", s / 3600),
    }
}

impl InvalidPeer {
    /// A short, stable word for metrics and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::CertificateAuthority => "certificate_authority",
            Self::Chain(_) => "chain",
            Self::Expired { .. } => "expired",
            Self::ForeignGateway { .. } => "foreign_gateway",
            Self::ForeignTrustDomain { .. } => "foreign_trust_domain",
            Self::InvalidId(_) => "invalid_id",
            Self::Malformed(_) => "malformed",
            Self::NoCertificate => "no_certificate",
            Self::NotAService { .. } => "not_a_service",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::OtherClusterPeer { .. } => "other_cluster_peer",
            Self::RootExpired { .. } => "root_expired",
            Self::UnknownIssuer { .. } => "unknown_issuer",
            Self::UriNames { .. } => "uri_names",
            Self::WeakKey { .. } => "weak_key",
            Self::WeakSignature { .. } => "weak_signature",
            Self::WrongIdentity { .. } => "wrong_identity",
        }
    }

    pub(super) fn expired(now: UnixTime, not_after: UnixTime) -> Self {
        Self::Expired {
            since: Duration::from_secs(now.as_secs().saturating_sub(not_after.as_secs())),
        }
    }

    pub(super) fn not_yet(now: UnixTime, not_before: UnixTime) -> Self {
        Self::NotYetValid {
            skew: Duration::from_secs(not_before.as_secs().saturating_sub(now.as_secs())),
        }
    }
}

/// The one way from our refusal into rustls, chosen for the alert the remote will see.
impl From<InvalidPeer> for rustls::Error {
    fn from(refusal: InvalidPeer) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
    }
}

/// What made a handshake fail, as far as it can be told apart.
#[derive(Debug)]
pub(crate) enum Cause {
    /// We refused the remote.
    Peer(InvalidPeer),
    /// The remote refused us; the alert it sent.
    Alert(String),
    /// The remote speaks only versions of TLS that are older than ours. A hello without a word about signatures is one of
    /// them: in 1.2 it would ask for SHA-1.
    OldTls,
    /// The remote does not speak TLS, or not ours.
    Protocol(String),
    /// The transport failed.
    Io,
}

/// The way back: what a failed handshake's `io::Error` holds.
pub(crate) fn cause_of(error: &io::Error) -> Cause {
    let Some(tls) = error
        .get_ref()
        .and_then(|e| e.downcast_ref::<rustls::Error>())
    else {
        return Cause::Io;
    };
    match tls {
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => {
            match other.0.downcast_ref::<InvalidPeer>() {
                Some(refusal) => Cause::Peer(refusal.clone()),
                None => Cause::Peer(InvalidPeer::Chain(tls.to_string())),
            }
        }
        rustls::Error::InvalidCertificate(_) => Cause::Peer(InvalidPeer::Chain(tls.to_string())),
        rustls::Error::NoCertificatesPresented => Cause::Peer(InvalidPeer::NoCertificate),
        rustls::Error::AlertReceived(alert) => Cause::Alert(format!("{alert:?}")),
        rustls::Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::SignatureAlgorithmsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        ) => Cause::OldTls,
        other => Cause::Protocol(other.to_string()),
    }
}

/// The alert in a stream's error, if it is about the certificate we presented. Other alerts may also end a connection that
/// was in use.
pub(crate) fn identity_alert(error: &io::Error) -> Option<String> {
    use AlertDescription as Alert;
    let tls = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    match tls {
        rustls::Error::AlertReceived(
            alert @ (Alert::AccessDenied
            | Alert::BadCertificate
            | Alert::CertificateExpired
            | Alert::CertificateRequired
            | Alert::CertificateRevoked
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::UnsupportedCertificate),
        ) => Some(format!("{alert:?}")),
        _ => None,
    }
}
