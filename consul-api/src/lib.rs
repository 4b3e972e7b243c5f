//! Under construction.

mod client;
mod config;
mod error;
mod read;
mod request;
mod response;
mod tls;
mod token;
mod watch;

pub use client::Client;
pub use config::{Address, Config};
pub use error::Error;
pub use read::{Call, Read};
pub use request::Request;
pub use response::{AclPolicy, Consistency, Meta, QueryBackend, Response};
pub use token::Token;
