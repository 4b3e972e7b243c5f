//! The compiled discovery chain of a service: routes, splits, targets (`/v1/discovery-chain/…`).
//!
//! Consul compiles router, splitter, resolver and defaults of a service into one graph, for services that have none of them too.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use http::Method;

use crate::{
    client::Client,
    config_entry::{
        FailoverPolicy, LoadBalancer, PrioritizeByLocality, ResolverSubset, ServiceRoute,
        ServiceSplit,
    },
    duration::GoDuration,
    health::{EnvoyExtension, Locality, MeshGateway, TransparentProxy},
    read::Read,
    request::Request,
    wire::{wire, words},
};

wire! {
    /// The compiled chain of a service.
    pub struct DiscoveryChain {
        /// The service that was asked for.
        pub service_name: String,
        /// `default` in the Community Edition.
        pub namespace: String,
        /// `default` in the Community Edition.
        pub partition: String,
        /// From where the chain is seen.
        pub datacenter: String,
        /// Set if something was overridden.
        pub customization_hash: String,
        /// Whether the chain is just the service itself.
        pub default: bool,
        /// `tcp`, `http`, `http2` or `grpc`.
        pub protocol: String,
        /// Metadata of the service's defaults.
        pub service_meta: BTreeMap<String, String>,
        /// Extensions of Envoy.
        pub envoy_extensions: Vec<EnvoyExtension>,
        /// Where to begin: a key of `nodes`.
        pub start_node: String,
        /// The graph, by `<type>:<name>`.
        pub nodes: BTreeMap<String, ChainNode>,
        /// Where it ends, by id.
        pub targets: BTreeMap<String, Target>,
        /// Addresses Consul gave the service.
        #[serde(rename = "AutoVirtualIPs")]
        pub auto_virtual_ips: Vec<String>,
        /// Addresses given to the service by hand.
        #[serde(rename = "ManualVirtualIPs")]
        pub manual_virtual_ips: Vec<String>,
    }
}

words! {
    /// What a node of the graph does.
    pub enum NodeType {
        /// Ends at a target.
        Resolver = "resolver",
        /// Chooses by request.
        Router = "router",
        /// Chooses by share.
        Splitter = "splitter",
    }
}

wire! {
    /// A node of the graph.
    pub struct ChainNode {
        /// What it does, and so which of the other fields is set.
        #[serde(rename = "Type")]
        pub kind: NodeType,
        /// Its name.
        pub name: String,
        /// Of a router: the first that matches decides; the last matches everything.
        pub routes: Vec<ChainRoute>,
        /// Of a splitter.
        pub splits: Vec<ChainSplit>,
        /// Of a resolver.
        pub resolver: Option<ChainResolver>,
        /// How requests are spread.
        pub load_balancer: Option<LoadBalancer>,
    }
}

wire! {
    /// A route of the graph.
    pub struct ChainRoute {
        /// As it was written.
        pub definition: Option<ServiceRoute>,
        /// Where it leads: a key of `nodes`.
        pub next_node: String,
    }
}

wire! {
    /// A share of the graph.
    pub struct ChainSplit {
        /// As it was written; nested splits are multiplied out.
        pub definition: Option<ServiceSplit>,
        /// In percent.
        pub weight: f64,
        /// Where it leads: a key of `nodes`.
        pub next_node: String,
    }
}

wire! {
    /// The end of a path through the graph.
    pub struct ChainResolver {
        /// Whether nothing was configured.
        pub default: bool,
        /// How long connecting may take.
        pub connect_timeout: GoDuration,
        /// How long a request may take; counts only where the resolver is the start.
        pub request_timeout: GoDuration,
        /// A key of `targets`.
        pub target: String,
        /// What to use when it has no healthy instance.
        pub failover: Option<ChainFailover>,
    }
}

wire! {
    /// What to use when a target has no healthy instance.
    pub struct ChainFailover {
        /// Keys of `targets`, in order.
        pub targets: Vec<String>,
        /// In which order.
        pub policy: Option<FailoverPolicy>,
        /// The regions that come first.
        pub regions: Vec<String>,
    }
}

wire! {
    /// A set of instances.
    pub struct Target {
        /// `[subset.]service.namespace.partition.datacenter`, or `….external.<peer>`.
        #[serde(rename = "ID")]
        pub id: String,
        /// The service.
        pub service: String,
        /// Its subset.
        pub service_subset: String,
        /// `default` in the Community Edition.
        pub namespace: String,
        /// `default` in the Community Edition.
        pub partition: String,
        /// Where it is; empty if in a cluster peer.
        pub datacenter: String,
        /// The cluster peer it is in.
        pub peer: String,
        /// Where it runs.
        pub locality: Option<Locality>,
        /// Which gateways lead there.
        pub mesh_gateway: MeshGateway,
        /// Which of the instances.
        pub subset: ResolverSubset,
        /// How a transparent proxy dials it.
        pub transparent_proxy: TransparentProxy,
        /// How long connecting may take.
        pub connect_timeout: GoDuration,
        /// Whether it is outside the mesh.
        pub external: bool,
        /// The server name to send; empty if in a cluster peer.
        #[serde(rename = "SNI")]
        pub sni: String,
        /// Its name in statistics.
        pub name: String,
        /// Whether near instances come first. Enterprise.
        pub prioritize_by_locality: Option<PrioritizeByLocality>,
    }
}

wire! {
    /// What to compile in the place of what is configured.
    pub struct Overrides {
        /// Which gateways lead to other datacenters.
        pub override_mesh_gateway: MeshGateway,
        /// The service's protocol.
        pub override_protocol: String,
        /// How long connecting may take.
        pub override_connect_timeout: GoDuration,
    }
}

/// The calls of `/v1/discovery-chain`: see [`Client::discovery_chain`].
#[derive(Clone, Copy, Debug)]
pub struct DiscoveryChains<'a> {
    client: &'a Client,
}

impl Client {
    /// Compiled discovery chains.
    #[must_use]
    pub fn discovery_chain(&self) -> DiscoveryChains<'_> {
        DiscoveryChains { client: self }
    }
}

impl DiscoveryChains<'_> {
    /// The chain of a service, which need not exist. `GET /v1/discovery-chain/:service`; with overrides `POST`.
    ///
    /// Needs `service:read`.
    pub fn get(&self, service: impl Into<String>) -> Read<DiscoveryChain> {
        let request = Request::with_decoder(
            Method::GET,
            [Cow::from("discovery-chain"), service.into().into()],
            |reply| {
                #[derive(serde::Deserialize)]
                #[serde(rename_all = "PascalCase")]
                struct Wrapped {
                    chain: DiscoveryChain,
                }
                Ok(reply.json::<Wrapped>()?.chain)
            },
        );
        Read::new(self.client, request)
    }
}

impl Read<DiscoveryChain> {
    /// Compiles as if in another datacenter; `datacenter()` says who answers.
    pub fn compile_in(self, datacenter: impl Into<String>) -> Self {
        self.map_request(|request| request.set_query("compile-dc", datacenter))
    }

    /// Compiles with these in the place of what is configured.
    pub fn overrides(self, overrides: &Overrides) -> Self {
        self.map_request(|request| {
            request.set_method(Method::POST);
            request.set_json(overrides);
        })
    }

    /// Compiles for this protocol. With other overrides, use [`overrides`](Self::overrides).
    pub fn override_protocol(self, protocol: impl Into<String>) -> Self {
        self.overrides(&Overrides {
            override_protocol: protocol.into(),
            ..Overrides::default()
        })
    }

    /// Compiles with this connect timeout. With other overrides, use [`overrides`](Self::overrides).
    pub fn override_connect_timeout(self, timeout: Duration) -> Self {
        self.overrides(&Overrides {
            override_connect_timeout: timeout.into(),
            ..Overrides::default()
        })
    }
}
