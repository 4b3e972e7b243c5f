//! Under construction.

pub mod authorize;
mod balance;
mod body;
mod client;
mod cluster;
mod endpoint;
mod error;
mod grpc;
mod pool;
pub mod resolve;
pub mod serve;
pub mod tcp;
mod upstream;

pub use body::Body;
pub use client::{Client, RequestBuilder, Response, ResponseFuture};
pub use consul_connect::Peer;
pub use error::{Error, ErrorKind};
pub use upstream::{EndpointStatus, UpstreamRef, UpstreamStatus};
