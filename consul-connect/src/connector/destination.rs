use std::sync::Arc;

use super::Address;
use crate::ServiceId;

/// Where to dial, and who must answer there.
///
/// The expected identities come from what was asked for (the discovery chain's target), never from what an endpoint says
/// of itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    address: Address,
    expected: Arc<[ServiceId]>,
    server_name: String,
    alpn: Vec<Vec<u8>>,
}

impl Destination {
    /// A service at an address. The SNI is the one Consul's proxies and gateways route by,
    /// `<service>.<namespace>[.<partition>].<datacenter>.internal[-v1].<trust domain>`; no ALPN is offered.
    pub fn new(address: impl Into<Address>, expected: ServiceId) -> Self {
        let (service, ns, ap) = (
            expected.service(),
            expected.namespace(),
            expected.partition(),
        );
        let (dc, td) = (expected.datacenter(), expected.trust_domain());
        let server_name = match ap {
            "default" => format!("{service}.{ns}.{dc}.internal.{td}"),
            ap => format!("{service}.{ns}.{ap}.{dc}.internal-v1.{td}"),
        };
        Self {
            address: address.into(),
            expected: Arc::new([expected]),
            server_name,
            alpn: Vec::new(),
        }
    }

    /// Accept this identity too, as for a service imported from another cluster.
    #[must_use]
    pub fn also_expect(mut self, id: ServiceId) -> Self {
        self.expected = self.expected.iter().cloned().chain([id]).collect();
        self
    }

    /// Send this SNI instead of the derived one.
    #[must_use]
    pub fn with_server_name(mut self, server_name: impl Into<String>) -> Self {
        self.server_name = server_name.into();
        self
    }

    /// Offer these application protocols, the preferred one first.
    #[must_use]
    pub fn with_alpn<P: AsRef<[u8]>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(|p| p.as_ref().to_vec()).collect();
        self
    }

    /// Where to dial.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Who may answer.
    pub fn expected(&self) -> &Arc<[ServiceId]> {
        &self.expected
    }

    /// The SNI that is sent.
    pub fn server_name(&self) -> &str {
        &self.server_name
    }

    /// The application protocols that are offered.
    pub fn alpn(&self) -> &[Vec<u8>] {
        &self.alpn
    }
}
