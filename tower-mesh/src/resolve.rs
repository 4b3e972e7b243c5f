//! Where the instances of a target are.
//!
//! A [`Resolve`] turns a [`Target`] into a stream of whole sets of [`Instance`]s. Two are ready:
//! Consul's health, which is what a mesh uses unless told otherwise, and [`fixed`], a list that
//! never changes. A closure that returns a stream is one too.

mod fixed;
mod health;

use std::{borrow::Cow, fmt, pin::Pin};

use consul_connect::{Address, ServiceId, ServiceName, TrustDomain};
use futures_core::Stream;

pub use fixed::{Fixed, fixed};
pub(crate) use health::{Health, Hidden};

/// Finds the instances of a target.
///
/// # Security
///
/// Where an instance is decides nothing about who may answer there: the identity that is expected
/// comes from the target.
pub trait Resolve: Send + Sync + 'static {
    /// The sets of instances of `target`, each whole, from the present one on.
    ///
    /// An error item means that nothing new is known: the last set stays in use, and the error is
    /// shown in the status. So does the end of the stream. The stream is dropped when nobody uses
    /// the target any more.
    fn resolve(&self, target: &Target) -> Resolution;
}

/// Why nothing new is known of a target: any error.
pub type ResolveError = Box<dyn std::error::Error + Send + Sync>;

/// What [`Resolve::resolve`] returns.
pub type Resolution = Pin<Box<dyn Stream<Item = Result<Vec<Instance>, ResolveError>> + Send>>;

impl<F, S> Resolve for F
where
    F: Fn(&Target) -> S + Send + Sync + 'static,
    S: Stream<Item = Result<Vec<Instance>, ResolveError>> + Send + 'static,
{
    fn resolve(&self, target: &Target) -> Resolution {
        Box::pin(self(target))
    }
}

/// Where a discovery chain ends: a service, or a part of it, in a place.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct Target {
    /// The service.
    pub service: ServiceName,
    /// Where it is.
    pub datacenter: String,
    /// `default` outside Consul Enterprise.
    pub namespace: String,
    /// `default` outside Consul Enterprise.
    pub partition: String,
    /// Only the instances this Consul filter expression selects; empty for all.
    pub filter: String,
    /// Whether instances with a warning are left out.
    pub only_passing: bool,
    /// The server name to send in the TLS handshake, where Consul says it; else it follows from the
    /// other fields.
    pub server_name: Option<String>,
}

impl Target {
    /// All instances of a service in the default namespace and partition.
    #[must_use]
    pub fn new(service: ServiceName, datacenter: &str) -> Self {
        Self {
            service,
            datacenter: datacenter.to_owned(),
            namespace: "default".to_owned(),
            partition: "default".to_owned(),
            filter: String::new(),
            only_passing: false,
            server_name: None,
        }
    }

    /// Who must answer, wherever the instance is and whatever kind it is of.
    pub(crate) fn expected(&self, trust_domain: &TrustDomain) -> ServiceId {
        ServiceId::new(trust_domain.clone(), &self.datacenter, self.service.clone())
            .with_namespace(&self.namespace)
            .with_partition(&self.partition)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.service, self.datacenter)?;
        if !self.filter.is_empty() {
            write!(f, " where {}", self.filter)?;
        }
        Ok(())
    }
}

/// One instance, as a resolver knows it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Instance {
    /// What tells it from the others, over all sets: it keeps its connections and its measured
    /// load as long as this and the address stay the same.
    pub id: String,
    /// Where to dial it.
    pub address: Address,
    /// Its share of requests, relative to the other instances; 0 counts as 1.
    pub weight: u16,
    /// Whether it may be used.
    pub readiness: Readiness,
}

/// Whether an instance may be used.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Readiness {
    /// It may be used.
    Ready,
    /// Nothing is said against the instance, but against the machine it runs on. When that took
    /// every instance out, they are used for a while all the same: a dead agent is not a dead
    /// service, and the handshake proves who answers.
    NodeFailing(Cow<'static, str>),
    /// It may not be used, and why.
    Out(Cow<'static, str>),
}

impl Instance {
    /// A ready instance of weight 1 that is known by its address.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self {
            id: address.to_string(),
            address,
            weight: 1,
            readiness: Readiness::Ready,
        }
    }

    /// The same instance known by something else.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// The same instance with another weight.
    #[must_use]
    pub fn with_weight(mut self, weight: u16) -> Self {
        self.weight = weight.max(1);
        self
    }

    /// The same instance in another state.
    #[must_use]
    pub fn with_readiness(mut self, readiness: Readiness) -> Self {
        self.readiness = readiness;
        self
    }
}
