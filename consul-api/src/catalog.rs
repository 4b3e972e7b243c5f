//! The catalog: what is registered, healthy or not (`/v1/catalog/…`).

use std::{borrow::Cow, collections::BTreeMap};

use http::Method;
use serde::de::DeserializeOwned;

use crate::{
    client::Client,
    health::{
        CheckDefinition, Connect, Locality, Proxy, Service, ServiceAddress, ServicePort, Status,
        Weights,
    },
    read::{Call, Read},
    request::Request,
    wire::wire,
};

wire! {
    /// A machine, or what stands for one.
    pub struct Node {
        /// A UUID; may be empty for nodes put into the catalog by hand.
        #[serde(rename = "ID")]
        pub id: String,
        /// Its name.
        pub node: String,
        /// Where it is reached in its own datacenter.
        pub address: String,
        /// Where it is.
        pub datacenter: String,
        /// Further addresses: `lan`, `wan`, `lan_ipv4`, … .
        pub tagged_addresses: BTreeMap<String, String>,
        /// Free-form metadata.
        pub meta: BTreeMap<String, String>,
        /// Enterprise.
        pub partition: String,
        /// The cluster peer it was imported from.
        pub peer_name: String,
        /// Where it runs.
        pub locality: Option<Locality>,
        /// Consul's own counters.
        pub create_index: u64,
        /// Consul's own counters.
        pub modify_index: u64,
    }
}

wire! {
    /// An instance and its node, flat, as `/v1/catalog/service` has it.
    pub struct CatalogService {
        /// The node's UUID.
        #[serde(rename = "ID")]
        pub id: String,
        /// The node's name.
        pub node: String,
        /// The node's address.
        pub address: String,
        /// Where it is.
        pub datacenter: String,
        /// The node's further addresses.
        pub tagged_addresses: BTreeMap<String, String>,
        /// The node's metadata.
        pub node_meta: BTreeMap<String, String>,
        /// What kind of instance; see [`Service::kind`].
        pub service_kind: String,
        /// Unique on its node.
        #[serde(rename = "ServiceID")]
        pub service_id: String,
        /// The service's name.
        pub service_name: String,
        /// Where it listens; empty: at the node's address.
        pub service_address: String,
        /// Further addresses of the instance.
        pub service_tagged_addresses: BTreeMap<String, ServiceAddress>,
        /// Its tags.
        pub service_tags: Vec<String>,
        /// Its metadata.
        pub service_meta: BTreeMap<String, String>,
        /// 0 if it has none, or several.
        pub service_port: u16,
        /// Named ports (Consul 1.22).
        pub service_ports: Vec<ServicePort>,
        /// Where it listens locally.
        pub service_socket_path: String,
        /// How much of the traffic it is to get.
        pub service_weights: Weights,
        /// Whether anti-entropy leaves tags changed in the catalog alone.
        pub service_enable_tag_override: bool,
        /// What a proxy is configured with.
        pub service_proxy: Proxy,
        /// How it takes part in the mesh.
        pub service_connect: Connect,
        /// Where it runs.
        pub service_locality: Option<Locality>,
        /// The cluster peer it was imported from.
        pub peer_name: String,
        /// Enterprise.
        pub namespace: String,
        /// Enterprise.
        pub partition: String,
        /// Consul's own counters.
        pub create_index: u64,
        /// Consul's own counters.
        pub modify_index: u64,
    }
}

wire! {
    /// A node and its instances by id.
    pub struct CatalogNode {
        /// The node; `None`: there is no such node.
        pub node: Option<Node>,
        /// Its instances by id.
        pub services: BTreeMap<String, Service>,
    }
}

wire! {
    /// A node and its instances as a list.
    pub struct CatalogNodeServices {
        /// The node; `None`: there is no such node.
        pub node: Option<Node>,
        /// Its instances.
        pub services: Vec<Service>,
    }
}

wire! {
    /// A service that a gateway exposes or reaches.
    pub struct GatewayService {
        /// The gateway.
        pub gateway: ServiceName,
        /// The service.
        pub service: ServiceName,
        /// `ingress-gateway`, `terminating-gateway`, … .
        pub gateway_kind: String,
        /// `service`, `destination`, or empty.
        pub service_kind: String,
        /// The listener's port.
        pub port: u16,
        /// The listener's protocol.
        pub protocol: String,
        /// The listener's hosts.
        pub hosts: Vec<String>,
        /// To the service: authority to trust.
        #[serde(rename = "CAFile")]
        pub ca_file: String,
        /// To the service: client certificate.
        pub cert_file: String,
        /// To the service: its key.
        pub key_file: String,
        /// To the service: name to ask for.
        #[serde(rename = "SNI")]
        pub sni: String,
        /// Linked by `*`.
        pub from_wildcard: bool,
        /// The `Host` header is rewritten.
        pub auto_host_rewrite: bool,
        /// Consul's own counters.
        pub create_index: u64,
        /// Consul's own counters.
        pub modify_index: u64,
    }
}

wire! {
    /// A service's name and tenancy.
    pub struct ServiceName {
        /// The name.
        pub name: String,
        /// Enterprise.
        pub namespace: String,
        /// Enterprise.
        pub partition: String,
    }
}

wire! {
    /// What to put into the catalog.
    pub struct CatalogRegistration {
        /// The node's UUID.
        #[serde(rename = "ID")]
        pub id: String,
        /// The node's name. Required.
        pub node: String,
        /// The node's address. Required.
        pub address: String,
        /// The node's further addresses.
        pub tagged_addresses: BTreeMap<String, String>,
        /// The node's metadata.
        pub node_meta: BTreeMap<String, String>,
        /// Empty: the agent's own.
        pub datacenter: String,
        /// An instance on the node.
        pub service: Option<Service>,
        /// A check of node or instance.
        pub check: Option<CatalogCheck>,
        /// Several of them.
        pub checks: Vec<CatalogCheck>,
        /// Leaves a node that exists as it is.
        pub skip_node_update: bool,
        /// Enterprise.
        pub partition: String,
        /// Where the node runs.
        pub locality: Option<Locality>,
    }
}

wire! {
    /// A check to put into the catalog. No agent runs it: whoever put it there keeps its state.
    pub struct CatalogCheck {
        /// The node it belongs to.
        pub node: String,
        /// Unique on its node.
        #[serde(rename = "CheckID")]
        pub check_id: String,
        /// For people.
        pub name: String,
        /// Its state.
        pub status: Option<Status>,
        /// For people.
        pub notes: String,
        /// What the latest run said.
        pub output: String,
        /// The instance it belongs to; empty: to the node.
        #[serde(rename = "ServiceID")]
        pub service_id: String,
        /// The name of that instance's service.
        pub service_name: String,
        /// The tags of that instance.
        pub service_tags: Vec<String>,
        /// The port a proxy exposes it on.
        pub exposed_port: u16,
        /// What kind of check.
        #[serde(rename = "Type")]
        pub kind: String,
        /// What it does, for those who run it.
        pub definition: Option<CheckDefinition>,
        /// Enterprise.
        pub namespace: String,
        /// Enterprise.
        pub partition: String,
    }
}

wire! {
    /// What to take out of the catalog: a check or an instance, or with neither the whole node.
    pub struct CatalogDeregistration {
        /// The node. Required.
        pub node: String,
        /// Empty: the agent's own.
        pub datacenter: String,
        /// The instance.
        #[serde(rename = "ServiceID")]
        pub service_id: String,
        /// The check.
        #[serde(rename = "CheckID")]
        pub check_id: String,
        /// Enterprise.
        pub namespace: String,
        /// Enterprise.
        pub partition: String,
    }
}

/// The calls of `/v1/catalog`: see [`Client::catalog`].
#[derive(Clone, Copy, Debug)]
pub struct Catalog<'a> {
    client: &'a Client,
}

impl Client {
    /// What is registered, healthy or not.
    #[must_use]
    pub fn catalog(&self) -> Catalog<'_> {
        Catalog { client: self }
    }
}

impl Catalog<'_> {
    /// The known datacenters, nearest first. `GET /v1/catalog/datacenters`
    pub fn datacenters(&self) -> Call<Vec<String>> {
        Call::new(self.client, Request::get(["catalog", "datacenters"]))
    }

    /// All nodes. `GET /v1/catalog/nodes`
    pub fn nodes(&self) -> Read<Vec<Node>> {
        self.read(["catalog", "nodes"])
    }

    /// The names of all services, each with the tags of its instances. `GET /v1/catalog/services`
    pub fn services(&self) -> Read<BTreeMap<String, Vec<String>>> {
        self.read(["catalog", "services"])
    }

    /// The instances of a service. `GET /v1/catalog/service/:service`
    pub fn service(&self, service: impl Into<String>) -> Read<Vec<CatalogService>> {
        self.read([
            Cow::from("catalog"),
            "service".into(),
            service.into().into(),
        ])
    }

    /// The instances that accept mesh TLS for a service. `GET /v1/catalog/connect/:service`
    pub fn connect(&self, service: impl Into<String>) -> Read<Vec<CatalogService>> {
        self.read([
            Cow::from("catalog"),
            "connect".into(),
            service.into().into(),
        ])
    }

    /// A node with its instances by id; `None`: there is no such node. `GET /v1/catalog/node/:node`
    pub fn node(&self, node: impl Into<String>) -> Read<Option<CatalogNode>> {
        self.read([Cow::from("catalog"), "node".into(), node.into().into()])
    }

    /// A node with its instances as a list. `GET /v1/catalog/node-services/:node`
    pub fn node_services(&self, node: impl Into<String>) -> Read<CatalogNodeServices> {
        self.read([
            Cow::from("catalog"),
            "node-services".into(),
            node.into().into(),
        ])
    }

    /// The services a gateway exposes or reaches. `GET /v1/catalog/gateway-services/:gateway`
    pub fn gateway_services(&self, gateway: impl Into<String>) -> Read<Vec<GatewayService>> {
        self.read([
            Cow::from("catalog"),
            "gateway-services".into(),
            gateway.into().into(),
        ])
    }

    /// Puts a node, an instance or checks into the catalog. `PUT /v1/catalog/register`
    ///
    /// Registrations of agents' own services go to the [agent](Client::agent) instead, which would undo what differs here.
    pub fn register(&self, registration: &CatalogRegistration) -> Call<bool> {
        Call::new(
            self.client,
            Request::put(["catalog", "register"]).json(registration),
        )
    }

    /// Takes a node, an instance or a check out of the catalog. `PUT /v1/catalog/deregister`
    pub fn deregister(&self, deregistration: &CatalogDeregistration) -> Call<bool> {
        Call::new(
            self.client,
            Request::put(["catalog", "deregister"]).json(deregistration),
        )
    }

    fn read<T: DeserializeOwned + Default, S: Into<Cow<'static, str>>, const N: usize>(
        &self,
        segments: [S; N],
    ) -> Read<T> {
        Read::new(
            self.client,
            Request::with_decoder(Method::GET, segments, |reply| reply.json_or_default()),
        )
    }
}

impl Read<Vec<CatalogService>> {
    /// Only instances with this tag. May be said more than once: they must have all.
    pub fn tag(self, tag: impl Into<String>) -> Self {
        self.map_request(|request| request.add_query("tag", tag))
    }

    /// Only instances on nodes with this metadata. May be said more than once.
    pub fn node_meta(self, key: &str, value: &str) -> Self {
        self.map_request(|request| request.add_query("node-meta", format!("{key}:{value}")))
    }

    /// Merges what config entries say into each proxy's settings.
    pub fn merge_central_config(self) -> Self {
        self.map_request(|request| request.set_query("merge-central-config", ""))
    }
}
