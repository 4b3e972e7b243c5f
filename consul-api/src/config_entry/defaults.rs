//! The entries with defaults: of one service, of all proxies.

use std::collections::BTreeMap;

use super::{FailoverPolicy, PrioritizeByLocality};
use crate::{
    duration::GoDuration,
    health::{AccessLogs, EnvoyExtension, Expose, MeshGateway, TransparentProxy},
    json::Json,
    wire::wire,
};

wire! {
    /// Defaults of one service. Kind `service-defaults`.
    pub struct ServiceDefaults {
        /// The service.
        pub name: String,
        /// `tcp` (also if empty), `http`, `http2`, `grpc`. Decides which rules about requests may be written for it.
        pub protocol: String,
        /// `direct` or `transparent`.
        pub mode: String,
        /// How traffic reaches a transparent proxy.
        pub transparent_proxy: Option<TransparentProxy>,
        /// `strict` or `permissive`.
        #[serde(rename = "MutualTLSMode")]
        pub mutual_tls_mode: String,
        /// Which gateways its traffic takes to other datacenters.
        pub mesh_gateway: MeshGateway,
        /// Paths that need no mesh TLS.
        pub expose: Expose,
        /// The server name to use for it, of services outside the mesh.
        #[serde(rename = "ExternalSNI")]
        pub external_sni: String,
        /// How it uses its upstreams.
        pub upstream_config: Option<UpstreamConfiguration>,
        /// A place outside the mesh this service stands for.
        pub destination: Option<Destination>,
        /// 0: no limit.
        pub max_inbound_connections: i64,
        /// 0: 5 s.
        pub local_connect_timeout_ms: i64,
        /// 0: no limit.
        pub local_request_timeout_ms: i64,
        /// Empty or `exact_balance`.
        pub balance_inbound_connections: String,
        /// Enterprise.
        pub rate_limits: Option<RateLimits>,
        /// Extensions of Envoy.
        pub envoy_extensions: Vec<EnvoyExtension>,
        /// The size of request headers, in KiB (Consul 1.22).
        #[serde(rename = "MaxRequestHeadersKB")]
        pub max_request_headers_kb: Option<u32>,
        /// Free-form metadata.
        pub meta: BTreeMap<String, String>,
        /// Enterprise.
        pub namespace: String,
        /// Enterprise.
        pub partition: String,
        /// Consul's own hash of the content. Not written.
        #[serde(skip_serializing)]
        pub hash: u64,
        /// Consul's own counters. Not written.
        #[serde(skip_serializing)]
        pub create_index: u64,
        /// Consul's own counters. Not written.
        #[serde(skip_serializing)]
        pub modify_index: u64,
    }
    + extra
}

wire! {
    /// How a service uses its upstreams.
    pub struct UpstreamConfiguration {
        /// All of them.
        pub defaults: Option<UpstreamConfig>,
        /// Some of them, by name.
        pub overrides: Vec<UpstreamConfig>,
    }
    + extra
}

wire! {
    /// How one upstream is used.
    pub struct UpstreamConfig {
        /// The upstream.
        pub name: String,
        /// Enterprise.
        pub namespace: String,
        /// Enterprise.
        pub partition: String,
        /// The cluster peer it is in.
        pub peer: String,
        /// Raw configuration of Envoy.
        #[serde(rename = "EnvoyListenerJSON")]
        pub envoy_listener_json: String,
        /// Raw configuration of Envoy.
        #[serde(rename = "EnvoyClusterJSON")]
        pub envoy_cluster_json: String,
        /// In the place of the upstream's own protocol.
        pub protocol: String,
        /// 0: 5 s.
        pub connect_timeout_ms: i64,
        /// How much it is used at once.
        pub limits: Option<UpstreamLimits>,
        /// When an instance is left alone.
        pub passive_health_check: Option<PassiveHealthCheck>,
        /// Which gateways it takes.
        pub mesh_gateway: MeshGateway,
        /// Empty or `exact_balance`.
        pub balance_outbound_connections: String,
    }
    + extra
}

wire! {
    /// How much an upstream is used at once. Not set: as much as the data plane does by itself.
    pub struct UpstreamLimits {
        /// Connections.
        pub max_connections: Option<i64>,
        /// Requests that wait for a connection.
        pub max_pending_requests: Option<i64>,
        /// Requests.
        pub max_concurrent_requests: Option<i64>,
    }
    + extra
}

wire! {
    /// When an instance is left alone for a time.
    pub struct PassiveHealthCheck {
        /// How often it is looked at.
        pub interval: GoDuration,
        /// After how many failures in a row.
        pub max_failures: u32,
        /// After how many 5xx in a row.
        #[serde(rename = "Consecutive5xx")]
        pub consecutive_5xx: Option<u32>,
        /// After how many gateway failures in a row.
        pub consecutive_gateway_failure: Option<u32>,
        /// With which probability, in percent.
        #[serde(rename = "EnforcingConsecutive5xx")]
        pub enforcing_consecutive_5xx: Option<u32>,
        /// With which probability, in percent.
        pub enforcing_consecutive_gateway_failure: Option<u32>,
        /// How many instances at most, in percent.
        pub max_ejection_percent: Option<u32>,
        /// For how long, times how often already.
        pub base_ejection_time: Option<GoDuration>,
    }
    + extra
}

wire! {
    /// A place outside the mesh.
    pub struct Destination {
        /// Host names or IP addresses.
        pub addresses: Vec<String>,
        /// The port.
        pub port: u16,
    }
    + extra
}

wire! {
    /// Rate limits. Enterprise.
    pub struct RateLimits {
        /// Of each instance.
        pub instance_level: Option<InstanceRateLimits>,
    }
    + extra
}

wire! {
    /// Rate limits of each instance. Enterprise.
    pub struct InstanceRateLimits {
        /// Requests.
        pub requests_per_second: i64,
        /// Requests at once.
        pub requests_max_burst: i64,
        /// Of some paths.
        pub routes: Vec<RouteRateLimit>,
    }
    + extra
}

wire! {
    /// Rate limits of some paths. Enterprise.
    pub struct RouteRateLimit {
        /// The path is this.
        pub path_exact: String,
        /// The path starts with this.
        pub path_prefix: String,
        /// The path matches this.
        pub path_regex: String,
        /// Requests.
        pub requests_per_second: i64,
        /// Requests at once.
        pub requests_max_burst: i64,
    }
    + extra
}

wire! {
    /// Defaults of all proxies. Kind `proxy-defaults`, always named `global`.
    pub struct ProxyDefaults {
        /// `global`
        pub name: String,
        /// Free-form settings; `protocol` is the default protocol of every service.
        pub config: BTreeMap<String, Json>,
        /// `direct` or `transparent`.
        pub mode: String,
        /// How traffic reaches a transparent proxy.
        pub transparent_proxy: Option<TransparentProxy>,
        /// `strict` or `permissive`.
        #[serde(rename = "MutualTLSMode")]
        pub mutual_tls_mode: String,
        /// Which gateways traffic takes to other datacenters.
        pub mesh_gateway: MeshGateway,
        /// Paths that need no mesh TLS.
        pub expose: Expose,
        /// Access logs.
        pub access_logs: Option<AccessLogs>,
        /// Extensions of Envoy.
        pub envoy_extensions: Vec<EnvoyExtension>,
        /// In which order failover targets are used.
        pub failover_policy: Option<FailoverPolicy>,
        /// Whether near instances come first. Enterprise.
        pub prioritize_by_locality: Option<PrioritizeByLocality>,
        /// Free-form metadata.
        pub meta: BTreeMap<String, String>,
        /// Enterprise.
        pub namespace: String,
        /// Enterprise.
        pub partition: String,
        /// Consul's own hash of the content. Not written.
        #[serde(skip_serializing)]
        pub hash: u64,
        /// Consul's own counters. Not written.
        #[serde(skip_serializing)]
        pub create_index: u64,
        /// Consul's own counters. Not written.
        #[serde(skip_serializing)]
        pub modify_index: u64,
    }
    + extra
}
