//! Under construction.

pub mod authorize;
mod error;
mod grpc;
mod serve;

pub use consul_connect::Peer;
pub use error::{Error, ErrorKind};
