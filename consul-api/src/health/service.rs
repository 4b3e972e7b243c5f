//! A service instance, as catalog, health and agent describe it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    json::Json,
    wire::{lenient, wire},
};

wire! {
    /// One instance of a service.
    pub struct Service {
        /// What kind of instance: empty for an ordinary one, `connect-proxy`, `mesh-gateway`, `terminating-gateway`,
        /// `ingress-gateway`, `api-gateway`.
        pub kind: String,
        /// Unique on its node.
        #[serde(rename = "ID")]
        pub id: String,
        /// The service's name. Of a sidecar: the sidecar's own.
        pub service: String,
        /// Free-form tags.
        pub tags: Vec<String>,
        /// Where it listens; empty: at its node's address.
        pub address: String,
        /// Further addresses: `lan`, `wan`, `lan_ipv4`, … .
        pub tagged_addresses: BTreeMap<String, ServiceAddress>,
        /// Free-form metadata.
        pub meta: BTreeMap<String, String>,
        /// 0 if it has none, or several.
        pub port: u16,
        /// Named ports, of services with several (Consul 1.22).
        pub ports: Vec<ServicePort>,
        /// Where it listens locally, instead of a port.
        pub socket_path: String,
        /// How much of the traffic it is to get.
        pub weights: Weights,
        /// Whether anti-entropy leaves tags changed in the catalog alone.
        pub enable_tag_override: bool,
        /// Where it runs.
        pub locality: Option<Locality>,
        /// What a proxy is configured with.
        pub proxy: Proxy,
        /// How it takes part in the mesh.
        pub connect: Connect,
        /// The cluster peer it was imported from.
        pub peer_name: String,
        /// Enterprise.
        pub namespace: String,
        /// Enterprise.
        pub partition: String,
        /// From the agent alone: where it is.
        pub datacenter: String,
        /// From the agent alone, of one instance: what a blocking query waits on.
        pub content_hash: String,
        /// Consul's own counters.
        pub create_index: u64,
        /// Consul's own counters.
        pub modify_index: u64,
    }
}

wire! {
    /// An address of its own kind.
    pub struct ServiceAddress {
        /// A host name or IP address.
        pub address: String,
        /// 0 if it is the instance's own.
        pub port: u16,
    }
}

wire! {
    /// One of several named ports (Consul 1.22).
    pub struct ServicePort {
        /// Its name.
        pub name: String,
        /// Its number.
        pub port: u16,
        /// Whether it is the one meant where none is named.
        pub default: bool,
    }
}

/// How much traffic an instance is to get, by its state. Both default to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct Weights {
    /// While all checks pass. Below 1: none.
    #[serde(deserialize_with = "lenient")]
    pub passing: i64,
    /// While a check warns. Below 1: none.
    #[serde(deserialize_with = "lenient")]
    pub warning: i64,
}

impl Weights {
    /// Weights for both states.
    #[must_use]
    pub const fn new(passing: i64, warning: i64) -> Self {
        Self { passing, warning }
    }
}

impl Default for Weights {
    fn default() -> Self {
        Self::new(1, 1)
    }
}

wire! {
    /// Where something runs, as a cloud names it.
    pub struct Locality {
        /// The region.
        pub region: String,
        /// The zone in the region.
        pub zone: String,
    }
}

wire! {
    /// How an instance takes part in the mesh.
    pub struct Connect {
        /// It speaks mesh TLS itself.
        pub native: bool,
        /// What it is known by, if it was imported from a cluster peer.
        pub peer_meta: Option<PeerMeta>,
    }
}

wire! {
    /// What an instance imported from a cluster peer is known by.
    pub struct PeerMeta {
        /// What to send as server name: the first.
        #[serde(rename = "SNI")]
        pub sni: Vec<String>,
        /// Whom to expect: any of them.
        #[serde(rename = "SpiffeID")]
        pub spiffe_id: Vec<String>,
        /// The service's protocol there.
        pub protocol: String,
    }
}

wire! {
    /// What a proxy is configured with.
    pub struct Proxy {
        /// The service it stands for.
        pub destination_service_name: String,
        /// The instance it stands for.
        #[serde(rename = "DestinationServiceID")]
        pub destination_service_id: String,
        /// Where that instance listens.
        pub local_service_address: String,
        /// Where that instance listens.
        pub local_service_port: u16,
        /// Where that instance listens.
        pub local_service_socket_path: String,
        /// `transparent` or `direct`; empty: as the defaults say.
        pub mode: String,
        /// How traffic reaches a transparent proxy.
        pub transparent_proxy: Option<TransparentProxy>,
        /// Free-form settings.
        pub config: BTreeMap<String, Json>,
        /// What it forwards to.
        pub upstreams: Vec<Upstream>,
        /// Which gateways its traffic takes to other datacenters.
        pub mesh_gateway: MeshGateway,
        /// Paths that need no mesh TLS.
        pub expose: Expose,
        /// Access logs.
        pub access_logs: Option<AccessLogs>,
        /// Extensions of Envoy.
        pub envoy_extensions: Vec<EnvoyExtension>,
    }
}

wire! {
    /// How traffic reaches a transparent proxy.
    pub struct TransparentProxy {
        /// Where it takes outgoing connections.
        pub outbound_listener_port: u16,
        /// Whether instances are dialled by their own addresses.
        pub dialed_directly: bool,
    }
}

wire! {
    /// Which gateways traffic to other datacenters takes.
    pub struct MeshGateway {
        /// `local`, `remote`, `none`; empty: as the defaults say.
        pub mode: String,
    }
}

wire! {
    /// One thing a proxy forwards to.
    pub struct Upstream {
        /// `service` or `prepared_query`.
        pub destination_type: String,
        /// Enterprise.
        pub destination_namespace: String,
        /// Enterprise.
        pub destination_partition: String,
        /// The cluster peer it is imported from.
        pub destination_peer: String,
        /// The service's or query's name.
        pub destination_name: String,
        /// One of the destination's named ports.
        pub destination_port: String,
        /// Empty: the proxy's own.
        pub datacenter: String,
        /// Where the proxy listens for it.
        pub local_bind_address: String,
        /// Where the proxy listens for it.
        pub local_bind_port: u16,
        /// Where the proxy listens for it.
        pub local_bind_socket_path: String,
        /// Permissions of that socket.
        pub local_bind_socket_mode: String,
        /// Free-form settings.
        pub config: BTreeMap<String, Json>,
        /// Which gateways it takes.
        pub mesh_gateway: MeshGateway,
        /// Added by config entries instead of the registration.
        pub centrally_configured: bool,
    }
}

wire! {
    /// Paths a proxy lets through without mesh TLS.
    pub struct Expose {
        /// All of the service's HTTP and gRPC checks.
        pub checks: bool,
        /// These paths.
        pub paths: Vec<ExposePath>,
    }
}

wire! {
    /// A path a proxy lets through without mesh TLS.
    pub struct ExposePath {
        /// Where the proxy listens for it.
        pub listener_port: u16,
        /// The path.
        pub path: String,
        /// Where the service listens.
        pub local_path_port: u16,
        /// `http` or `http2`.
        pub protocol: String,
        /// Added for a check instead of by hand.
        pub parsed_from_check: bool,
    }
}

wire! {
    /// Access logs of a proxy.
    pub struct AccessLogs {
        /// Whether there are any.
        pub enabled: bool,
        /// Not for connections that no listener takes.
        pub disable_listener_logs: bool,
        /// `file`, `stderr` or `stdout`.
        #[serde(rename = "Type")]
        pub sink: String,
        /// Of the file.
        pub path: String,
        /// As JSON.
        #[serde(rename = "JSONFormat")]
        pub json_format: String,
        /// As text.
        pub text_format: String,
    }
}

wire! {
    /// An extension of Envoy.
    pub struct EnvoyExtension {
        /// Its name.
        pub name: String,
        /// Whether the proxy is not configured at all without it.
        pub required: bool,
        /// Free-form.
        pub arguments: BTreeMap<String, Json>,
        /// A constraint on the version.
        pub consul_version: String,
        /// A constraint on the version.
        pub envoy_version: String,
    }
}
