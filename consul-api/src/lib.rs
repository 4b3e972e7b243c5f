//! Under construction.

mod client;
mod config;
mod error;
mod json;
mod read;
mod request;
mod response;
mod secret;
mod tls;
mod token;
pub mod watch;
mod wire;

pub mod acl;
pub mod agent;
pub mod catalog;
pub mod config_entry;
pub mod connect_ca;
pub mod discovery_chain;
pub mod duration;
#[cfg(feature = "grpc")]
pub mod grpc;
pub mod health;
pub mod intention;
pub mod status;

pub use client::Client;
pub use config::{Address, Config};
pub use error::Error;
pub use json::Json;
pub use read::{Call, Read};
pub use request::Request;
pub use response::{AclPolicy, Consistency, Meta, QueryBackend, Response};
pub use secret::Secret;
pub use token::Token;
pub use watch::{Update, Watch, WatchMonitor, WatchStatus};
pub use wire::Extra;
