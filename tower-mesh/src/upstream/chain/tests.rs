use consul_api::discovery_chain::{
    ChainFailover, ChainNode, ChainResolver, ChainRoute, ChainSplit,
};

use super::*;

fn target(chain: &mut DiscoveryChain, service: &str, datacenter: &str) -> String {
    let mut target = WireTarget::default();
    target.service = service.to_owned();
    target.namespace = "default".to_owned();
    target.partition = "default".to_owned();
    target.datacenter = datacenter.to_owned();
    target.sni = format!("{service}.default.{datacenter}.internal.td.consul");
    let id = format!("{service}.default.default.{datacenter}");
    chain.targets.insert(id.clone(), target);
    id
}

fn resolver(chain: &mut DiscoveryChain, service: &str, datacenter: &str) -> String {
    let mut resolver = ChainResolver::default();
    resolver.target = target(chain, service, datacenter);
    let mut node = ChainNode::default();
    node.kind = NodeType::Resolver;
    node.resolver = Some(resolver);
    let name = format!("resolver:{service}");
    chain.nodes.insert(name.clone(), node);
    name
}

fn chain() -> DiscoveryChain {
    let mut chain = DiscoveryChain::default();
    chain.service_name = "api".to_owned();
    chain.protocol = "http".to_owned();
    chain
}

#[test]
fn a_default_chain_leads_to_the_service_itself() {
    let mut chain = chain();
    chain.start_node = resolver(&mut chain, "api", "dc1");
    let destination = destination(&chain).expect("a destination");
    assert_eq!(destination.target.to_string(), "api in dc1");
    assert_eq!(destination.protocol, "http");
    assert_eq!(
        destination.target.server_name.as_deref(),
        Some("api.default.dc1.internal.td.consul")
    );
    assert!(destination.notes.is_empty());
}

#[test]
fn a_redirect_is_followed_and_a_subset_is_kept() {
    let mut chain = chain();
    chain.start_node = resolver(&mut chain, "api-new", "dc2");
    for target in chain.targets.values_mut() {
        target.subset.filter = "Service.Meta.v == 2".to_owned();
        target.subset.only_passing = true;
    }
    let target = destination(&chain).expect("a destination").target;
    assert_eq!(
        target.to_string(),
        "api-new in dc2 where Service.Meta.v == 2"
    );
    assert!(target.only_passing);
}

#[test]
fn of_a_router_the_route_that_matches_everything_is_taken_and_it_is_said() {
    let mut chain = chain();
    let admin = resolver(&mut chain, "admin", "dc1");
    let api = resolver(&mut chain, "api", "dc1");
    let mut node = ChainNode::default();
    node.kind = NodeType::Router;
    node.routes = [admin, api]
        .map(|next| {
            let mut route = ChainRoute::default();
            route.next_node = next;
            route
        })
        .to_vec();
    chain.nodes.insert("router:api".to_owned(), node);
    chain.start_node = "router:api".to_owned();
    let destination = destination(&chain).expect("a destination");
    assert_eq!(destination.target.service.as_str(), "api");
    assert_eq!(destination.notes.len(), 1);
}

#[test]
fn of_a_splitter_the_largest_share_is_taken_and_it_is_said() {
    let mut chain = chain();
    let splits = [("api", 90.0), ("canary", 10.0)].map(|(service, weight)| {
        let mut split = ChainSplit::default();
        split.next_node = resolver(&mut chain, service, "dc1");
        split.weight = weight;
        split
    });
    let mut node = ChainNode::default();
    node.kind = NodeType::Splitter;
    node.splits = splits.to_vec();
    chain.nodes.insert("splitter:api".to_owned(), node);
    chain.start_node = "splitter:api".to_owned();
    let destination = destination(&chain).expect("a destination");
    assert_eq!(destination.target.service.as_str(), "api");
    assert_eq!(destination.notes.len(), 1);
}

#[test]
fn a_failover_that_is_not_used_is_said() {
    let mut chain = chain();
    chain.start_node = resolver(&mut chain, "api", "dc1");
    let node = chain.nodes.get_mut("resolver:api").expect("a node");
    node.resolver.as_mut().expect("a resolver").failover = Some(ChainFailover::default());
    assert_eq!(destination(&chain).expect("a destination").notes.len(), 1);
}

#[test]
fn broken_chains_are_errors_that_name_what_is_broken() {
    let mut chain = chain();
    chain.start_node = "resolver:api".to_owned();
    assert_eq!(
        destination(&chain).unwrap_err(),
        "its node `resolver:api` does not exist"
    );
    chain.start_node = resolver(&mut chain, "api", "dc1");
    chain.targets.clear();
    assert_eq!(
        destination(&chain).unwrap_err(),
        "its target `api.default.default.dc1` does not exist"
    );
    let mut node = ChainNode::default();
    node.kind = NodeType::Router;
    let mut route = ChainRoute::default();
    route.next_node = "router:api".to_owned();
    node.routes.push(route);
    chain.nodes.insert("router:api".to_owned(), node);
    chain.start_node = "router:api".to_owned();
    assert_eq!(destination(&chain).unwrap_err(), "it does not end");
}

#[test]
fn a_cluster_peer_is_named_as_out_of_reach() {
    let mut chain = chain();
    chain.start_node = resolver(&mut chain, "api", "dc1");
    for target in chain.targets.values_mut() {
        target.peer = "lab2".to_owned();
    }
    let what = destination(&chain).unwrap_err();
    assert_eq!(
        what,
        "its target is in the cluster peer `lab2`, which this client cannot reach"
    );
}
