//! Under construction.

pub mod authorize;
mod error;
mod grpc;
pub mod serve;

pub use consul_connect::Peer;
pub use error::{Error, ErrorKind};
