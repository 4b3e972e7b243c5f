//! The member behind the handle: its place in the catalog, and when it is asked to leave.

#[cfg(feature = "metrics")]
use std::sync::OnceLock;
use std::{net::SocketAddr, sync::Arc, time::Duration};

use consul_api::Client as Consul;
use consul_connect::{
    ClusterPeers, Intentions, NormalizationPolicy, Refused, Registration, RegistrationConfig,
    ServiceName, TlsPolicy, registration::Health,
};
use futures_core::Stream;
use futures_util::{StreamExt as _, stream};
use tokio::sync::watch;
#[cfg(feature = "metrics")]
use tokio_util::task::AbortOnDropHandle;

use super::{
    Status,
    advertise::Advertise,
    builder::{Registering, Serving},
    environment::Environment,
    presence::{Entry, Presence, Roster},
};
use crate::{
    Error, ErrorKind,
    authorize::Authorize,
    measure::Inbound,
    serve::shutdown::Timing,
    upstream::{Context, Recent, Upstream, UpstreamRef},
};

/// What all handles of one member share.
pub(super) struct Inner {
    pub(super) service: ServiceName,
    pub(super) environment: Environment,
    pub(super) consul: Consul,
    pub(super) consul_address: String,
    pub(super) consul_verified: bool,
    pub(super) identity_source: String,
    pub(super) context: Arc<Context>,
    pub(super) recent: Recent,
    pub(super) authorize: Arc<dyn Authorize>,
    pub(super) intentions: Option<Intentions>,
    pub(super) cluster_peers: ClusterPeers,
    pub(super) tls: TlsPolicy,
    pub(super) normalization: NormalizationPolicy,
    pub(super) health: Health,
    pub(super) advertise: Option<Advertise>,
    pub(super) serving: Serving,
    pub(super) roster: Arc<Roster>,
    /// What its servers count.
    pub(super) inbound: Arc<Inbound>,
    /// Reads the status for the gauges, and tells it to operators.
    #[cfg(feature = "metrics")]
    pub(super) observing: OnceLock<AbortOnDropHandle<()>>,
    #[cfg(feature = "admin")]
    pub(super) admin: Option<SocketAddr>,
    pub(super) leaving: watch::Sender<Leaving>,
    #[cfg(feature = "dev")]
    pub(super) dev: Option<Arc<consul_dev::ConsulDev>>,
}

/// What was said about this process's end.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    /// How often somebody has asked all servers to leave.
    asked: u32,
    /// Whether a signal asked the process to end.
    signalled: bool,
}

impl Leaving {
    fn is_final(&self) -> bool {
        self.asked > 0 || self.signalled
    }
}

impl Inner {
    pub(super) fn identity(&self) -> &consul_connect::Identity {
        self.context.identity()
    }

    /// The upstream of that name, which is followed on when nobody holds it any more.
    pub(super) fn upstream(&self, reference: &UpstreamRef) -> Arc<Upstream> {
        let upstream = self.context.upstream(reference);
        self.recent.remember(&upstream);
        upstream
    }

    /// What is known now.
    pub(super) fn status(&self) -> Status {
        Status {
            service: self.service.clone(),
            platform: self.environment.platform,
            consul: self.consul_address.clone(),
            consul_unverified: !self.consul_verified,
            identity_source: self.identity_source.clone(),
            identity: self.identity().status(),
            intentions: self.intentions.as_ref().map(Intentions::status),
            cluster_peers: {
                let identity = self.identity().current();
                self.cluster_peers.status(identity.trust_domain())
            },
            tls: self.tls.status(),
            normalization: self.normalization.status(),
            registrations: self
                .roster
                .all()
                .iter()
                .filter_map(|one| one.status())
                .collect(),
            upstreams: self.context.status(),
            leaving: self.is_leaving(),
        }
    }

    /// The cluster peers for its listeners. None where neither intentions nor the program can name any: mesh gateways are
    /// refused by their certificate then.
    pub(super) fn cluster_peers(&self) -> Option<ClusterPeers> {
        let named = self.intentions.is_some() || !self.cluster_peers.is_empty();
        named.then(|| self.cluster_peers.clone())
    }

    /// Counts what a listener refuses.
    pub(super) fn on_refused(&self) -> impl Fn(SocketAddr, &Refused) + Send + Sync + use<> {
        let inbound = Arc::clone(&self.inbound);
        move |_, refused| inbound.refused(refused)
    }

    pub(super) fn left(&self) -> Error {
        Error::new(
            ErrorKind::Shutdown,
            format!("`{}` has left the mesh", self.service),
        )
    }

    /// What to bind where this address was asked for.
    #[cfg_attr(
        not(feature = "dev"),
        expect(
            clippy::unused_self,
            clippy::unnecessary_wraps,
            reason = "a development mesh differs"
        )
    )]
    pub(super) fn bindable(&self, address: SocketAddr) -> Result<SocketAddr, Error> {
        #[cfg(feature = "dev")]
        if self.dev.is_some() {
            return super::dev::loopback(address).ok_or_else(|| {
                let context = format!("binding {address} in a development mesh: loopback only");
                Error::new(ErrorKind::Config, context)
            });
        }
        Ok(address)
    }

    /// Puts a server that listens on `bound` into the catalog.
    pub(super) fn enter(&self, bound: SocketAddr) -> Result<Entry, Error> {
        if self.leaving.borrow().is_final() {
            return Err(self.left());
        }
        if self.environment.is_anonymous_pod(bound) && self.advertise.is_none() {
            tracing::warn!(
                "the address of this pod is not known, so callers will dial the agent's: set POD_IP \
                 from `status.podIP`, or say `advertise`"
            );
        }
        let registration = self
            .registration(bound)
            .map(|config| Registration::new(self.consul.clone(), config));
        tracing::info!(
            service = %self.service,
            address = %bound,
            instance = registration.as_ref().map(Registration::id),
            "serving in the mesh"
        );
        Ok(self.roster.enter(Presence::new(registration)))
    }

    fn registration(&self, bound: SocketAddr) -> Option<RegistrationConfig> {
        let Serving {
            registering,
            tags,
            meta,
            weights,
            ttl,
            deregister_after,
            ..
        } = &self.serving;
        if *registering == Registering::Never {
            return None;
        }
        let advertise = self.advertise.clone();
        let advertise = advertise.or_else(|| self.environment.advertised(bound).map(Into::into));
        let mut config = match advertise {
            None => RegistrationConfig::bound_to(self.service.clone(), bound),
            Some(Advertise { host, port }) => {
                let seen = SocketAddr::new(bound.ip(), port.unwrap_or_else(|| bound.port()));
                let config = RegistrationConfig::bound_to(self.service.clone(), seen);
                match host {
                    Some(host) => config.address(host),
                    None => config,
                }
            }
        };
        config = config
            .identity(self.identity().clone())
            .health(self.health.clone());
        config = tags.iter().fold(config, |config, tag| config.tag(tag));
        config = meta
            .iter()
            .fold(config, |config, (key, value)| config.meta(key, value));
        if let Some((passing, warning)) = *weights {
            config = config.weights(passing, warning);
        }
        if let Some(ttl) = *ttl {
            config = config.ttl(ttl);
        }
        if let Some(after) = *deregister_after {
            config = config.deregister_after(after);
        }
        match self.environment.registrar() {
            Some(by) if *registering == Registering::Fitting => Some(config.external(by)),
            _ => Some(config),
        }
    }

    pub(super) fn timing(&self, entry: &Entry) -> Timing {
        let Serving {
            drain_grace,
            drain_deadline,
            ..
        } = self.serving;
        // Nobody has to unlearn what was never announced.
        let grace = if entry.presence().is_own() {
            drain_grace
        } else {
            Duration::ZERO
        };
        Timing {
            grace,
            drain: drain_deadline,
        }
    }

    /// Asks every server to leave.
    pub(super) fn ask(&self) {
        self.leaving.send_modify(|leaving| leaving.asked += 1);
    }

    /// Notes that the process was asked to end. Who handles the signal leaves by itself; the others
    /// were promised to hear of none.
    pub(super) fn signal(&self) {
        self.leaving.send_modify(|leaving| leaving.signalled = true);
    }

    /// Whether this process is on its way out of the mesh, or has gone it.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.borrow().is_final() || self.roster.is_left()
    }

    /// Waits until this process, or all that runs of it, is on its way out.
    pub(super) async fn leaves(&self) {
        let mut leaving = self.leaving.subscribe();
        tokio::select! {
            // The sender is `self`, so the channel cannot close.
            _ = leaving.wait_for(Leaving::is_final) => {}
            () = self.roster.leaving() => {}
        }
    }

    /// Each wish that a server leave: `own`, or one of all servers. A wish that comes by both ways is
    /// one wish; only who asks twice means now.
    pub(super) fn wishes(
        &self,
        own: impl Stream<Item = ()> + Send,
    ) -> impl Stream<Item = ()> + Send {
        let own = own.map(|()| 0);
        let all = self.asks().map(|()| 1);
        let mut asked = [false; 2];
        stream::select(own, all)
            .filter(move |way: &usize| {
                let first = asked == [false; 2];
                let again = std::mem::replace(&mut asked[*way], true);
                std::future::ready(first || again)
            })
            .map(drop)
    }

    /// Each time somebody asks all servers to leave.
    pub(super) fn asks(&self) -> impl Stream<Item = ()> + Send + use<> {
        stream::unfold(
            (self.leaving.subscribe(), 0),
            |(mut leaving, seen)| async move {
                let asked = leaving.wait_for(|now| now.asked > seen).await.ok()?.asked;
                Some(((), (leaving, asked)))
            },
        )
    }

    /// Says once what a person would want to know who serves HTTP.
    pub(super) async fn advise(&self) {
        let chain = self
            .consul
            .discovery_chain()
            .get(self.service.as_str())
            .await;
        if let Ok(chain) = chain
            && chain.value.protocol == "tcp"
            && self.intentions.is_some()
        {
            tracing::warn!(
                service = %self.service,
                entry = %format_args!(
                    r#"{{"Kind":"service-defaults","Name":"{}","Protocol":"http"}}"#, self.service
                ),
                "Consul takes this service for `tcp`: HTTP works, but its intentions cannot have \
                 permissions by path or method until this entry is written (`consul config write`)"
            );
        }
    }
}
