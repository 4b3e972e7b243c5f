use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use super::{Health, HealthState, instance};
use crate::{Identity, ServiceName};

/// Consul accepts no less.
const MIN_DEREGISTER_AFTER: Duration = Duration::from_secs(60);
const MIN_TTL: Duration = Duration::from_secs(1);

/// What is registered, and how it is kept so.
#[derive(Clone, Debug)]
pub struct RegistrationConfig {
    pub(super) service: ServiceName,
    pub(super) id: Option<String>,
    pub(super) address: Option<String>,
    pub(super) port: u16,
    pub(super) tags: Vec<String>,
    pub(super) meta: BTreeMap<String, String>,
    pub(super) weights: Option<(u16, u16)>,
    pub(super) ttl: Duration,
    pub(super) deregister_after: Duration,
    pub(super) initial: HealthState,
    pub(super) health: Option<Health>,
    pub(super) identity: Option<Identity>,
    pub(super) external: Option<String>,
}

impl RegistrationConfig {
    /// An instance of `service` on `port` of the agent's own address.
    pub fn new(service: ServiceName, port: u16) -> Self {
        Self {
            service,
            id: None,
            address: None,
            port,
            tags: Vec::new(),
            meta: BTreeMap::new(),
            weights: None,
            ttl: Duration::from_secs(15),
            deregister_after: Duration::from_secs(600),
            initial: HealthState::Passing,
            health: None,
            identity: None,
            external: None,
        }
    }

    /// An instance that listens on `bound`. A wildcard address is not registered: others then use the agent's.
    pub fn bound_to(service: ServiceName, bound: SocketAddr) -> Self {
        let config = Self::new(service, bound.port());
        if bound.ip().is_unspecified() {
            config
        } else {
            config.address(bound.ip().to_string())
        }
    }

    /// The id of the instance, unique on the agent. The default is told in the [module documentation](super).
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The address others dial: an IP address or a host name they can resolve.
    #[must_use]
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// Adds a tag.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Adds a pair to the service's meta data.
    #[must_use]
    pub fn meta(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.meta.insert(key.into(), value.into());
        self
    }

    /// The share of traffic it takes while passing and while in warning. Consul's default is 1 and 1.
    #[must_use]
    pub fn weights(mut self, passing: u16, warning: u16) -> Self {
        self.weights = Some((passing, warning));
        self
    }

    /// How long after the last report the check turns critical. Default 15 s, at least 1 s. Reports are made at a third of it.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl.max(MIN_TTL);
        self
    }

    /// How long after it turned critical the agent removes the instance. Default 10 min; Consul accepts no less than one.
    ///
    /// It is what cleans up after a process that died. A living one that is critical for so long is removed as well, and
    /// registered again at its next report.
    #[must_use]
    pub fn deregister_after(mut self, after: Duration) -> Self {
        self.deregister_after = after.max(MIN_DEREGISTER_AFTER);
        self
    }

    /// The application's health at the beginning. Default passing.
    #[must_use]
    pub fn initial(mut self, state: HealthState) -> Self {
        self.initial = state;
        self
    }

    /// Follows this handle instead of one of its own: instances of one process that are well or unwell together. What it
    /// says now is the health at the beginning.
    #[must_use]
    pub fn health(mut self, health: Health) -> Self {
        self.health = Some(health);
        self
    }

    /// Ties the check to this identity: critical while its leaf is expired, because nobody can then connect.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Says that somebody else, as Nomad, has registered the instance and checks it. Nothing is then sent to the agent.
    #[must_use]
    pub fn external(mut self, by: impl Into<String>) -> Self {
        self.external = Some(by.into());
        self
    }

    pub(super) fn instance_id(&self) -> String {
        match &self.id {
            Some(id) => id.clone(),
            None => instance::id(
                &self.service,
                &instance::host(),
                self.address.as_deref(),
                self.port,
            ),
        }
    }

    pub(super) fn report_interval(&self) -> Duration {
        self.ttl / 3
    }
}
