//! Health checks and their states.

use std::collections::BTreeMap;

use crate::{
    duration::GoDuration,
    wire::{wire, words},
};

words! {
    /// The state of a check, or of the checks of an instance together.
    pub enum Status {
        /// Not passing: what a check is until it was seen otherwise.
        Critical = "critical",
        /// Serves, but something is wrong.
        Warning = "warning",
        /// Serves.
        Passing = "passing",
        /// Taken out by hand.
        Maintenance = "maintenance",
    }
}

wire! {
    /// A check and its latest result.
    pub struct HealthCheck {
        /// The node it belongs to.
        pub node: String,
        /// Unique on its node.
        #[serde(rename = "CheckID")]
        pub check_id: String,
        /// For people.
        pub name: String,
        /// Its state.
        pub status: Status,
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
        /// `ttl`, `http`, `tcp`, `grpc`, `alias`, `maintenance`, … .
        #[serde(rename = "Type")]
        pub kind: String,
        /// How often it runs.
        pub interval: GoDuration,
        /// How long a run may take.
        pub timeout: GoDuration,
        /// The port a proxy exposes it on.
        pub exposed_port: u16,
        /// The cluster peer it was imported from.
        pub peer_name: String,
        /// Enterprise.
        pub namespace: String,
        /// Enterprise.
        pub partition: String,
        /// What it does, where Consul says so (checks that were put into the catalog by hand).
        pub definition: CheckDefinition,
        /// Consul's own counters.
        pub create_index: u64,
        /// Consul's own counters.
        pub modify_index: u64,
    }
}

wire! {
    /// What a check in the catalog does.
    pub struct CheckDefinition {
        /// URL.
        #[serde(rename = "HTTP")]
        pub http: String,
        /// Request headers.
        pub header: BTreeMap<String, Vec<String>>,
        /// HTTP method.
        pub method: String,
        /// Request body.
        pub body: String,
        /// Name to check the server's certificate for.
        #[serde(rename = "TLSServerName")]
        pub tls_server_name: String,
        /// Whether any certificate is accepted.
        #[serde(rename = "TLSSkipVerify")]
        pub tls_skip_verify: bool,
        /// `host:port`.
        #[serde(rename = "TCP")]
        pub tcp: String,
        /// With TLS.
        #[serde(rename = "TCPUseTLS")]
        pub tcp_use_tls: bool,
        /// `host:port`.
        #[serde(rename = "UDP")]
        pub udp: String,
        /// `host:port/service`.
        #[serde(rename = "GRPC")]
        pub grpc: String,
        /// With TLS.
        #[serde(rename = "GRPCUseTLS")]
        pub grpc_use_tls: bool,
        /// The name of a service of the operating system.
        #[serde(rename = "OSService")]
        pub os_service: String,
        /// The name of a session.
        pub session_name: String,
        /// How often it runs.
        pub interval: GoDuration,
        /// How long a run may take.
        pub timeout: GoDuration,
        /// For how long it may be critical until its service is removed.
        pub deregister_critical_service_after: GoDuration,
    }
}
