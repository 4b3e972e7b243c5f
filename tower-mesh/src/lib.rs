//! Under construction.

pub mod authorize;
mod error;
mod grpc;
mod serve;

pub use error::{Error, ErrorKind};
pub use consul_connect::Peer;
