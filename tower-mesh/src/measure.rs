//! What is counted and timed, by handles that are made beforehand.
//!
//! The names are in [`metrics`](crate::metrics). Without the feature of that name, every handle is
//! empty and what is done with it compiles to nothing.

mod connections;
mod exchange;
#[cfg(feature = "metrics")]
mod sampled;
#[cfg(not(feature = "metrics"))]
#[path = "measure/silent.rs"]
mod sink;
#[cfg(feature = "metrics")]
mod sink;
mod table;

pub(crate) use connections::{Inbound, Open, Outbound};
pub(crate) use exchange::{Exchange, Exchanges};
#[cfg(feature = "metrics")]
pub(crate) use sampled::Sampler;
pub(crate) use sink::Sink;
