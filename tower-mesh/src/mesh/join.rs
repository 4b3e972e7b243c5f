//! Joining: one thing after the other to one deadline, and errors that say what to do.

#[cfg(feature = "metrics")]
use std::sync::OnceLock;
use std::{convert::Infallible, error::Error as StdError, sync::Arc, time::Duration};

use consul_api::{Client, Config};
use consul_connect::{
    ClusterPeer, ClusterPeerFault, ClusterPeers, Connector, Identity, IdentityConfig,
    IdentityFault, IdentitySource, Intentions, MeshEntry, NormalizationPolicy, ServiceName,
    TlsPolicy,
    identity::source::{self, SelectConfig},
    registration::Health,
};
use tokio::time::{Instant, timeout_at};

#[cfg(feature = "metrics")]
use super::observe::Observer;
use super::{
    Mesh, MeshBuilder, advertise::Advertise, environment::Environment, inner::Inner,
    presence::Roster,
};
#[cfg(not(feature = "metrics"))]
use crate::measure::Sink;
use crate::{
    Error, ErrorKind,
    error::BoxError,
    measure::Inbound,
    time::{FOREVER, later},
    upstream::{Context, ContextConfig, Recent},
};

pub(super) async fn join(builder: MeshBuilder) -> Result<Mesh, Error> {
    let service: ServiceName = builder.service.parse().map_err(|error| {
        let context = format!("joining the mesh as `{}`", builder.service);
        Error::with_source(ErrorKind::Config, context, error)
    })?;
    let advertise = builder.advertise.as_deref().map(|text| {
        Advertise::parse(text).ok_or_else(|| {
            let context = format!("`{text}` is no address others could be told to dial");
            Error::new(ErrorKind::Config, context)
        })
    });
    let advertise = advertise.transpose()?;
    #[cfg(feature = "metrics")]
    let observer = Observer::new(&service, builder.admin.as_deref()).await?;
    #[cfg(feature = "metrics")]
    let sink = observer.sink();
    #[cfg(not(feature = "metrics"))]
    let sink = Sink::of(service.as_str());
    let config = config(&builder)?;
    let verified = !config.is_verification_off();
    let attempt = Attempt {
        consul: config.address().to_string(),
        within: builder.join_within,
        deadline: later(Instant::now(), builder.join_within),
        service,
    };
    let consul = Client::new(config).map_err(|error| attempt.failed(error))?;
    let (source, identity_source) = attempt
        .source(&consul, builder.source, builder.rotation_spread)
        .await?;
    let identity = attempt.identity(source).await?;
    let cluster_peers = cluster_peers(&consul, &identity, builder.cluster_peers)?;
    let (authorize, intentions) = match builder.authorize {
        Some(authorize) => (authorize, None),
        None => {
            let service = attempt.service.clone();
            let config = builder.intentions.cluster_peers(cluster_peers.clone());
            let intentions = Intentions::watch(&consul, service, &identity, config);
            attempt.wait(intentions.ready()).await?;
            attempt.told(cluster_peers.ready()).await?;
            (Arc::new(intentions.clone()) as Arc<_>, Some(intentions))
        }
    };
    let mut upstreams = ContextConfig::default();
    upstreams.node_grace = builder.node_grace.unwrap_or(upstreams.node_grace);
    let given = (&builder.tls_parameters, builder.request_normalization);
    let (tls, normalization) = match given {
        (Some(tls), Some(rules)) => (
            TlsPolicy::fixed(&identity, tls),
            NormalizationPolicy::fixed(rules),
        ),
        (tls, rules) => {
            let entry = MeshEntry::watch(&consul, &identity);
            attempt.told(entry.ready()).await?;
            (
                tls.as_ref()
                    .map_or_else(|| entry.tls(), |tls| TlsPolicy::fixed(&identity, tls)),
                rules.map_or_else(|| entry.normalization(), NormalizationPolicy::fixed),
            )
        }
    };
    let connector = Connector::new(identity).tls(tls.clone());
    let context = Context::consul(consul.clone(), connector, upstreams, sink.clone());
    #[cfg(feature = "dev")]
    if builder.dev.is_some() {
        super::dev::warn(attempt.service.as_str());
    }
    let inner = Arc::new(Inner {
        inbound: Inbound::new(sink),
        #[cfg(feature = "metrics")]
        observing: OnceLock::new(),
        #[cfg(feature = "admin")]
        admin: observer.admin_addr(),
        service: attempt.service,
        environment: Environment::of_process(),
        consul,
        consul_address: attempt.consul,
        consul_verified: verified,
        identity_source,
        context,
        recent: Recent::default(),
        authorize,
        intentions,
        cluster_peers,
        tls,
        normalization,
        health: Health::new(builder.serving.initial.clone()),
        advertise,
        serving: builder.serving,
        roster: Arc::new(Roster::default()),
        leaving: tokio::sync::watch::Sender::default(),
        #[cfg(feature = "dev")]
        dev: builder.dev,
    });
    #[cfg(feature = "metrics")]
    observer.begin(&inner);
    Ok(Mesh(inner))
}

fn config(builder: &MeshBuilder) -> Result<Config, Error> {
    #[cfg(feature = "dev")]
    if let Some(consul) = &builder.dev {
        return super::dev::config(consul);
    }
    let config = match &builder.consul {
        Some(config) => config.clone(),
        None => Config::from_env().map_err(|error| {
            let context = "reading how to reach Consul from the environment";
            Error::with_source(ErrorKind::Config, context, error)
        })?,
    };
    Ok(if builder.allow_plaintext {
        config.allow_plaintext_consul()
    } else {
        config
    })
}

/// Those that are given, and of the others those that intentions will name.
fn cluster_peers(
    consul: &Client,
    identity: &Identity,
    given: Vec<ClusterPeer>,
) -> Result<ClusterPeers, Error> {
    let cluster_peers = ClusterPeers::watch(consul);
    let wrong = |name: &str, fault: ClusterPeerFault| {
        let context = format!("taking `{name}` for a cluster peer");
        Error::with_source(ErrorKind::Config, context, fault)
    };
    for peer in given {
        let name = peer.name().to_owned();
        cluster_peers
            .give(peer)
            .map_err(|fault| wrong(&name, fault))?;
    }
    let own = identity.current().trust_domain().clone();
    for peer in cluster_peers.status(&own).peers {
        if let Some(fault) = peer.fault {
            return Err(wrong(&peer.name, fault));
        }
    }
    Ok(cluster_peers)
}

/// One attempt to join, up to its deadline.
struct Attempt {
    service: ServiceName,
    consul: String,
    within: Duration,
    deadline: Instant,
}

impl Attempt {
    async fn source(
        &self,
        consul: &Client,
        given: Option<Box<dyn IdentitySource>>,
        rotation_spread: Option<Duration>,
    ) -> Result<(Box<dyn IdentitySource>, String), Error> {
        if let Some(source) = given {
            return Ok((source, "it was given by the program".to_owned()));
        }
        let mut config = SelectConfig::default().within(self.within.min(FOREVER));
        if let Some(spread) = rotation_spread {
            config = config.rotation_spread(spread);
        }
        let selected = self
            .wait(source::select(consul, &self.service, &config))
            .await?;
        Ok((selected.source, selected.reason))
    }

    async fn identity(&self, source: Box<dyn IdentitySource>) -> Result<Identity, Error> {
        // The source may have taken all the time there was. What it found deserves one try.
        let left = self.deadline.saturating_duration_since(Instant::now());
        let config = IdentityConfig::default()
            .service(self.service.clone())
            .ready_within(left.max(Duration::from_secs(1)));
        Identity::connect(source, config)
            .await
            .map_err(|error| self.failed(error))
    }

    async fn told(&self, step: impl Future<Output = ()>) -> Result<(), Error> {
        let step = async {
            step.await;
            Ok::<_, Infallible>(())
        };
        self.wait(step).await
    }

    async fn wait<T, E>(&self, step: impl Future<Output = Result<T, E>>) -> Result<T, Error>
    where
        E: StdError + Send + Sync + 'static,
    {
        match timeout_at(self.deadline, step).await {
            Ok(done) => done.map_err(|error| self.failed(error)),
            Err(_elapsed) => Err(Error::new(ErrorKind::Consul, self.context(Trouble::Away))),
        }
    }

    fn failed(&self, error: impl Into<BoxError>) -> Error {
        let error = error.into();
        let trouble = Trouble::of(&*error);
        Error::with_source(trouble.kind(), self.context(trouble), error)
    }

    fn context(&self, trouble: Trouble) -> String {
        let Self {
            service,
            consul,
            within,
            ..
        } = self;
        let joining = format!("joining the mesh as `{service}`: ");
        joining
            + &match trouble {
                Trouble::Away => format!(
                    "no usable answer from Consul at {consul} within {} s \
                     (is an agent running there? CONSUL_HTTP_ADDR says where it is)",
                    within.as_secs()
                ),
                Trouble::Config => format!("the configuration for Consul at {consul} is wrong"),
                Trouble::Identity => "what was delivered is no usable identity".to_owned(),
                Trouble::Plaintext => format!(
                    "Consul at {consul} is reached without TLS \
                     (use https or a unix socket, or say `allow_plaintext_consul()`)"
                ),
                Trouble::Token => format!(
                    "Consul at {consul} refuses the token \
                     (CONSUL_HTTP_TOKEN must have `service:write` on `{service}`)"
                ),
            }
    }
}

/// What a person has to look at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Trouble {
    Away,
    Config,
    Identity,
    Plaintext,
    Token,
}

impl Trouble {
    /// By the first cause that tells.
    fn of(error: &(dyn StdError + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<consul_api::Error>() {
                if error.is_permission_denied() || error.is_unknown_token() {
                    return Self::Token;
                }
                if error.is_plaintext_refused() {
                    return Self::Plaintext;
                }
                return if error.is_config() {
                    Self::Config
                } else {
                    Self::Away
                };
            }
            if let Some(IdentityFault::Material(_)) = error.downcast_ref() {
                return Self::Identity;
            }
            cause = error.source();
        }
        Self::Away
    }

    fn kind(self) -> ErrorKind {
        match self {
            Self::Away => ErrorKind::Consul,
            Self::Config | Self::Plaintext => ErrorKind::Config,
            Self::Identity => ErrorKind::Identity,
            Self::Token => ErrorKind::Denied,
        }
    }
}
