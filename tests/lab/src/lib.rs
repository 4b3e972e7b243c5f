//! The real components that the tests run against: found, built, started, and always stopped.
//!
//! A `real_*` test asks for what it needs and returns early when it is not there:
//!
//! ```no_run
//! # async fn test() -> Result<(), mesh_lab::Error> {
//! use mesh_lab::{DefaultPolicy, Version};
//!
//! let Some(consul) = mesh_lab::consul(Version::Newest) else { return Ok(()) };
//! let server = consul.acl(DefaultPolicy::Deny).default_intention_policy("deny").start().await?;
//! let agent = server.client_agent().start().await?; // joined to `server`
//!
//! let token = server.service_token("web").await?;
//! let leaf = agent.http_as(&token).get("/v1/agent/connect/ca/leaf/web").await?.ok()?;
//! assert!(leaf["CertPEM"].is_string());
//!
//! agent.kill().await?;
//! agent.wipe()?;
//! agent.restart().await?; // same ports, same node, empty data directory
//! # Ok(())
//! # }
//! ```
//!
//! Beside Consul there are the peers nobody here wrote: [`envoy`] sidecars, members on Consul's Go SDK ([`go_peer`]) and
//! Consul's own small proxy ([`connect_proxy`]).
//!
//! [`prometheus`] scrapes what members tell operators.
//!
//! [`FaultProxy`] does to connections what networks do, and [`load`] sends requests and counts what became of each.
//!
//! `cargo run -p mesh-lab -- setup` makes everything available, `-- versions` says what is there,
//! `-- consul` starts one real agent by hand, and `-- up` a whole world to look at. With `MESH_LAB=required` a missing component fails
//! the test instead of skipping it; with `MESH_LAB_KEEP=1` data directories are left behind.

mod cache;
mod component;
mod connect_proxy;
mod consul;
mod envoy;
mod error;
mod faults;
mod find;
mod gate;
mod go_peer;
mod http;
pub mod load;
mod ports;
mod process;
mod program;
mod prometheus;
mod running;
mod setup;
mod version;

pub use component::{Component, find_component};
pub use connect_proxy::{ConnectProxy, RunningProxy, connect_proxy};
pub use consul::{Agent, Consul, DefaultPolicy, OwnCa};
pub use envoy::{Envoy, MeshGateway, MeshGatewayBuilder, Sidecar, SidecarBuilder, envoy};
pub use error::Error;
pub use faults::{Fault, FaultProxy};
pub use find::{Found, Missing, Origin, find_consul};
pub use gate::{component, consul};
pub use go_peer::{Dial, Dialler, Fate, GoLoad, GoPeer, GoServer, Serve, go_peer};
pub use http::{Http, Reply};
pub use program::Program;
pub use prometheus::{Prometheus, RunningPrometheus, Sample, prometheus};
pub use setup::{build_consul, provide};
pub use version::Version;
