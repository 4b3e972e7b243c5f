use std::{fmt, sync::Arc};

use super::{DEFAULT, ServiceName, SpiffeId, TrustDomain, segment};

/// The identity of a service: trust domain, partition, namespace, datacenter and name. Cheap to clone.
///
/// `Display` is its `spiffe://` URI, byte for byte as Consul writes it into certificates.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ServiceId(Arc<Parts>);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Parts {
    trust_domain: TrustDomain,
    partition: Box<str>,
    namespace: Box<str>,
    datacenter: Box<str>,
    service: ServiceName,
}

impl ServiceId {
    /// A service in the default namespace and partition, the only ones outside Consul Enterprise.
    pub fn new(trust_domain: TrustDomain, datacenter: &str, service: ServiceName) -> Self {
        Self(Arc::new(Parts {
            trust_domain,
            partition: DEFAULT.into(),
            namespace: DEFAULT.into(),
            datacenter: datacenter.into(),
            service,
        }))
    }

    /// The same service name in another namespace.
    #[must_use]
    pub fn with_namespace(mut self, namespace: &str) -> Self {
        Arc::make_mut(&mut self.0).namespace = namespace.into();
        self
    }

    /// The same service name in another admin partition.
    #[must_use]
    pub fn with_partition(mut self, partition: &str) -> Self {
        Arc::make_mut(&mut self.0).partition = partition.into();
        self
    }

    /// The trust domain that vouches for it.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.0.trust_domain
    }

    /// Admin partition, `default` outside Consul Enterprise.
    pub fn partition(&self) -> &str {
        &self.0.partition
    }

    /// Namespace, `default` outside Consul Enterprise.
    pub fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// Datacenter the identity was issued in.
    pub fn datacenter(&self) -> &str {
        &self.0.datacenter
    }

    /// The service's name.
    pub fn service(&self) -> &ServiceName {
        &self.0.service
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts {
            trust_domain,
            partition,
            namespace,
            datacenter,
            service,
        } = &*self.0;
        write!(f, "spiffe://{trust_domain}")?;
        if **partition != *DEFAULT {
            write!(f, "/ap/{}", segment::encode(partition))?;
        }
        write!(
            f,
            "/ns/{}/dc/{}/svc/{}",
            segment::encode(namespace),
            segment::encode(datacenter),
            segment::encode(service.as_str())
        )
    }
}

impl fmt::Debug for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceId({self})")
    }
}

impl From<ServiceId> for SpiffeId {
    fn from(id: ServiceId) -> Self {
        Self::Service(id)
    }
}
