//! Identity, mutual TLS and intentions of the Consul service mesh, in process.

pub mod authorize;
pub mod identity;
mod peer;
mod spiffe;

// Who somebody is.
pub use peer::Peer;
pub use spiffe::{InvalidName, InvalidSpiffeId, ServiceId, ServiceName, SpiffeId, TrustDomain};

// Who I am.
pub use identity::source::{IdentitySource, SourceError};
pub use identity::{KeyPem, Material};

// May they.
pub use authorize::{Authorize, Caller, Decision, Permit, Reason, Rule, Verdict};
