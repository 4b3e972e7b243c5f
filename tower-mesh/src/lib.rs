//! Makes a Rust service a member of a Consul service mesh by itself.
//!
//! No sidecar, no certificate file, no URL of a peer in the code:
//!
//! ```no_run
//! # #[cfg(all(feature = "axum", any(feature = "aws-lc-rs", feature = "ring")))] mod program {
//! use axum::{Router, routing::get};
//! use tower_mesh::{Error, Mesh, Peer};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Error> {
//!     let mesh = Mesh::join("web").await?; // CONSUL_HTTP_ADDR, token, TLS: from the environment
//!     let api = mesh.client("api"); // discovery, mTLS, balancing
//!     let app = Router::new().route("/", get(async move |caller: Peer| {
//!         let hello = api.get("/hello").send().await?.text().await?;
//!         Ok::<_, Error>(format!("{caller} -> {hello}"))
//!     }));
//!     mesh.serve("0.0.0.0:8443", app).await // registers, authorizes, drains on SIGTERM
//! }
//! # }
//! ```
//!
//! # What it does
//!
//! ```text
//!               in                                              out
//! accept, TLS, who calls (consul-connect)        Client: HTTP/1.1, h2, gRPC
//!    ↓                                              ↓
//! HTTP/1.1 or h2, limits, drain (serve)          Upstream: where the name leads
//!    ↓                                              ↓
//! may they (authorize)                           Cluster: its instances (resolve), balanced
//!    ↓                                              ↓
//! the application, with Peer in extensions       pool → TLS, is it the one we meant (consul-connect)
//! ```
//!
//! * [`Mesh`] joins, [`serve`](Mesh::serve)s any tower HTTP service, [`listen`](Mesh::listen)s for
//!   byte streams, and hands out [`Client`]s and [`tcp::Stream`]s to other services by name.
//! * A handler knows its caller: [`Peer`] is an axum extractor, and in the extensions of every
//!   request, a tonic one too.
//! * A generated tonic client takes a [`Client`]; tonic's `Routes::into_axum_router()` is an `app`.
//! * [`authorize`], [`serve`], [`resolve`] work without any Consul: bring an
//!   [`Identity`](consul_connect::Identity), a closure, a list of addresses.
//!
//! It does not evaluate routers, splitters and failover of discovery chains, nor L7 permissions and
//! JWT in intentions: such an intention denies, and says so.
//!
//! # Features
//!
//! | feature | default | what |
//! | --- | --- | --- |
//! | `aws-lc-rs` | yes | cryptography by aws-lc-rs |
//! | `ring` | no | cryptography by ring; used if `aws-lc-rs` is off |
//! | `grpc` | yes | an identity whose key never leaves the process: Consul's CA over gRPC |
//! | `axum` | yes | [`Peer`] as an extractor, [`Error`] as a response |
//! | `json` | yes | `json` on requests and responses |
//! | `metrics` | yes | what is counted and timed, for the recorder of the process: [`metrics`] |
//! | `admin` | no | a plaintext listener for operators: `MeshBuilder::admin` |
//! | `dev` | no | `Mesh::dev`: a development Consul inside the process, loopback only |
//!
//! Consul is a trademark of HashiCorp/IBM; this project is not affiliated with either.

pub mod authorize;
mod balance;
mod body;
mod client;
mod cluster;
mod endpoint;
mod error;
mod gather;
mod grpc;
mod head;
mod measure;
mod mesh;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(not(feature = "metrics"))]
#[expect(dead_code, unreachable_pub, reason = "names of what is not measured")]
mod metrics;
mod pool;
pub mod resolve;
pub mod serve;
pub mod tcp;
#[cfg(feature = "test-util")]
pub mod test_util;
mod time;
mod upstream;

// Being a member.
#[cfg(feature = "dev")]
#[doc(no_inline)]
pub use consul_dev::ConsulDev;
pub use mesh::{Mesh, MeshBuilder, Platform, Status};

// Who calls.
pub use consul_connect::{ClusterPeer, Peer};

// Calling.
pub use body::Body;
pub use client::{Client, RequestBuilder, Response, ResponseFuture};
pub use upstream::{EndpointStatus, UpstreamRef, UpstreamStatus};

// What goes wrong.
pub use error::{Error, ErrorKind};

// The crates below, of the versions this one is made with.
#[doc(no_inline)]
pub use {consul_api, consul_connect};
