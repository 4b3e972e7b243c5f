//! A development Consul for tests: in process, on loopback, started in milliseconds, stopped on drop.
//!
//! It speaks the HTTP API and the certificate authority's gRPC of Consul 1.22 as far as a meshed service uses
//! them: registration and health with TTLs, intentions and other config entries, blocking queries with indexes,
//! leafs and roots with rotation, ACL tokens. It keeps everything in memory, has one node, and it
//! fails on command: see [`Fault`]. A test compares it call by call with the real program.
//!
//! ```
//! # async fn example() -> Result<(), consul_dev::Error> {
//! use consul_dev::{ConsulDev, Fault, FaultRule};
//!
//! let dev = ConsulDev::start().await?;
//! dev.set_intention("web", "api", true)?;              // web may call api
//! dev.rotate_root()?;                                  // new leafs follow after the jitter, 0 s by default
//! dev.fault(FaultRule::new("/v1/health/*", Fault::no_leader()).times(3));
//! println!("CONSUL_HTTP_ADDR={} CONSUL_GRPC_ADDR={}", dev.http_addr(), dev.grpc_addr());
//! # Ok(()) }
//! ```
//!
//! Not a Consul: no persistence, no gossip, no other datacenters, no peers but those a test makes up, no sessions, no routers or splitters in
//! the discovery chain, no HTTP, TCP or gRPC checks (they keep the status they were given). The filter language
//! has everything but `matches`. Unofficial; Consul is a trademark of HashiCorp/IBM.

mod api;
mod ca;
mod control;
mod error;
mod faults;
mod filter;
mod go;
mod grpc;
mod http;
mod server;
mod state;

// The server and its builder.
pub use server::{Builder, ConsulDev};
// What a test scripts.
pub use faults::{Fault, FaultRule, Recorded};
// Identity: what the authority can be made to do.
pub use ca::{BadLeaf, CaError, KeyKind, Minted};
// Access control.
pub use state::acl::{Policy, Token};

pub use error::Error;

/// The version of Consul whose behaviour is reproduced.
pub const VERSION: &str = "1.22.5";
