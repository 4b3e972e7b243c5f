//! What Consul says, typed: the HTTP API of HashiCorp Consul, and the few gRPC calls of its certificate authority.
//!
//! Unofficial. "Consul" is a trademark of HashiCorp/IBM; this project is not affiliated with them.
//!
//! # What it does
//! - **Calls are values.** `client.<area>().<call>(required).<option>()` does nothing yet; `.await` sends it once.
//!   An endpoint that has no call here is a [`Request`] of your own.
//! - **Reads can be watched.** Every [`Read`] becomes a [`Watch`] of its value by `.watch()`: a stream that never ends, keeps going
//!   through errors, and shares requests and connections with the other watches of its [`Client`].
//! - **Answers are read leniently**: unknown fields, missing fields, `null` lists, durations as text or as nanoseconds.
//!   **Writes are strict**: only known fields, nothing that is not set.
//! - **Nothing shows a secret.** Tokens and keys are in no error, no `Debug`, no log; they are wiped from memory.
//! - **Errors are asked, not matched**: [`Error::is_not_found`], [`Error::is_retryable`], Consul's own words in
//!   [`Error::server_message`].
//! - Agents by TCP, TLS (private authority, client certificate, server name) and unix socket, from the environment all Consul tools
//!   read: [`Config::from_env`].
//!
//! # What it does not
//! It does not retry calls (watches do), choose among servers, or decide anything for the mesh: who may call whom, and with which
//! certificate, is the business of `consul-connect`.
//!
//! # Quick start
//! ```no_run
//! use futures_util::StreamExt;
//!
//! # async fn run() -> Result<(), consul_api::Error> {
//! let consul = consul_api::Client::from_env()?; // CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, …
//!
//! let answer = consul.health().connect("web").passing().await?;
//! println!("{} instances at index {:?}", answer.value.len(), answer.meta.index);
//!
//! let mut instances = consul.health().connect("web").passing().watch();
//! while let Some(item) = instances.next().await {
//!     match item {
//!         Ok(update) => println!("now {} instances", update.value.len()),
//!         Err(error) => eprintln!("keeping what I have: {error}"),
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! # Areas
//! | call | routes |
//! | --- | --- |
//! | [`Client::agent`] | `/v1/agent/…`: itself, registration, checks, leaf and roots |
//! | [`Client::catalog`] | `/v1/catalog/…` |
//! | [`Client::health`] | `/v1/health/…` |
//! | [`Client::intentions`] | `/v1/connect/intentions/…` |
//! | [`Client::connect_ca`] | `/v1/connect/ca/…` |
//! | [`Client::config_entries`] | `/v1/config/…` |
//! | [`Client::discovery_chain`] | `/v1/discovery-chain/…` |
//! | [`Client::peerings`] | `/v1/peering/…`, `/v1/peerings`: reading |
//! | [`Client::acl`] | `/v1/acl/{login,logout,token/self}` |
//! | [`Client::status`] | `/v1/status/…` |
//! | `Client::grpc` | `Sign` and `WatchRoots` of the certificate authority |
//!
//! # Features
//! | feature | default | what |
//! | --- | --- | --- |
//! | `aws-lc-rs` | yes | crypto for TLS to Consul; preferred where both are on |
//! | `ring` | | crypto for TLS to Consul |
//! | `grpc` | yes | the gRPC calls |
//!
//! With neither crypto feature, `http://` and unix sockets work and `https://` is a configuration error. The process's default crypto
//! provider is neither used nor set.
//!
//! Consul 1.20 and later, shown on 1.20.5 and 1.22.5. Enterprise parameters (namespaces, partitions) are sent only where they are set:
//! the Community Edition refuses them ([`Error::is_enterprise_only`]).

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
mod watch;
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
pub mod peering;
pub mod status;

// The public interface: everything one names in passing. The types of an area live in its module.
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
