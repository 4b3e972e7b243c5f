//! What the upstreams of one mesh share.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use consul_connect::{Connector, Identity, ServiceName};
use http::uri::Authority;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

use super::{Shared, Upstream, UpstreamRef, UpstreamStatus, follow};
use crate::{
    cluster::{Cluster, Dialer, Make, NODE_GRACE},
    endpoint::Endpoint,
    error::{Error, ErrorKind},
    measure::{Outbound, Sink},
    pool::PoolConfig,
    resolve::{Health, Resolve, Target},
};

/// Where endpoints come from and how they are dialled. Handles share it.
pub(crate) struct Context {
    consul: Option<consul_api::Client>,
    connector: Connector,
    resolve: Arc<dyn Resolve>,
    config: ContextConfig,
    runtime: Handle,
    sink: Sink,
    /// Upstreams in use, so that all clients of one name share its endpoints.
    upstreams: Mutex<HashMap<UpstreamRef, Weak<Upstream>>>,
}

/// What may be chosen for all upstreams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ContextConfig {
    /// How long instances that only their nodes speak against are used when there are no others.
    /// Zero switches it off.
    pub(crate) node_grace: Duration,
    pub(crate) pool: PoolConfig,
}

impl Default for ContextConfig {
    fn default() -> Self {
        Self {
            node_grace: NODE_GRACE,
            pool: PoolConfig::default(),
        }
    }
}

impl Context {
    /// Upstreams by Consul's discovery chains and health.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub(crate) fn consul(
        consul: consul_api::Client,
        connector: Connector,
        config: ContextConfig,
        sink: Sink,
    ) -> Arc<Self> {
        let resolve = Health::new(consul.clone(), connector.identity().clone());
        Self::new(Some(consul), connector, Arc::new(resolve), config, sink)
    }

    /// Upstreams whose instances somebody else finds. With a Consul client, their discovery chains
    /// are still followed.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub(crate) fn new(
        consul: Option<consul_api::Client>,
        connector: Connector,
        resolve: Arc<dyn Resolve>,
        config: ContextConfig,
        sink: Sink,
    ) -> Arc<Self> {
        Arc::new(Self {
            sink,
            consul,
            connector,
            resolve,
            config,
            runtime: Handle::current(),
            upstreams: Mutex::default(),
        })
    }

    pub(crate) fn connector(&self) -> &Connector {
        &self.connector
    }

    pub(crate) fn identity(&self) -> &Identity {
        self.connector.identity()
    }

    /// The upstream of that name; the same one as long as somebody holds it.
    pub(crate) fn upstream(self: &Arc<Self>, reference: &UpstreamRef) -> Arc<Upstream> {
        let mut upstreams = self
            .upstreams
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(upstream) = upstreams.get(reference).and_then(Weak::upgrade) {
            return upstream;
        }
        upstreams.retain(|_, upstream| upstream.strong_count() > 0);
        let upstream = Arc::new(self.make(reference));
        upstreams.insert(reference.clone(), Arc::downgrade(&upstream));
        upstream
    }

    /// What is known of every upstream in use.
    pub(crate) fn status(&self) -> Vec<UpstreamStatus> {
        let upstreams: Vec<_> = {
            let upstreams = self
                .upstreams
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            upstreams.values().filter_map(Weak::upgrade).collect()
        };
        let mut all: Vec<_> = upstreams.iter().map(|upstream| upstream.status()).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    fn make(self: &Arc<Self>, reference: &UpstreamRef) -> Upstream {
        let name: Arc<str> = match &reference.datacenter {
            None => reference.service.as_str().into(),
            Some(datacenter) => format!("{} in {datacenter}", reference.service).into(),
        };
        let shared = Arc::new(Shared::new());
        let service = ServiceName::try_from(reference.service.as_str());
        let authority = Authority::try_from(reference.service.as_str());
        let (authority, following) = match (service, authority) {
            (Ok(service), Ok(authority)) => {
                let following = match &self.consul {
                    Some(consul) => {
                        Some(AbortOnDropHandle::new(self.runtime.spawn(follow::follow(
                            Arc::clone(self),
                            consul.clone(),
                            Arc::clone(&name),
                            reference.clone(),
                            Arc::downgrade(&shared),
                        ))))
                    }
                    None => {
                        let datacenter = reference.datacenter.as_deref();
                        shared.publish(follow::direct(self, &name, service, datacenter));
                        None
                    }
                };
                (authority, following)
            }
            _ => {
                let context = format!("calling `{name}`: no service can have this name");
                shared.report(Some(Error::new(ErrorKind::Config, context)));
                (Authority::from_static("invalid"), None)
            }
        };
        Upstream {
            outbound: Outbound::new(&self.sink, Arc::clone(&name)),
            name,
            authority: authority.into(),
            shared,
            _context: Arc::clone(self),
            _following: following,
        }
    }

    pub(super) fn cluster(&self, upstream: &Arc<str>, target: Target, http2_only: bool) -> Cluster {
        let connector = self.connector.clone();
        let pool = PoolConfig {
            http2_only,
            ..self.config.pool
        };
        let dialled = target.clone();
        let name = Arc::clone(upstream);
        let outbound = Outbound::new(&self.sink, Arc::clone(upstream));
        let make: Make = Box::new(move |instance| {
            let called: Arc<str> = format!("{} of `{name}`", instance.address).into();
            let address = instance.address.clone();
            let dialer = Dialer::new(
                connector.clone(),
                dialled.clone(),
                address,
                Arc::clone(&called),
                Arc::clone(&outbound),
            );
            Endpoint::new(called, instance.address.clone(), Arc::new(dialer), pool)
        });
        let resolution = self.resolve.resolve(&target);
        let grace = self.config.node_grace;
        Cluster::new(
            &self.runtime,
            Arc::clone(upstream),
            target,
            resolution,
            grace,
            make,
        )
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("connector", &self.connector)
            .finish_non_exhaustive()
    }
}
