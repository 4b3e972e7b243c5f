//! What a caller says to name a dependency.

use consul_connect::ServiceName;

/// Names an upstream: a service, in this datacenter or another.
///
/// ```
/// use tower_mesh::UpstreamRef;
///
/// let here: UpstreamRef = "api".into();
/// let there = UpstreamRef::new("api").datacenter("dc2");
/// assert_ne!(here, there);
/// ```
///
/// A name that no service can have is an error of the first call, not of the conversion.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct UpstreamRef {
    pub(super) service: String,
    pub(super) datacenter: Option<String>,
}

impl UpstreamRef {
    /// A service, where Consul's discovery chain says it is: this datacenter unless configured
    /// otherwise.
    #[must_use]
    pub fn new(service: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            datacenter: None,
        }
    }

    /// The service as seen in another datacenter of the same federation.
    #[must_use]
    pub fn datacenter(mut self, datacenter: impl Into<String>) -> Self {
        self.datacenter = Some(datacenter.into());
        self
    }
}

impl From<&str> for UpstreamRef {
    fn from(service: &str) -> Self {
        Self::new(service)
    }
}

impl From<String> for UpstreamRef {
    fn from(service: String) -> Self {
        Self::new(service)
    }
}

impl From<&String> for UpstreamRef {
    fn from(service: &String) -> Self {
        Self::new(service.as_str())
    }
}

impl From<ServiceName> for UpstreamRef {
    fn from(service: ServiceName) -> Self {
        Self::new(service.as_str())
    }
}

impl From<&Self> for UpstreamRef {
    fn from(other: &Self) -> Self {
        other.clone()
    }
}
