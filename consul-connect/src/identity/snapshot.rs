use std::sync::Arc;

use rustls::{crypto::CryptoProvider, time_provider::TimeProvider};
use rustls_pki_types::{CertificateDer, UnixTime, pem::PemObject};

use super::{InvalidMaterial, Leaf, Material};
use crate::{
    InvalidRoots, ServiceId, ServiceName, TrustDomain,
    tls::{Common, Roots, inspect},
};

/// One consistent state of an identity: the leaf and the roots that belong together.
#[derive(Clone, Debug)]
pub struct Snapshot {
    generation: u64,
    leaf: Leaf,
    roots: Arc<Roots>,
    common: Common,
}

impl Snapshot {
    /// Counts publications, from 1. A higher one is newer.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Who we are.
    pub fn id(&self) -> &ServiceId {
        self.leaf.id()
    }

    /// The mesh we belong to.
    pub fn trust_domain(&self) -> &TrustDomain {
        self.roots.trust_domain()
    }

    /// Our leaf.
    pub fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// Whom we trust.
    pub fn roots(&self) -> &Arc<Roots> {
        &self.roots
    }

    pub(crate) fn common(&self) -> &Common {
        &self.common
    }

    pub(crate) fn now(&self) -> UnixTime {
        now(&*self.common.time)
    }

    /// Since how many seconds our own leaf has been of no use, if it is.
    pub(crate) fn expired_since(&self) -> Option<std::time::Duration> {
        let (now, end) = (self.now().as_secs(), self.leaf.not_after().as_secs());
        (now > end).then(|| std::time::Duration::from_secs(now - end))
    }

    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.leaf.same_as(&other.leaf) && self.roots == other.roots
    }

    /// The same leaf under other roots of the same trust domain, whether they anchor it or not.
    pub(super) fn under(&self, roots: Roots, generation: u64) -> Self {
        Self {
            generation,
            roots: Arc::new(roots),
            ..self.clone()
        }
    }

    /// The one door from what a source delivers to what is used: all of it holds together, or none of it is taken.
    pub(super) fn validate(
        material: &Material,
        generation: u64,
        service: Option<&ServiceName>,
        provider: &Arc<CryptoProvider>,
        time: &Arc<dyn TimeProvider>,
    ) -> Result<Self, InvalidMaterial> {
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(material.chain_pem.as_bytes())
                .collect::<Result<_, _>>()
                .map_err(|e| InvalidMaterial::Chain(e.to_string()))?;
        let first = chain
            .first()
            .ok_or_else(|| InvalidMaterial::Chain("it holds no certificate".into()))?;
        let claimed = inspect(first).map_err(InvalidMaterial::Leaf)?.id;
        let pems = || material.roots_pem.iter().map(String::as_str);
        // Roots of other authorities than Consul's own may name no trust domain; then it is the one our leaf is in.
        let roots = match material.trust_domain.clone() {
            Some(given) => Roots::from_pem(pems(), Some(given)),
            None => match Roots::from_pem(pems(), None) {
                Err(InvalidRoots::Unnamed) => {
                    Roots::from_pem(pems(), Some(claimed.trust_domain().clone()))
                }
                found => found,
            },
        }
        .map_err(InvalidMaterial::Roots)?;
        let leaf = Leaf::validate(material, chain, &roots, provider, now(&**time))?;
        if let Some(expected) = service
            && leaf.id().service() != expected
        {
            return Err(InvalidMaterial::OtherService {
                expected: expected.clone(),
                found: leaf.id().clone(),
            });
        }
        let common = Common {
            provider: Arc::clone(provider),
            time: Arc::clone(time),
            key: Arc::clone(leaf.key()),
        };
        Ok(Self {
            generation,
            leaf,
            roots: Arc::new(roots),
            common,
        })
    }
}

fn now(time: &dyn TimeProvider) -> UnixTime {
    // A clock that cannot be read makes everything expired, which is the closed side.
    time.current_time()
        .unwrap_or(UnixTime::since_unix_epoch(std::time::Duration::from_secs(
            u64::MAX >> 1,
        )))
}
