use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use consul_api::Config;
use consul_connect::{
    Alpn, ClusterPeer, Grace, IdentitySource, IntentionsConfig, RequestNormalization,
    TlsParameters, intention::DefaultPolicy, jwt::JwtConfig, registration::HealthState,
};

use super::{Mesh, join};
use crate::{Error, authorize::Authorize, serve::Limits};

/// Joins the mesh in a way of one's own. Made by [`Mesh::builder`].
///
/// ```no_run
/// # async fn run() -> Result<(), tower_mesh::Error> {
/// use std::time::Duration;
/// use consul_connect::intention::DefaultPolicy;
///
/// let mesh = tower_mesh::Mesh::builder("web")
///     .default_policy(DefaultPolicy::Deny)
///     .advertise("web-1.internal")
///     .tag("blue")
///     .drain_deadline(Duration::from_secs(30))
///     .join()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is joined before `join` is awaited"]
pub struct MeshBuilder {
    pub(super) service: String,
    pub(super) consul: Option<Config>,
    pub(super) allow_plaintext: bool,
    #[cfg(feature = "dev")]
    pub(super) dev: Option<Arc<consul_dev::ConsulDev>>,
    pub(super) source: Option<Box<dyn IdentitySource>>,
    pub(super) rotation_spread: Option<Duration>,
    pub(super) authorize: Option<Arc<dyn Authorize>>,
    pub(super) intentions: IntentionsConfig,
    pub(super) cluster_peers: Vec<ClusterPeer>,
    pub(super) tls_parameters: Option<TlsParameters>,
    pub(super) request_normalization: Option<RequestNormalization>,
    pub(super) join_within: Duration,
    pub(super) node_grace: Option<Duration>,
    pub(super) advertise: Option<String>,
    pub(super) serving: Serving,
    #[cfg(feature = "metrics")]
    pub(super) admin: Option<String>,
}

/// What concerns servers alone.
#[derive(Clone, Debug)]
pub(super) struct Serving {
    pub(super) registering: Registering,
    pub(super) tags: Vec<String>,
    pub(super) meta: BTreeMap<String, String>,
    pub(super) weights: Option<(u16, u16)>,
    pub(super) ttl: Option<Duration>,
    pub(super) deregister_after: Option<Duration>,
    pub(super) initial: HealthState,
    pub(super) drain_grace: Duration,
    pub(super) drain_deadline: Duration,
    pub(super) limits: Limits,
    pub(super) alpn: Option<Vec<Alpn>>,
    pub(super) max_connections: Option<usize>,
    pub(super) grace: Grace,
    pub(super) tell_denials: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Registering {
    /// Unless the platform does it.
    Fitting,
    Always,
    Never,
}

impl Default for Serving {
    fn default() -> Self {
        Self {
            registering: Registering::Fitting,
            tags: Vec::new(),
            meta: BTreeMap::new(),
            weights: None,
            ttl: None,
            deregister_after: None,
            initial: HealthState::Passing,
            drain_grace: Duration::from_secs(5),
            drain_deadline: Duration::from_secs(10),
            limits: Limits::default(),
            alpn: None,
            max_connections: None,
            grace: Grace::default(),
            tell_denials: false,
        }
    }
}

impl MeshBuilder {
    pub(super) fn new(service: String) -> Self {
        Self {
            service,
            consul: None,
            allow_plaintext: false,
            #[cfg(feature = "dev")]
            dev: None,
            source: None,
            rotation_spread: None,
            authorize: None,
            intentions: IntentionsConfig::default(),
            cluster_peers: Vec::new(),
            tls_parameters: None,
            request_normalization: None,
            join_within: Duration::from_secs(30),
            node_grace: None,
            advertise: None,
            serving: Serving::default(),
            #[cfg(feature = "metrics")]
            admin: None,
        }
    }

    /// How to reach Consul. Default: what the `CONSUL_*` variables say, as
    /// [`Config::from_env`](consul_api::Config::from_env) reads them.
    pub fn consul(mut self, config: Config) -> Self {
        self.consul = Some(config);
        self
    }

    /// Lets keys, roots and intentions come over plaintext from a Consul that is not on this host.
    ///
    /// # Security
    ///
    /// Whoever listens on that way, or changes what passes, is a member of the mesh.
    pub fn allow_plaintext_consul(mut self) -> Self {
        self.allow_plaintext = true;
        self
    }

    /// Where leaf and roots come from. Default: chosen from what Consul offers, see
    /// [`select`](consul_connect::identity::source::select).
    pub fn identity_source(mut self, source: impl IdentitySource) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Over how long the leafs of a mesh are renewed when another root begins to sign. Default 30 s,
    /// so that thousands of services do not ask at once; less is for a few. An agent that makes the
    /// leafs itself has a delay of its own.
    pub fn rotation_spread(mut self, spread: Duration) -> Self {
        self.rotation_spread = Some(spread);
        self
    }

    /// Who may call, in place of Consul's intentions.
    pub fn authorize(mut self, authorize: impl Authorize) -> Self {
        self.authorize = Some(Arc::new(authorize));
        self
    }

    /// What happens to callers that no intention names. Default: what the agent would do with them;
    /// denied if it does not say.
    pub fn default_policy(mut self, policy: DefaultPolicy) -> Self {
        self.intentions = self.intentions.default_policy(policy);
        self
    }

    /// Enforces no intention: what would be denied is let through, counted as `shadow_deny` and
    /// logged. For finding out what a set of intentions would break before it is enforced.
    ///
    /// # Security
    ///
    /// Every service of the mesh may call, whatever the intentions say. Who calls is still verified.
    pub fn dangerously_shadow(mut self) -> Self {
        self.intentions = self.intentions.dangerously_shadow();
        self
    }

    /// How the tokens that intentions ask for are verified, as far as Consul does not say it.
    pub fn jwt(mut self, config: JwtConfig) -> Self {
        self.intentions = self.intentions.jwt(config);
        self
    }

    /// Tells callers why they are denied: in the body of the `403`, in the message of the gRPC status.
    ///
    /// # Security
    ///
    /// The reason names rules and services, and what a token should have said.
    pub fn tell_denials(mut self) -> Self {
        self.serving.tell_denials = true;
        self
    }

    /// Denies everybody once Consul has not confirmed the intentions for this long. Default: they
    /// never get too old.
    pub fn max_staleness(mut self, age: Duration) -> Self {
        self.intentions = self.intentions.max_staleness(age);
        self
    }

    /// A cluster peer whose services may call, with its roots. Default: those that the intentions of
    /// this service name, as Consul knows them, which the token must have `peering:read` for. Where it
    /// has not, they are given here.
    ///
    /// # Security
    ///
    /// A service name alone no longer says who calls: see [`Peer::cluster_peer`](crate::Peer::cluster_peer).
    pub fn cluster_peer(mut self, cluster_peer: ClusterPeer) -> Self {
        self.cluster_peers.push(cluster_peer);
        self
    }

    /// Which TLS to speak, in place of what the `mesh` config entry says of it. Default: as the entry
    /// says; 1.2 and 1.3, with every cipher suite there is, if there is no
    /// entry or the token may not read it.
    pub fn tls_parameters(mut self, parameters: TlsParameters) -> Self {
        self.tls_parameters = Some(parameters);
        self
    }

    /// What is done to requests before rules are asked, in place of what the `mesh` config entry says
    /// of it. Default: as the entry says; paths are normalised, and nothing else is done, if there is no
    /// entry or the token may not read it.
    pub fn request_normalization(mut self, rules: RequestNormalization) -> Self {
        self.request_normalization = Some(rules);
        self
    }

    /// How long [`join`](Self::join) waits for Consul. Default 30 s.
    pub fn join_deadline(mut self, deadline: Duration) -> Self {
        self.join_within = deadline;
        self
    }

    /// How long instances of an upstream are still called that only the checks of their nodes speak
    /// against, when there are no others. Default 90 s; zero switches it off. For as long, but for ten seconds at most,
    /// instances are called that were well when Consul lost the last of them: an agent that comes back without its data
    /// takes out what it knows nothing of until that has registered again.
    pub fn node_grace(mut self, grace: Duration) -> Self {
        self.node_grace = Some(grace);
        self
    }

    /// Where others are told to dial: `host`, `host:port` or `:port`. Default: the address that was
    /// bound, or what Nomad or Kubernetes say of it; of a wildcard address only the port, which
    /// makes others dial the agent's address.
    pub fn advertise(mut self, address: impl Into<String>) -> Self {
        self.advertise = Some(address.into());
        self
    }

    /// Adds a tag to the registration.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.serving.tags.push(tag.into());
        self
    }

    /// Adds a pair to the registration's meta data.
    pub fn meta(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.serving.meta.insert(key.into(), value.into());
        self
    }

    /// The share of traffic of this instance while it is passing and while it is in warning.
    /// Default 1 and 1.
    pub fn weights(mut self, passing: u16, warning: u16) -> Self {
        self.serving.weights = Some((passing, warning));
        self
    }

    /// How long after its last sign of life this instance counts as gone. Default 15 s.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.serving.ttl = Some(ttl);
        self
    }

    /// How long after that it is removed from the catalog. Default 10 min; Consul takes no less than
    /// one.
    pub fn deregister_after(mut self, after: Duration) -> Self {
        self.serving.deregister_after = Some(after);
        self
    }

    /// The application's health before it says anything by [`Mesh::health`]. Default passing.
    pub fn initial_health(mut self, state: HealthState) -> Self {
        self.serving.initial = state;
        self
    }

    /// Registers nothing: somebody else does, or nobody is to find this service.
    pub fn without_registration(mut self) -> Self {
        self.serving.registering = Registering::Never;
        self
    }

    /// Registers also where the platform is expected to: a Nomad task whose job has no
    /// `connect { native = true }`.
    pub fn always_register(mut self) -> Self {
        self.serving.registering = Registering::Always;
        self
    }

    /// How long a server that was asked to leave goes on accepting, so that every caller has learnt
    /// of it. Default 5 s. Without a registration of its own there is nothing to learn, and it is
    /// zero.
    pub fn drain_grace(mut self, grace: Duration) -> Self {
        self.serving.drain_grace = grace;
        self
    }

    /// How long what is open may then take to end. Default 10 s; after it, it is cut.
    pub fn drain_deadline(mut self, deadline: Duration) -> Self {
        self.serving.drain_deadline = deadline;
        self
    }

    /// What one HTTP connection may cost.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.serving.limits = limits;
        self
    }

    /// The application protocols that HTTP servers offer, the preferred one first. Default h2, then
    /// HTTP/1.1: some callers (Envoy, the Go SDK) offer one alone and are refused if it is missing
    /// here.
    pub fn alpn(mut self, protocols: impl IntoIterator<Item = Alpn>) -> Self {
        self.serving.alpn = Some(protocols.into_iter().collect());
        self
    }

    /// How many connections each server may have open. Default 65,536.
    pub fn max_connections(mut self, limit: usize) -> Self {
        self.serving.max_connections = Some(limit);
        self
    }

    /// How long connections may take that must end because rules, roots or leafs changed.
    pub fn connection_grace(mut self, grace: Grace) -> Self {
        self.serving.grace = grace;
        self
    }

    /// Tells operators, over plaintext HTTP on a port of its own, how this member is: `/metrics` for
    /// Prometheus, `/ready` and `/live` for probes, `/status` for a person, or a program by
    /// `/status?format=json`. The address is a port, which is bound on loopback, or `host:port`.
    /// Default: none.
    ///
    /// # Security
    ///
    /// Whoever reaches it can read who calls whom, and no secret. Nothing can be changed there.
    #[cfg(feature = "admin")]
    pub fn admin(mut self, address: impl ToString) -> Self {
        self.admin = Some(address.to_string());
        self
    }

    /// Joins: an identity that a peer would accept, and the intentions of this service.
    ///
    /// While Consul is away it is tried again up to the deadline.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if a value or variable is wrong;
    /// [`ErrorKind::Denied`](crate::ErrorKind::Denied), at once, if Consul refuses the token;
    /// [`ErrorKind::Consul`](crate::ErrorKind::Consul) if it did not answer in time;
    /// [`ErrorKind::Identity`](crate::ErrorKind::Identity) if what it delivered cannot be used.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn join(self) -> Result<Mesh, Error> {
        join::join(self).await
    }
}

impl fmt::Debug for MeshBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeshBuilder")
            .field("service", &self.service)
            .field("consul", &self.consul)
            .field("serving", &self.serving)
            .finish_non_exhaustive()
    }
}
