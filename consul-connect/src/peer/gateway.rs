use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;
use rustls_pki_types::{CertificateDer, UnixTime};

use super::Peer;
use crate::{ClusterPeers, Reason, SpiffeId, cluster_peers::Known};

/// A verified mesh gateway of our own trust domain, datacenter and partition. Cheap to clone.
///
/// It ends the TLS of services of cluster peers, and says of each request who calls. It may say so of those alone: a service
/// of our own trust domain calls by itself.
#[derive(Clone)]
pub struct MeshGateway(Arc<Inner>);

struct Inner {
    id: SpiffeId,
    chain: Vec<CertificateDer<'static>>,
    not_after: UnixTime,
    anchored_until: UnixTime,
    cluster_peers: ClusterPeers,
    callers: ArcSwap<Callers>,
    crowded: AtomicBool,
}

/// Who has called on this connection. The rules hold for them as long as it is open, because a stream of theirs may be.
#[derive(Clone, Default)]
struct Callers(HashMap<Arc<str>, Peer>);

/// So many callers of one connection are remembered: far more services than a cluster exports to one, and about a MiB.
const MAX_CALLERS: usize = 4096;

const CROWDED: Reason = Reason::fixed(
    "gateway_crowded",
    "too many different callers came by this connection of the mesh gateway",
);

impl MeshGateway {
    pub(crate) fn verified(
        id: SpiffeId,
        chain: Vec<CertificateDer<'static>>,
        not_after: UnixTime,
        anchored_until: UnixTime,
        cluster_peers: ClusterPeers,
    ) -> Self {
        Self(Arc::new(Inner {
            id,
            chain,
            not_after,
            anchored_until,
            cluster_peers,
            callers: ArcSwap::default(),
            crowded: AtomicBool::new(false),
        }))
    }

    /// Who the gateway is.
    pub fn id(&self) -> &SpiffeId {
        &self.0.id
    }

    /// The caller that the gateway names: `uri` is the SPIFFE id it verified.
    ///
    /// Takes no lock. Allocates for the first request of a caller on this connection.
    ///
    /// # Errors
    /// The [`Reason`] why this is nobody the gateway can speak for.
    pub fn caller(&self, uri: &str) -> Result<Peer, Reason> {
        let Inner {
            id,
            cluster_peers,
            callers,
            crowded,
            ..
        } = &*self.0;
        let own = id.trust_domain();
        if let Some(known) = callers.load().0.get(uri)
            && let Some(of) = known.of()
            && cluster_peers.peek(|known| known.still_has(of, own))
        {
            return Ok(known.clone());
        }
        let found = cluster_peers.peek(|known| self.resolve(uri, known))?;
        let uri: Arc<str> = uri.into();
        callers.rcu(|callers| {
            let mut next = Callers::clone(callers);
            if next.0.len() < MAX_CALLERS || next.0.contains_key(&uri) {
                next.0.insert(Arc::clone(&uri), found.clone());
            }
            next
        });
        if callers.load().0.contains_key(&uri) {
            return Ok(found);
        }
        // Whom the rules cannot be held to later is not let in now. The warden ends the connection, and the next is empty.
        crowded.store(true, Ordering::Relaxed);
        Err(CROWDED)
    }

    fn resolve(&self, uri: &str, known: &Known) -> Result<Peer, Reason> {
        let not_vouched = |why: String| {
            Reason::new(
                "gateway_caller",
                format!("the mesh gateway's caller is refused: {why}"),
            )
        };
        let id: SpiffeId = uri.parse().map_err(|e| not_vouched(format!("{e}")))?;
        let SpiffeId::Service(id) = id else {
            return Err(not_vouched(format!(
                "{id} is a {}, and only services call",
                id.kind()
            )));
        };
        let own = self.0.id.trust_domain();
        let Some(of) = known.of(id.trust_domain(), own) else {
            return Err(not_vouched(if id.trust_domain() == own {
                format!("{id} is of our own trust domain, whose services call without a gateway")
            } else {
                format!("{id} is of no cluster peer that intentions name and whose roots are known")
            }));
        };
        Ok(Peer::vouched(id, Arc::clone(of), self))
    }

    /// Whether callers were turned away because there were too many.
    pub(crate) fn is_crowded(&self) -> bool {
        self.0.crowded.load(Ordering::Relaxed)
    }

    /// The first caller, of those who have called on this connection, that `refuse` has a reason against.
    pub(crate) fn refused(
        &self,
        known: &Known,
        mut refuse: impl FnMut(&Peer) -> Option<Reason>,
    ) -> Option<Reason> {
        if self.is_crowded() {
            return Some(CROWDED);
        }
        let own = self.0.id.trust_domain();
        let callers = self.0.callers.load();
        callers.0.values().find_map(|caller| {
            let still = caller.of().is_some_and(|of| known.still_has(of, own));
            if still {
                refuse(caller)
            } else {
                Some(NOT_PEERED)
            }
        })
    }

    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.0.chain
    }

    pub(crate) fn not_after(&self) -> UnixTime {
        self.0.not_after
    }

    pub(crate) fn anchored_until(&self) -> UnixTime {
        self.0.anchored_until
    }
}

const NOT_PEERED: Reason = Reason::fixed(
    "not_peered",
    "the caller's cluster is no cluster peer any more",
);

impl fmt::Debug for MeshGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MeshGateway").field(&self.0.id).finish()
    }
}
