//! Real Consul agents: how one is set up, and what can be done to it.

mod acl;
mod agent;
mod builder;
mod ca;
mod peering;

pub use agent::Agent;
pub use builder::{Consul, DefaultPolicy};
pub use ca::OwnCa;
