//! What is registered with an agent.

use std::collections::BTreeMap;

use crate::{
    duration::GoDuration,
    health::{Locality, Proxy, ServiceAddress, ServicePort, Status, Weights},
    secret::Secret,
    wire::wire,
};

wire! {
    /// A service instance to register with the agent.
    ///
    /// ```
    /// use consul_api::agent::{Check, ServiceConnect, ServiceRegistration};
    ///
    /// let mut registration = ServiceRegistration::new("web");
    /// registration.port = 8443;
    /// registration.connect = Some(ServiceConnect::native());
    /// registration.check = Some(Check::ttl(std::time::Duration::from_secs(15)));
    /// ```
    pub struct ServiceRegistration {
        /// What kind of instance; see [`health::Service::kind`](crate::health::Service::kind).
        pub kind: String,
        /// Unique on the agent; empty: the name.
        #[serde(rename = "ID")]
        pub id: String,
        /// The service's name. Required.
        pub name: String,
        /// Free-form tags.
        pub tags: Vec<String>,
        /// Where it listens; empty: at the agent's address. Not `0.0.0.0` or `::`.
        pub address: String,
        /// Further addresses: `lan`, `wan`, … .
        pub tagged_addresses: BTreeMap<String, ServiceAddress>,
        /// Where it listens.
        pub port: u16,
        /// Several named ports, one of them the default (Consul 1.22). Not together with `port`, and not for native services.
        pub ports: Vec<ServicePort>,
        /// Where it listens locally, instead of a port.
        pub socket_path: String,
        /// Free-form metadata.
        pub meta: BTreeMap<String, String>,
        /// How much of the traffic it is to get; none: 1 in both states.
        pub weights: Option<Weights>,
        /// Whether anti-entropy leaves tags changed in the catalog alone.
        pub enable_tag_override: bool,
        /// A check.
        pub check: Option<Check>,
        /// Several checks.
        pub checks: Vec<Check>,
        /// What a proxy is configured with.
        pub proxy: Option<Proxy>,
        /// How it takes part in the mesh.
        pub connect: Option<ServiceConnect>,
        /// Where it runs.
        pub locality: Option<Locality>,
        /// The token the agent uses for this instance from now on; none: the one the call carries.
        #[serde(serialize_with = "Secret::write")]
        pub token: Secret,
        /// Enterprise.
        pub namespace: String,
        /// Enterprise.
        pub partition: String,
    }
}

impl ServiceRegistration {
    /// An instance of a service, everything else to be set.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }
}

wire! {
    /// How an instance takes part in the mesh.
    pub struct ServiceConnect {
        /// It speaks mesh TLS itself. Then it needs a port or a socket path.
        pub native: bool,
        /// A sidecar to register with it. What it leaves out is derived.
        pub sidecar_service: Option<Box<ServiceRegistration>>,
    }
}

impl ServiceConnect {
    /// It speaks mesh TLS itself.
    #[must_use]
    pub fn native() -> Self {
        Self {
            native: true,
            sidecar_service: None,
        }
    }

    /// A sidecar speaks mesh TLS for it.
    #[must_use]
    pub fn sidecar(registration: ServiceRegistration) -> Self {
        Self {
            native: false,
            sidecar_service: Some(Box::new(registration)),
        }
    }
}

wire! {
    /// A check that the agent runs: of one kind, told by the field that is set.
    ///
    /// Agents present no mesh certificate, so that a check of a mesh TLS port fails: use a TTL, or a port of its own.
    pub struct Check {
        /// Unique on the agent; empty: derived from the service.
        #[serde(rename = "CheckID")]
        pub check_id: String,
        /// For people.
        pub name: String,
        /// For people.
        pub notes: String,
        /// The state until the first run; none: critical.
        pub status: Option<Status>,
        /// How often it runs. Not with a TTL.
        pub interval: GoDuration,
        /// How long a run may take; 0: 10 s.
        pub timeout: GoDuration,
        /// By hand: critical unless updated within this time.
        #[serde(rename = "TTL")]
        pub ttl: GoDuration,
        /// URL.
        #[serde(rename = "HTTP")]
        pub http: String,
        /// HTTP method; empty: GET.
        pub method: String,
        /// Request headers.
        pub header: BTreeMap<String, Vec<String>>,
        /// Request body.
        pub body: String,
        /// Redirects are an answer instead of being followed.
        pub disable_redirects: bool,
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
        /// `host:port`, or `host:port/service`.
        #[serde(rename = "GRPC")]
        pub grpc: String,
        /// With TLS.
        #[serde(rename = "GRPCUseTLS")]
        pub grpc_use_tls: bool,
        /// `host:port`, asked by HTTP/2 PING.
        #[serde(rename = "H2PING")]
        pub h2ping: String,
        /// With TLS; none: yes.
        #[serde(rename = "H2PingUseTLS")]
        pub h2ping_use_tls: Option<bool>,
        /// A program and its arguments. The agent must allow it.
        pub script_args: Vec<String>,
        /// Runs the program in this container.
        #[serde(rename = "DockerContainerID")]
        pub docker_container_id: String,
        /// Runs the program by this shell of the container.
        pub shell: String,
        /// The name of a service of the operating system.
        #[serde(rename = "OSService")]
        pub os_service: String,
        /// As another node's instance.
        pub alias_node: String,
        /// As another instance.
        pub alias_service: String,
        /// How often it must pass to be passing.
        pub success_before_passing: u32,
        /// How often it must fail to be warning.
        pub failures_before_warning: u32,
        /// How often it must fail to be critical.
        pub failures_before_critical: u32,
        /// For how long it may be critical until its service is removed; at least a minute.
        pub deregister_critical_service_after: GoDuration,
        /// How much of a run's output is kept, in bytes; 0: 4096.
        pub output_max_size: u32,
    }
}

impl Check {
    /// Critical unless updated within this time.
    #[must_use]
    pub fn ttl(ttl: std::time::Duration) -> Self {
        Self {
            ttl: ttl.into(),
            ..Self::default()
        }
    }

    /// GET of a URL every so often: 2xx passes, 429 warns.
    #[must_use]
    pub fn http(url: impl Into<String>, interval: std::time::Duration) -> Self {
        Self {
            http: url.into(),
            interval: interval.into(),
            ..Self::default()
        }
    }

    /// A TCP connection to `host:port` every so often.
    #[must_use]
    pub fn tcp(address: impl Into<String>, interval: std::time::Duration) -> Self {
        Self {
            tcp: address.into(),
            interval: interval.into(),
            ..Self::default()
        }
    }
}

/// A check to register with the agent by itself.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct CheckRegistration {
    /// Unique on the agent; empty: the name.
    #[serde(rename = "ID", skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// The instance it belongs to; empty: to the node.
    #[serde(rename = "ServiceID", skip_serializing_if = "String::is_empty")]
    pub service_id: String,
    /// The check.
    #[serde(flatten)]
    pub check: Check,
    /// Enterprise.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Enterprise.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub partition: String,
}

impl CheckRegistration {
    /// A check with a name.
    #[must_use]
    pub fn new(name: impl Into<String>, check: Check) -> Self {
        let mut check = check;
        check.name = name.into();
        Self {
            check,
            ..Self::default()
        }
    }
}
