//! What an agent is to be, before it is started.

use std::{fmt::Write as _, time::Duration};

use serde_json::{Value, json};

use super::{Agent, OwnCa};
use crate::{Error, Found, ports::Ports};

/// A Consul agent to be started: by default a development server (state in memory, ready in about a second), without ACLs.
///
/// Each agent has ports, a node name and a data directory of its own; nothing is shared with another.
#[derive(Clone, Debug)]
#[must_use = "nothing runs before `start`"]
pub struct Consul {
    pub(super) found: Found,
    pub(super) role: Role,
    pub(super) datacenter: String,
    pub(super) node_name: Option<String>,
    pub(super) node_id: String,
    pub(super) acl: Option<Acl>,
    pub(super) ready_within: Duration,
    default_intention_policy: Option<String>,
    ca: Option<OwnCa>,
    leaf_ttl: Option<String>,
    cluster_id: Option<String>,
    https: bool,
    extra: Vec<(&'static str, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Dev,
    Server,
    Client { join: u16 },
}

#[derive(Clone)]
pub(super) struct Acl {
    default: DefaultPolicy,
    pub(super) management: String,
}

impl std::fmt::Debug for Acl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acl")
            .field("default", &self.default)
            .finish_non_exhaustive()
    }
}

/// What ACLs say where no rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DefaultPolicy {
    /// Everything not forbidden is allowed.
    Allow,
    /// Everything not allowed is forbidden.
    Deny,
}

impl DefaultPolicy {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

impl Consul {
    /// An agent of the program that was found. A test takes it from [`consul`](crate::consul) instead.
    pub fn new(found: Found) -> Self {
        Self {
            found,
            role: Role::Dev,
            datacenter: "dc1".to_owned(),
            node_name: None,
            node_id: uuid(),
            acl: None,
            ready_within: Duration::from_secs(90),
            default_intention_policy: None,
            ca: None,
            leaf_ttl: None,
            cluster_id: None,
            https: false,
            extra: Vec::new(),
        }
    }

    /// A client agent of `server`: same program, datacenter and ACLs, nothing else of its configuration.
    pub(super) fn client_of(server: &Self, join: u16) -> Self {
        Self {
            role: Role::Client { join },
            datacenter: server.datacenter.clone(),
            acl: server.acl.clone(),
            ..Self::new(server.found.clone())
        }
    }

    /// The program that will run.
    #[must_use]
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// A single server with its state on disk, as in production, in place of a development server.
    /// Ready in about eight seconds; what it knows survives [`Agent::restart`].
    pub fn server(mut self) -> Self {
        self.role = Role::Server;
        self
    }

    /// Switches ACLs on, with a new management token: see [`Agent::token`].
    pub fn acl(mut self, default: DefaultPolicy) -> Self {
        self.acl = Some(Acl {
            default,
            management: uuid(),
        });
        self
    }

    /// Sets `default_intention_policy` (`allow` or `deny`) on this agent. Unset, the ACL default decides.
    pub fn default_intention_policy(mut self, policy: impl Into<String>) -> Self {
        self.default_intention_policy = Some(policy.into());
        self
    }

    /// Names the datacenter; `dc1` if not given.
    pub fn datacenter(mut self, name: impl Into<String>) -> Self {
        self.datacenter = name.into();
        self
    }

    /// Names the node; otherwise the name is made from the ports.
    pub fn node_name(mut self, name: impl Into<String>) -> Self {
        self.node_name = Some(name.into());
        self
    }

    /// Makes the mesh's CA sign with this key under this root from the start, so that a test can sign what Consul would refuse to.
    pub fn ca(mut self, ca: &OwnCa) -> Self {
        self.ca = Some(ca.clone());
        self
    }

    /// How long leafs live, as a Go duration (`1h`, which is also Consul's minimum).
    pub fn leaf_ttl(mut self, ttl: impl Into<String>) -> Self {
        self.leaf_ttl = Some(ttl.into());
        self
    }

    /// Chooses the trust domain, which is `<uuid>.consul`: with it a test's CA can be made before Consul is started.
    pub fn cluster_id(mut self, uuid: impl Into<String>) -> Self {
        self.cluster_id = Some(uuid.into());
        self
    }

    /// Opens the HTTPS port as well; its certificate comes from further configuration (`tls`, `auto_encrypt`).
    pub fn https(mut self) -> Self {
        self.https = true;
        self
    }

    /// Further configuration, as JSON. Later files win over earlier ones and over what the lab itself sets.
    pub fn config(mut self, json: &Value) -> Self {
        self.extra.push(("json", json.to_string()));
        self
    }

    /// Further configuration, as HCL.
    pub fn hcl(mut self, hcl: impl Into<String>) -> Self {
        self.extra.push(("hcl", hcl.into()));
        self
    }

    /// How long to wait for it to be ready before giving up; 90 seconds if not given.
    pub fn ready_within(mut self, limit: Duration) -> Self {
        self.ready_within = limit;
        self
    }

    /// Starts it and waits until its CA answers (and, with ACLs, until the management token is known).
    ///
    /// # Errors
    /// When it does not start, ends, or is not ready in time; the message carries the end of its log.
    ///
    /// # Cancel safety
    /// Dropping the future stops what has been started.
    pub async fn start(self) -> Result<Agent, Error> {
        Agent::start(self).await
    }

    /// Starts it as a server and then a client agent joined to it: the server, the client agent.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_pair(self) -> Result<(Agent, Agent), Error> {
        let server = self.start().await?;
        let client = server.client_agent().start().await?;
        Ok((server, client))
    }

    /// The configuration files, in the order in which the agent reads them.
    pub(super) fn files(&self, ports: &Ports, data: &str) -> Vec<(String, String)> {
        let mut files = vec![("00-lab.json".to_owned(), self.base(ports, data).to_string())];
        for (index, (kind, text)) in self.extra.iter().enumerate() {
            files.push((format!("{:02}-extra.{kind}", index + 1), text.clone()));
        }
        files
    }

    fn base(&self, ports: &Ports, data: &str) -> Value {
        let mut config = json!({
            "datacenter": self.datacenter,
            "node_name": self.node(ports),
            // Given, so that a wiped agent is the same node to the servers, as on a real machine that keeps its identity.
            "node_id": self.node_id,
            "bind_addr": "127.0.0.1",
            "client_addr": "127.0.0.1",
            "disable_update_check": true,
            "ports": {
                "http": ports.http(), "https": if self.https { i32::from(ports.https()) } else { -1 },
                "grpc": ports.grpc(), "grpc_tls": ports.grpc_tls(), "dns": ports.dns(),
                "server": ports.server(), "serf_lan": ports.serf_lan(), "serf_wan": ports.serf_wan(),
            },
            "connect": { "enabled": true },
            "peering": { "enabled": true },
        });
        match self.role {
            Role::Dev => {}
            Role::Server => {
                config["server"] = json!(true);
                config["bootstrap_expect"] = json!(1);
                // The fastest timing Consul allows for elections: nobody else takes part in them.
                config["performance"] = json!({ "raft_multiplier": 1 });
            }
            Role::Client { join } => {
                config["server"] = json!(false);
                config["retry_join"] = json!([format!("127.0.0.1:{join}")]);
                config["retry_interval"] = json!("1s");
            }
        }
        if self.role != Role::Dev {
            config["data_dir"] = json!(data);
        }
        if let Some(acl) = &self.acl {
            let mut tokens = json!({ "agent": acl.management });
            if !matches!(self.role, Role::Client { .. }) {
                tokens["initial_management"] = json!(acl.management);
            }
            config["acl"] = json!({ "enabled": true, "default_policy": acl.default.as_str(), "tokens": tokens });
        }
        if let Some(policy) = &self.default_intention_policy {
            config["default_intention_policy"] = json!(policy);
        }
        let mut ca = json!({});
        if let Some(own) = &self.ca {
            ca["private_key"] = json!(own.key_pem());
            ca["root_cert"] = json!(own.root_pem());
        }
        if let Some(ttl) = &self.leaf_ttl {
            ca["leaf_cert_ttl"] = json!(ttl);
        }
        if let Some(id) = &self.cluster_id {
            ca["cluster_id"] = json!(id);
        }
        if ca != json!({}) {
            config["connect"]["ca_provider"] = json!("consul");
            config["connect"]["ca_config"] = ca;
        }
        config
    }

    pub(super) fn node(&self, ports: &Ports) -> String {
        self.node_name
            .clone()
            .unwrap_or_else(|| format!("lab-{}", ports.http()))
    }
}

fn uuid() -> String {
    let bytes: [u8; 16] = rand::random();
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
    }
    text
}
