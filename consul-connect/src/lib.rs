//! Identity, mutual TLS and intentions of the Consul service mesh, in process.

pub mod authorize;
pub mod identity;
mod peer;
mod provider;
mod spiffe;
mod task;
mod tls;

// Who somebody is.
pub use peer::Peer;
pub use spiffe::{InvalidName, InvalidSpiffeId, ServiceId, ServiceName, SpiffeId, TrustDomain};

// Who I am.
pub use identity::source::{IdentitySource, SourceError};
pub use identity::{
    Identity, IdentityConfig, IdentityError, IdentityFault, IdentityStatus, InvalidMaterial,
};
pub use identity::{KeyPem, Leaf, Material, Snapshot};
pub use provider::{NoCryptoProvider, crypto_provider};
pub use tls::{InvalidPeer, InvalidRoots, Roots};

// May they.
pub use authorize::{Authorize, Caller, Decision, Permit, Reason, Rule, Verdict};
