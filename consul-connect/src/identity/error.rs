use std::time::Duration;

use super::source::SourceError;
use crate::{InvalidPeer, InvalidRoots, NoCryptoProvider, ServiceId, ServiceName};

/// Why delivered material is not used. The identity keeps what it has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMaterial {
    /// The chain cannot be read.
    #[error("the certificate chain cannot be read: {0}")]
    Chain(String),
    /// The key cannot be read or used.
    #[error("the private key cannot be used: {0}")]
    Key(String),
    /// The key is not the leaf's.
    #[error("the private key does not belong to the leaf")]
    KeyMismatch,
    /// A peer would refuse the leaf.
    #[error("a peer would refuse the leaf")]
    Leaf(#[source] InvalidPeer),
    /// The leaf is another service's.
    #[error("the leaf is for {found}, expected one for service {expected}")]
    OtherService {
        /// The service this process is.
        expected: ServiceName,
        /// Whom the leaf is for.
        found: ServiceId,
    },
    /// The roots cannot be used.
    #[error(transparent)]
    Roots(#[from] InvalidRoots),
}

/// Why there is no identity.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The source ended without ever delivering usable material.
    #[error("{described} delivered no usable identity")]
    Ended {
        /// What the source is.
        described: String,
        /// The last thing that went wrong.
        #[source]
        last: Option<IdentityFault>,
    },
    /// No cryptography.
    #[error(transparent)]
    Provider(#[from] NoCryptoProvider),
    /// The source says that waiting is of no use.
    #[error("{described} refused")]
    Refused {
        /// What the source is.
        described: String,
        /// What it said.
        #[source]
        cause: SourceError,
    },
    /// The deadline passed.
    #[error("{described} delivered no usable identity within {} s", .waited.as_secs())]
    TimedOut {
        /// What the source is.
        described: String,
        /// How long was waited.
        waited: Duration,
        /// The last thing that went wrong.
        #[source]
        last: Option<IdentityFault>,
    },
}

/// One thing that went wrong while keeping an identity fresh.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityFault {
    /// Material came and cannot be used.
    #[error("what was delivered cannot be used")]
    Material(#[source] InvalidMaterial),
    /// No material came.
    #[error("the source failed")]
    Source(#[source] SourceError),
}
