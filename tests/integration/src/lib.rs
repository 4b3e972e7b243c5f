//! What the promises in `tests/` have in common: small worlds to make them in.

mod inventory;
mod pair;
mod raw;
pub mod real;
pub mod real_mesh;

pub use inventory::{InventoryClient, InventoryServer, Item, Stock};
pub use pair::{Pair, TD, echo_once, pair};
pub use raw::{raw_client, raw_server};
