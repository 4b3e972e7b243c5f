//! Intentions: which services may call this one, as Consul says it, decided in this process.
//!
//! [`Intentions`] watches the intentions of one destination and answers from memory; nobody is asked about a connection
//! or a request. The rules, in the order they apply:
//!
//! 1. The caller's trust domain must be ours or that of a known cluster peer, and its identity verified.
//! 2. Of all intentions whose source matches the caller, the one with the highest precedence decides; precedence is how
//!    exact destination and source are, and is computed here, whatever order or number Consul sent.
//! 3. If it has permissions, the first one whose HTTP part matches the request decides, and if none does the
//!    [`DefaultPolicy`]: never another intention. A token that it or the permission asks for must be there in any case.
//! 4. An intention that cannot be carried out denies the callers it matches: an expression that is none, a key, an action or
//!    a source type this version does not know, a source that cannot be read. A lower one never takes its place.
//! 5. If none matches, the [`DefaultPolicy`] decides.
//!
//! Names are compared literally and case-sensitively. The datacenter of a caller is not looked at, as in Consul's proxies.
//! Intentions with a cluster peer as their source match callers of that peer alone, the others callers of our own trust domain
//! alone. Which cluster peers are known is up to [`ClusterPeers`](crate::ClusterPeers): see
//! [`IntentionsConfig::cluster_peers`].
//!
//! Until the first answer of Consul everybody is denied. After that an error changes nothing: the last set stays in
//! force, its age is in [`IntentionsStatus`], and [`IntentionsConfig::max_staleness`] can turn age into a refusal.

mod caller;
mod compiled;
mod config;
mod default_policy;
mod explain;
mod follow;
mod own;
mod permission;
mod precedence;
mod probe;
mod protocol;
mod published;
mod requests;
mod rule;
mod source_match;
mod start;
mod status;
mod store;

pub use caller::CallerId;
pub use compiled::{Compiled, Finding};
pub use config::{IntentionsConfig, IntentionsError};
pub use default_policy::{DefaultOrigin, DefaultPolicy, ResolvedDefault};
pub use explain::{Explanation, Match, PermissionMatch};
pub use own::OwnTrustDomain;
pub use permission::{ENVOY_ORDERS, join_lines, list_separator};
pub use status::IntentionsStatus;
pub use store::Intentions;

#[cfg(test)]
mod tests;
