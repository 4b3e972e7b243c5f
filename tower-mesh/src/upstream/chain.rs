//! Which target a discovery chain leads all requests to. Pure.
//!
//! Routers and splitters choose by request. A client that does not evaluate them must say so, and
//! must go where the chain sends what matches nothing else: the last route, which matches
//! everything, and of a split its largest share.

use consul_api::discovery_chain::{DiscoveryChain, NodeType, Target as WireTarget};

use crate::resolve::Target;

/// Where a chain leads.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Destination {
    pub(super) target: Target,
    pub(super) protocol: String,
    /// What of the chain is not done.
    pub(super) notes: Vec<String>,
}

/// More nodes than this in a row are a cycle: Consul flattens chains.
const MAX_DEPTH: usize = 32;

/// Follows the chain to one target. The error says what is wrong with the chain.
pub(super) fn destination(chain: &DiscoveryChain) -> Result<Destination, String> {
    let mut notes = Vec::new();
    let mut at = chain.start_node.as_str();
    for _ in 0..MAX_DEPTH {
        let node = chain
            .nodes
            .get(at)
            .ok_or_else(|| format!("its node `{at}` does not exist"))?;
        match &node.kind {
            NodeType::Resolver => {
                let resolver = node
                    .resolver
                    .as_ref()
                    .ok_or_else(|| format!("its node `{at}` is empty"))?;
                if resolver.failover.is_some() {
                    notes.push("the failover of its resolver is not used".to_owned());
                }
                let id = resolver.target.as_str();
                let target = chain
                    .targets
                    .get(id)
                    .ok_or_else(|| format!("its target `{id}` does not exist"))?;
                return Ok(Destination {
                    target: domain(target)?,
                    protocol: chain.protocol.clone(),
                    notes,
                });
            }
            NodeType::Router => {
                let last = node
                    .routes
                    .last()
                    .ok_or_else(|| format!("its router `{at}` is empty"))?;
                if node.routes.len() > 1 {
                    notes.push(format!(
                        "the routes of its router are not evaluated: every request takes the last, to `{}`",
                        last.next_node
                    ));
                }
                at = &last.next_node;
            }
            NodeType::Splitter => {
                let largest = node
                    .splits
                    .iter()
                    .max_by(|one, other| one.weight.total_cmp(&other.weight))
                    .ok_or_else(|| format!("its splitter `{at}` is empty"))?;
                if node.splits.len() > 1 {
                    notes.push(format!(
                        "the shares of its splitter are not honoured: every request takes the largest, to `{}`",
                        largest.next_node
                    ));
                }
                at = &largest.next_node;
            }
            other => return Err(format!("its node `{at}` is of the unknown type `{other}`")),
        }
    }
    Err("it does not end".to_owned())
}

fn domain(wire: &WireTarget) -> Result<Target, String> {
    if !wire.peer.is_empty() {
        return Err(format!(
            "its target is in the cluster peer `{}`, which this client cannot reach",
            wire.peer
        ));
    }
    let service = wire
        .service
        .as_str()
        .try_into()
        .map_err(|_invalid| format!("its target has the invalid name `{}`", wire.service))?;
    let or_default = |name: &str| if name.is_empty() { "default" } else { name }.to_owned();
    let mut target = Target::new(service, &wire.datacenter);
    target.namespace = or_default(&wire.namespace);
    target.partition = or_default(&wire.partition);
    target.filter.clone_from(&wire.subset.filter);
    target.only_passing = wire.subset.only_passing;
    target.server_name = (!wire.sni.is_empty()).then(|| wire.sni.clone());
    Ok(target)
}

#[cfg(test)]
mod tests;
