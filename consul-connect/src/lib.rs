//! Identity, mutual TLS and intentions of the Consul service mesh, in process.
//!
//! This crate makes a Rust process a member of a [Consul](https://developer.hashicorp.com/consul) service mesh: it knows who
//! it is, verifies who the others are, and decides what they may do, without a sidecar.
//!
//! * [`Identity`] follows a source of leaf and roots ([`identity::source`]), and publishes only what a peer would accept.
//! * [`Connector`] dials a service and proves that it is the one that was meant before it learns who we are.
//! * [`Listener`] accepts verified [`Peer`]s; open connections are held to the roots, the rules and the clock.
//! * [`ClusterPeers`] are the other clusters whose services may call, each with the roots that vouch for it alone.
//! * [`MeshEntry`] follows what the `mesh` config entry asks of connections and requests.
//! * [`Authorize`] is the question "may they". [`Intentions`], which follow Consul, are one answer to it.
//! * [`Registration`] keeps an instance in the catalog, with the [`Health`] its application says.
//!
//! It knows nothing of HTTP connections, balancing or routing: that is `tower-mesh`.
//!
//! | feature | default | what |
//! | --- | --- | --- |
//! | `aws-lc-rs` | yes | cryptography by aws-lc-rs, post-quantum key exchange included |
//! | `ring` | no | cryptography by ring; used if `aws-lc-rs` is off |
//! | `grpc` | yes | the identity source whose key never leaves the process |
//! | `axum` | no | [`Peer`] as an extractor of axum handlers |
//! | `test-util` | no | a certificate authority and unverified peers, for tests |

mod alpn;
pub mod authorize;
mod cluster_peers;
mod connector;
pub mod identity;
pub mod intention;
pub mod jwt;
mod listener;
mod live;
mod mesh_entry;
mod peer;
mod provider;
pub mod registration;
mod spiffe;
mod stream;
mod task;
#[cfg(all(feature = "test-util", any(feature = "aws-lc-rs", feature = "ring")))]
pub mod test_util;
mod time;
mod tls;

// Who somebody is.
pub use peer::{MeshGateway, Peer, Remote};
pub use spiffe::{InvalidName, InvalidSpiffeId, ServiceId, ServiceName, SpiffeId, TrustDomain};

// Who I am.
pub use identity::source::{IdentitySource, SourceError};
pub use identity::{
    Identity, IdentityConfig, IdentityError, IdentityFault, IdentityStatus, InvalidMaterial,
};
pub use identity::{KeyPem, Leaf, Material, Snapshot};
pub use provider::{NoCryptoProvider, crypto_provider};
pub use tls::{InvalidPeer, InvalidRoots, Roots};

// Who else may call.
pub use cluster_peers::{
    ClusterPeer, ClusterPeerFault, ClusterPeerStatus, ClusterPeers, ClusterPeersStatus,
};

// Connections.
pub use alpn::Alpn;
pub use connector::{Address, ConnectError, ConnectFailure, Connection, Connector, Destination};
pub use listener::{Accepted, Listener, ListenerBuilder, ListenerStats, Refused};
pub use live::{Closing, ConnectionGuard, Grace, Layer};
pub use stream::{Io, MeshStream, Negotiated, RefusedByPeer};
pub use tls::{TlsLimits, TlsParameters, TlsPolicy, TlsSideStatus, TlsStatus};
pub use tls::{TlsVersion, UnknownTlsVersion};

// What Consul says of the whole mesh.
pub use mesh_entry::{
    EscapedSlashes, MeshEntry, NormalizationPolicy, NormalizationStatus, RequestNormalization,
    SettingsOrigin, UnderscoreHeaders, UnknownNormalization,
};

// May they.
pub use authorize::{Authorize, Caller, Changes, Decision, Permit, Reason, Rule, Verdict};

// What Consul says they may.
pub use intention::{Intentions, IntentionsConfig};

// Where others find me.
pub use registration::{Health, Registration, RegistrationConfig};
