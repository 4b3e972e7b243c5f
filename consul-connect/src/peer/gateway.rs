use std::{fmt, sync::Arc};

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::Peer;
use crate::{ClusterPeer, ClusterPeers, Reason, SpiffeId, TrustDomain, cluster_peers::Known};

/// A verified mesh gateway of our own trust domain, datacenter and partition. Cheap to clone.
///
/// It ends the TLS of services of cluster peers, and says of each request who calls. It may say so of those alone: a service
/// of our own trust domain calls by itself.
///
/// Its connection carries requests of many callers. Whoever serves them holds each open request to the rules; the connection
/// is only ended for what concerns the gateway itself, or a whole cluster peer.
#[derive(Clone)]
pub struct MeshGateway(Arc<Inner>);

struct Inner {
    id: SpiffeId,
    chain: Vec<CertificateDer<'static>>,
    not_after: UnixTime,
    anchored_until: UnixTime,
    cluster_peers: ClusterPeers,
    /// Whose services have called by this connection. Requests of theirs may be open, so these must stay cluster peers.
    heard: ArcSwap<Vec<Arc<ClusterPeer>>>,
    /// Who called last and the id it was named by, because requests of one caller come in rows.
    last: ArcSwapOption<(Box<str>, Peer)>,
}

const NOT_PEERED: Reason = Reason::fixed(
    "not_peered",
    "a cluster whose services called by this gateway is no cluster peer any more",
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
            heard: ArcSwap::default(),
            last: ArcSwapOption::empty(),
        }))
    }

    /// Who the gateway is.
    pub fn id(&self) -> &SpiffeId {
        &self.0.id
    }

    /// The caller that the gateway names: `uri` is the SPIFFE id it verified.
    ///
    /// Takes no lock. Allocates where it is not the caller of the request before.
    ///
    /// # Errors
    /// The [`Reason`] why this is nobody the gateway can speak for.
    pub fn caller(&self, uri: &str) -> Result<Peer, Reason> {
        let (cluster_peers, last) = (&self.0.cluster_peers, &self.0.last);
        let still_has =
            |of: &ClusterPeer| cluster_peers.peek(|known| known.still_has(of, self.own()));
        if let Some(last) = &*last.load()
            && *last.0 == *uri
            && last.1.of().is_some_and(still_has)
        {
            return Ok(last.1.clone());
        }
        let (caller, of) = cluster_peers.peek(|known| self.resolve(uri, known))?;
        self.remember(&of);
        // Remembered first and asked second: a change in between is not missed.
        if !still_has(&of) {
            return Err(NOT_PEERED);
        }
        last.store(Some(Arc::new((uri.into(), caller.clone()))));
        Ok(caller)
    }

    fn remember(&self, of: &Arc<ClusterPeer>) {
        let knows = |heard: &[Arc<ClusterPeer>]| heard.iter().any(|one| one.is_same_place(of));
        if !knows(&self.0.heard.load()) {
            self.0.heard.rcu(|heard| {
                let mut heard = Vec::clone(heard);
                if !knows(&heard) {
                    heard.push(Arc::clone(of));
                }
                heard
            });
        }
    }

    /// Why its connection must end: a cluster whose services have called by it is no cluster peer any more.
    pub(crate) fn withdrawn(&self, known: &Known) -> Option<Reason> {
        let heard = self.0.heard.load();
        let mut gone = heard.iter().filter(|of| !known.still_has(of, self.own()));
        gone.next().map(|_| NOT_PEERED)
    }

    fn own(&self) -> &TrustDomain {
        self.0.id.trust_domain()
    }

    fn resolve(&self, uri: &str, known: &Known) -> Result<(Peer, Arc<ClusterPeer>), Reason> {
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
        let own = self.own();
        let Some(of) = known.of(id.trust_domain(), own) else {
            return Err(not_vouched(if id.trust_domain() == own {
                format!("{id} is of our own trust domain, whose services call without a gateway")
            } else {
                format!("{id} is of no cluster peer that intentions name and whose roots are known")
            }));
        };
        Ok((Peer::vouched(id, Arc::clone(of), self), Arc::clone(of)))
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

impl fmt::Debug for MeshGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MeshGateway").field(&self.0.id).finish()
    }
}
