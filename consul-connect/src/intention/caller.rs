use crate::{ClusterPeer, Peer, ServiceId};

/// A caller as intentions look at it: its id, and the cluster peer it is of, found out once for its whole connection.
#[derive(Clone, Copy, Debug)]
pub struct CallerId<'a> {
    id: &'a ServiceId,
    cluster_peer: Option<&'a ClusterPeer>,
}

impl<'a> CallerId<'a> {
    /// A service of a cluster peer.
    pub fn of(cluster_peer: &'a ClusterPeer, id: &'a ServiceId) -> Self {
        Self {
            id,
            cluster_peer: Some(cluster_peer),
        }
    }

    /// Who it is.
    pub fn id(&self) -> &'a ServiceId {
        self.id
    }

    /// The cluster peer it is of; `None` if it is of our own trust domain.
    pub fn cluster_peer(&self) -> Option<&'a ClusterPeer> {
        self.cluster_peer
    }
}

/// A service of our own trust domain.
impl<'a> From<&'a ServiceId> for CallerId<'a> {
    fn from(id: &'a ServiceId) -> Self {
        Self {
            id,
            cluster_peer: None,
        }
    }
}

impl<'a> From<&'a Peer> for CallerId<'a> {
    fn from(peer: &'a Peer) -> Self {
        Self {
            id: peer.id(),
            cluster_peer: peer.of(),
        }
    }
}
