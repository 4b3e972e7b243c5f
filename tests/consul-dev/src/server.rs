//! Starting and stopping: the builder and the handle.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::ca::KeyKind;
use crate::error::Error;
use crate::http::listener::{self, Power, Serve};
use crate::state::acl::Policy;
use crate::state::{Facts, Settings, Shared};
use crate::{go, grpc, http};

/// The token with all rights, when ACLs are on and no other was set.
const MANAGEMENT: &str = "00000000-0000-0000-0000-0000000000aa";

/// How the server is to be.
#[derive(Clone, Debug)]
pub struct Builder {
    http_port: u16,
    grpc_port: u16,
    datacenter: String,
    node: String,
    trust_domain: Option<String>,
    ca_key: KeyKind,
    leaf_ttl: Duration,
    leaf_jitter: Duration,
    acl: bool,
    acl_default: &'static str,
    intention_default: Option<bool>,
    management: String,
    reap_minimum: Duration,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            http_port: 0,
            grpc_port: 0,
            datacenter: "dc1".to_owned(),
            node: "dev".to_owned(),
            trust_domain: None,
            ca_key: KeyKind::EcP256,
            leaf_ttl: Duration::from_secs(72 * 3600),
            leaf_jitter: Duration::ZERO,
            acl: false,
            acl_default: "deny",
            intention_default: None,
            management: MANAGEMENT.to_owned(),
            reap_minimum: Duration::from_secs(60),
        }
    }
}

impl Builder {
    /// The HTTP port; 0, the default, is a free one.
    #[must_use]
    pub fn http_port(mut self, port: u16) -> Self {
        self.http_port = port;
        self
    }

    /// The gRPC port (plaintext); 0, the default, is a free one.
    #[must_use]
    pub fn grpc_port(mut self, port: u16) -> Self {
        self.grpc_port = port;
        self
    }

    /// The datacenter; `dc1` by default.
    #[must_use]
    pub fn datacenter(mut self, name: impl Into<String>) -> Self {
        self.datacenter = name.into();
        self
    }

    /// The node name; `dev` by default.
    #[must_use]
    pub fn node(mut self, name: impl Into<String>) -> Self {
        self.node = name.into();
        self
    }

    /// The trust domain; a random one ending in `.dev.consul` by default.
    #[must_use]
    pub fn trust_domain(mut self, domain: impl Into<String>) -> Self {
        self.trust_domain = Some(domain.into());
        self
    }

    /// The first root's key; EC P-256 by default.
    #[must_use]
    pub fn ca_key(mut self, kind: KeyKind) -> Self {
        self.ca_key = kind;
        self
    }

    /// How long leafs live, counted from a minute before they are signed; 72 h by default, any length allowed.
    #[must_use]
    pub fn leaf_ttl(mut self, ttl: Duration) -> Self {
        self.leaf_ttl = ttl;
        self
    }

    /// The upper end of the random delay between a root rotation and the agent's new leafs; 0 by default, 30 s in the real one.
    #[must_use]
    pub fn leaf_jitter(mut self, jitter: Duration) -> Self {
        self.leaf_jitter = jitter;
        self
    }

    /// Turns ACLs on: default deny, and a management token with the given secret.
    #[must_use]
    pub fn acl(mut self, on: bool) -> Self {
        self.acl = on;
        self
    }

    /// The secret of the management token.
    #[must_use]
    pub fn management_token(mut self, secret: impl Into<String>) -> Self {
        self.management = secret.into();
        self
    }

    /// What holds for a caller no rule names while ACLs are on; deny by default.
    #[must_use]
    pub fn acl_default_allow(mut self, allow: bool) -> Self {
        self.acl_default = if allow { "allow" } else { "deny" };
        self
    }

    /// `default_intention_policy`; unset by default, which leaves it to the ACL default.
    #[must_use]
    pub fn default_intention_allow(mut self, allow: bool) -> Self {
        self.intention_default = Some(allow);
        self
    }

    /// The shortest `DeregisterCriticalServiceAfter` that is honoured; 1 min by default, as in the real one.
    #[must_use]
    pub fn reap_minimum(mut self, minimum: Duration) -> Self {
        self.reap_minimum = minimum;
        self
    }

    /// Starts the server on the current tokio runtime.
    ///
    /// # Errors
    /// A port is taken, or the authority cannot make a key.
    pub async fn start(self) -> Result<ConsulDev, Error> {
        let listen = |port| listener::listen(port).map_err(|source| Error::Listen { port, source });
        let (http_listener, http_address) = listen(self.http_port)?;
        let (grpc_listener, grpc_address) = listen(self.grpc_port)?;
        let settings = Settings {
            trust_domain: self
                .trust_domain
                .unwrap_or_else(|| format!("{}.dev.consul", go::uuid())),
            ca_key: self.ca_key,
            leaf_ttl: self.leaf_ttl,
            leaf_jitter: self.leaf_jitter,
        };
        let facts = Facts {
            datacenter: self.datacenter,
            node: self.node,
            node_id: go::uuid(),
            acl: self.acl,
            acl_default: self.acl_default,
            intention_default: self.intention_default,
            http_port: http_address.port(),
            grpc_port: grpc_address.port(),
        };
        let shared = Arc::new(Shared::new(facts, &settings)?);
        shared.with(|state| {
            state.agent.reap_minimum = self.reap_minimum;
            if self.acl {
                let secret = Some(self.management.clone());
                state.create_token(
                    Policy::management(),
                    "Initial Management Token",
                    secret,
                    None,
                );
            }
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&shared).run_timers());
        let mut serve = |listener, address, serve: Serve| {
            let (power, commands) = mpsc::channel(1);
            tasks.spawn(listener::accept(listener, address, serve, commands));
            power
        };
        let http_power = serve(
            http_listener,
            http_address,
            http::serve::http(Arc::clone(&shared)),
        );
        let grpc_power = serve(grpc_listener, grpc_address, grpc::grpc(Arc::clone(&shared)));
        Ok(ConsulDev {
            http: Listening::new(http_address, http_power),
            grpc: Listening::new(grpc_address, grpc_power),
            management: self.management,
            shared,
            _tasks: tasks,
        })
    }
}

#[derive(Debug)]
struct Listening {
    address: SocketAddr,
    text: String,
    power: mpsc::Sender<Power>,
}

impl Listening {
    fn new(address: SocketAddr, power: mpsc::Sender<Power>) -> Self {
        Self {
            text: address.to_string(),
            address,
            power,
        }
    }

    async fn set(&self, up: bool) -> Result<(), Error> {
        let (done, finished) = oneshot::channel();
        let command = Power { up, done };
        self.power
            .send(command)
            .await
            .map_err(|_ended| Error::Stopped)?;
        finished.await.map_err(|_ended| Error::Stopped)
    }
}

/// A running development Consul. Dropped, it stops: listeners closed, connections and tasks aborted.
#[derive(Debug)]
pub struct ConsulDev {
    pub(crate) shared: Arc<Shared>,
    http: Listening,
    grpc: Listening,
    management: String,
    _tasks: JoinSet<()>,
}

impl ConsulDev {
    /// Starts one with defaults: free ports, no ACLs, everything allowed.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub async fn start() -> Result<Self, Error> {
        Self::builder().start().await
    }

    /// To set ports, ACLs, lifetimes and the like.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// `127.0.0.1:port`, as `CONSUL_HTTP_ADDR` takes it.
    #[must_use]
    pub fn http_addr(&self) -> &str {
        &self.http.text
    }

    /// `127.0.0.1:port`, as `CONSUL_GRPC_ADDR` takes it; plaintext.
    #[must_use]
    pub fn grpc_addr(&self) -> &str {
        &self.grpc.text
    }

    /// `http://127.0.0.1:port`
    #[must_use]
    pub fn http_url(&self) -> String {
        format!("http://{}", self.http.text)
    }

    /// The HTTP listener's address.
    #[must_use]
    pub fn http_socket_addr(&self) -> SocketAddr {
        self.http.address
    }

    /// The gRPC listener's address.
    #[must_use]
    pub fn grpc_socket_addr(&self) -> SocketAddr {
        self.grpc.address
    }

    /// The secret of the management token; of use only when ACLs are on.
    #[must_use]
    pub fn management_token(&self) -> &str {
        &self.management
    }

    /// Takes both listeners down: new connections are refused, open ones reset. State and ports are kept.
    ///
    /// # Errors
    /// The server was stopped with its runtime.
    pub async fn down(&self) -> Result<(), Error> {
        self.http.set(false).await?;
        self.grpc.set(false).await
    }

    /// Brings both listeners back on the same ports.
    ///
    /// # Errors
    /// The server was stopped with its runtime, or a listener could not listen again.
    pub async fn up(&self) -> Result<(), Error> {
        self.http.set(true).await?;
        self.grpc.set(true).await
    }

    /// Takes only the gRPC listener down.
    ///
    /// # Errors
    /// As [`down`](Self::down).
    pub async fn grpc_down(&self) -> Result<(), Error> {
        self.grpc.set(false).await
    }

    /// Brings the gRPC listener back.
    ///
    /// # Errors
    /// As [`up`](Self::up).
    pub async fn grpc_up(&self) -> Result<(), Error> {
        self.grpc.set(true).await
    }

    /// Takes only the HTTP listener down.
    ///
    /// # Errors
    /// As [`down`](Self::down).
    pub async fn http_down(&self) -> Result<(), Error> {
        self.http.set(false).await
    }

    /// Brings the HTTP listener back.
    ///
    /// # Errors
    /// As [`up`](Self::up).
    pub async fn http_up(&self) -> Result<(), Error> {
        self.http.set(true).await
    }
}
