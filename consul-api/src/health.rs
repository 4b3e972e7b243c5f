//! Health: instances with their checks (`/v1/health/…`).

use crate::{catalog::Node, client::Client, read::Read, request::Request, wire::wire};

mod check;
mod service;

pub use check::{CheckDefinition, HealthCheck, Status};
pub use service::{
    AccessLogs, Connect, EnvoyExtension, Expose, ExposePath, Locality, MeshGateway, PeerMeta,
    Proxy, Service, ServiceAddress, ServicePort, TransparentProxy, Upstream, Weights,
};

wire! {
    /// One instance, where it runs, and how it is.
    pub struct ServiceEntry {
        /// The node it runs on.
        pub node: Node,
        /// The instance.
        pub service: Service,
        /// Its checks and those of its node.
        pub checks: Vec<HealthCheck>,
    }
}

impl ServiceEntry {
    /// The state of all checks together: the worst of them; without checks, passing.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut worst = Status::Passing;
        for check in &self.checks {
            match (&check.status, &worst) {
                _ if check.check_id == "_node_maintenance"
                    || check.check_id.starts_with("_service_maintenance:") =>
                {
                    return Status::Maintenance;
                }
                (Status::Passing, _) => {}
                (Status::Warning, Status::Passing) => worst = Status::Warning,
                (Status::Warning, _) => {}
                // A state we do not know is no promise that it serves.
                (Status::Critical | Status::Maintenance | Status::Other(_), _) => {
                    worst = Status::Critical;
                }
            }
        }
        worst
    }
}

/// The calls of `/v1/health`: see [`Client::health`].
#[derive(Clone, Copy, Debug)]
pub struct Health<'a> {
    client: &'a Client,
}

impl Client {
    /// Instances of services with their checks.
    #[must_use]
    pub fn health(&self) -> Health<'_> {
        Health { client: self }
    }
}

impl Health<'_> {
    /// The instances of a service, proxies not included. `GET /v1/health/service/:service`
    ///
    /// Needs `service:read` and `node:read`; what the token may not read is left out, and `meta.filtered_by_acls` set, though not
    /// without any token.
    pub fn service(&self, service: impl Into<String>) -> Read<Vec<ServiceEntry>> {
        self.read("service", service)
    }

    /// The instances that accept mesh TLS for a service: native ones, its sidecars, and terminating gateways linked to it.
    /// `GET /v1/health/connect/:service`
    ///
    /// Needs `service:read` (403 without, since Consul 1.16) and `node:read`.
    pub fn connect(&self, service: impl Into<String>) -> Read<Vec<ServiceEntry>> {
        self.read("connect", service)
    }

    /// The ingress gateways that expose a service. `GET /v1/health/ingress/:service`
    pub fn ingress(&self, service: impl Into<String>) -> Read<Vec<ServiceEntry>> {
        self.read("ingress", service)
    }

    /// The checks of a node. `GET /v1/health/node/:node`
    pub fn node(&self, node: impl Into<String>) -> Read<Vec<HealthCheck>> {
        self.read("node", node)
    }

    /// The checks of a service. `GET /v1/health/checks/:service`
    pub fn checks(&self, service: impl Into<String>) -> Read<Vec<HealthCheck>> {
        self.read("checks", service)
    }

    /// The checks in a state; `None`: in any. `GET /v1/health/state/:state`
    pub fn state(&self, state: Option<Status>) -> Read<Vec<HealthCheck>> {
        self.read(
            "state",
            state.map_or_else(|| "any".to_owned(), String::from),
        )
    }

    fn read<T: serde::de::DeserializeOwned + Default>(
        &self,
        what: &'static str,
        name: impl Into<String>,
    ) -> Read<T> {
        let request = Request::with_decoder(
            http::Method::GET,
            [
                "health".into(),
                what.into(),
                std::borrow::Cow::Owned(name.into()),
            ],
            |reply| reply.json_or_default(),
        );
        Read::new(self.client, request)
    }
}

impl Read<Vec<ServiceEntry>> {
    /// Only instances whose checks, and whose node's checks, all pass.
    pub fn passing(self) -> Self {
        self.map_request(|request| request.set_query("passing", "1"))
    }

    /// Only instances with this tag. May be said more than once: they must have all.
    pub fn tag(self, tag: impl Into<String>) -> Self {
        self.map_request(|request| request.add_query("tag", tag))
    }

    /// Only instances on nodes with this metadata. May be said more than once.
    pub fn node_meta(self, key: &str, value: &str) -> Self {
        self.map_request(|request| request.add_query("node-meta", format!("{key}:{value}")))
    }

    /// Merges what config entries say into each proxy's settings. Adds nothing for native instances.
    pub fn merge_central_config(self) -> Self {
        self.map_request(|request| request.set_query("merge-central-config", ""))
    }
}

impl Read<Vec<HealthCheck>> {
    /// Only checks on nodes with this metadata. May be said more than once.
    pub fn node_meta(self, key: &str, value: &str) -> Self {
        self.map_request(|request| request.add_query("node-meta", format!("{key}:{value}")))
    }
}
