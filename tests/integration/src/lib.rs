//! What the promises in `tests/` have in common: small worlds to make them in.

pub mod fuzzing;
pub mod hosts;
mod inventory;
mod pair;
pub mod peers;
mod raw;
pub mod raw_http;
pub mod real;
pub mod real_mesh;
mod refusing;
mod scale;
pub mod stress;
pub mod traffic;

pub use inventory::{InventoryClient, InventoryServer, Item, Stock};
pub use pair::{Pair, TD, echo_once, pair};
pub use raw::{raw_client, raw_client_config, raw_parts, raw_server};
pub use refusing::refusing_server;
pub use scale::{Scale, scale};

/// The README, compiled: what it shows is what there is.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
#[derive(Debug)]
#[non_exhaustive]
pub struct Readme;
