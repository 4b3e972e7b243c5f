//! HTTP on what the mesh's listener yields.
//!
//! [`Mesh::serve`](crate::Mesh::serve) is this with the identity, the intentions and the
//! registration of a Consul mesh. [`Server`] is for those who bring their own: it needs no Consul.
//!
//! ```no_run
//! use std::sync::Arc;
//! use tower_mesh::{authorize, serve::Server};
//!
//! # async fn run(identity: consul_connect::Identity, app: axum::Router) -> Result<(), Box<dyn std::error::Error>> {
//! let policy = Arc::new(authorize::dangerously_allow_all());
//! let server = Server::builder(identity, policy).bind("0.0.0.0:8443").await?;
//! let handle = server.handle();
//! tokio::spawn(async move {
//!     tokio::signal::ctrl_c().await.ok();
//!     handle.drain();
//! });
//! server.run(app).await;
//! # Ok(())
//! # }
//! ```
//!
//! What happens to a request, in this order: `x-forwarded-client-cert` is removed, and believed only
//! of a mesh gateway of our own datacenter, by which services of cluster peers call; it is normalised,
//! as [`RequestNormalization`](consul_connect::RequestNormalization) says, or refused with `400`; the policy is
//! asked; the [`Peer`](crate::Peer) and the [`Permit`](crate::authorize::Permit) are put into its
//! extensions; the application is polled ready and called; a `grpc-timeout` is kept. An application
//! that returns an error or panics answers `500`, or `grpc-status: 13`; its connection goes on. When
//! a response body does, what the caller has of it is cut off: the h2 stream is reset, the HTTP/1.1
//! connection closed.

mod admission;
mod builder;
mod callers;
mod connection;
mod dormant;
mod flood;
mod guarded;
mod limits;
pub(crate) mod normalize;
mod open;
mod protocol;
mod request;
mod server;
pub(crate) mod shutdown;
pub(crate) mod stage;
pub(crate) mod tether;
mod timer;
#[doc(hidden)] // The fuzz targets are another crate.
pub mod xfcc;

pub use builder::ServerBuilder;
pub use limits::Limits;
pub(crate) use normalize::{Unfit, normalize};
pub use server::Server;
pub use stage::ServerHandle;

#[cfg(test)]
mod tests;
