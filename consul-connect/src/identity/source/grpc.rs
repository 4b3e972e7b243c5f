//! The source that keeps the key in this process: `Sign` and `WatchRoots` of Consul's gRPC interface.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use consul_api::grpc::{Grpc, Roots};
use futures_core::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};

use super::authority::{self, Authority, Bundle, Refusal, Settings};
use super::{IdentitySource, SourceError};
use crate::identity::renewal::Spread;
use crate::{Material, ServiceName};

/// Leafs signed by Consul's certificate authority for keys made here. Works against servers and client agents alike.
///
/// A new key is made for each leaf, and no key leaves this process. A leaf is renewed at a random instant between 60 % and
/// 90 % of its lifetime, and within 30 s when another root begins to sign; new roots are delivered at once.
///
/// The token needs `service:write` on the service.
#[derive(Clone, Debug)]
pub struct GrpcSource {
    grpc: Grpc,
    service: ServiceName,
    datacenter: String,
    spread: Spread,
}

impl GrpcSource {
    /// `datacenter` must be the one of the servers that sign.
    pub fn new(grpc: Grpc, service: ServiceName, datacenter: impl Into<String>) -> Self {
        Self {
            grpc,
            service,
            datacenter: datacenter.into(),
            spread: Spread::default(),
        }
    }

    /// Over how long the members of a mesh spread their requests when another root begins to sign. Default 30 s; less is for
    /// meshes of a few services.
    #[must_use]
    pub fn rotation_spread(mut self, spread: Duration) -> Self {
        self.spread = Spread(spread);
        self
    }
}

impl IdentitySource for GrpcSource {
    fn materials(self: Box<Self>) -> BoxStream<'static, Result<Material, SourceError>> {
        let settings = Settings {
            service: self.service,
            datacenter: self.datacenter,
            spread: self.spread,
            now: Arc::new(SystemTime::now),
        };
        authority::materials(Consul(self.grpc), settings)
    }

    fn describe(&self) -> String {
        format!("Consul's CA over gRPC at {}", self.grpc.address())
    }
}

struct Consul(Grpc);

impl Authority for Consul {
    fn sign(&self, csr_pem: String) -> authority::Signing<'_> {
        async move { self.0.sign(&csr_pem).await.map_err(Refusal::from) }.boxed()
    }

    fn roots(&self) -> BoxStream<'static, Result<Bundle, Refusal>> {
        self.0
            .watch_roots()
            .map(|item| item.map(Bundle::from).map_err(Refusal::from))
            .boxed()
    }

    fn place(&self) -> String {
        format!("Consul at {}", self.0.address())
    }
}

impl From<Roots> for Bundle {
    fn from(roots: Roots) -> Self {
        let active = |id: &str, active: bool| active || id == roots.active_root_id;
        Self {
            signing_key_id: roots
                .roots
                .iter()
                .find(|root| active(&root.id, root.active))
                .map(|root| root.signing_key_id.clone())
                .unwrap_or_default(),
            roots_pem: roots.roots.into_iter().map(|root| root.root_cert).collect(),
            trust_domain: roots.trust_domain,
        }
    }
}
