//! What the promises in `tests/` have in common: small worlds to make them in.

mod pair;
mod raw;
pub mod real;

pub use pair::{Pair, TD, echo_once, pair};
pub use raw::{raw_client, raw_server};
