use std::{collections::VecDeque, fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, ToSocketAddrs},
    sync::Semaphore,
    task::JoinSet,
};

use super::{Counters, Handshake, Listener, Refused};
use crate::{
    Authorize, ClusterPeers, Grace, Identity, Layer, TlsPolicy,
    live::{LiveSet, Rules, Warden},
    tls::{Admits, Usage},
};

pub(super) type OnRefused = Arc<dyn Fn(SocketAddr, &Refused) + Send + Sync>;

/// Made by [`Listener::builder`].
pub struct ListenerBuilder {
    identity: Identity,
    authorize: Arc<dyn Authorize>,
    cluster_peers: Option<ClusterPeers>,
    layer: Layer,
    grace: Grace,
    tls: Option<TlsPolicy>,
    alpn: Vec<Vec<u8>>,
    handshake_timeout: Duration,
    max_handshakes: usize,
    max_connections: usize,
    on_refused: Option<OnRefused>,
}

impl ListenerBuilder {
    pub(super) fn new(identity: Identity, authorize: Arc<dyn Authorize>) -> Self {
        Self {
            identity,
            authorize,
            cluster_peers: None,
            layer: Layer::default(),
            grace: Grace::default(),
            tls: None,
            alpn: Vec::new(),
            handshake_timeout: Duration::from_secs(5),
            max_handshakes: 1024,
            max_connections: 65_536,
            on_refused: None,
        }
    }

    /// The cluster peers whose services may call as well. Default none: only our own trust domain.
    ///
    /// Under [`Layer::Request`] mesh gateways of our own datacenter are let in too, because services of cluster peers call
    /// services with an HTTP protocol through them: see [`Remote::MeshGateway`](crate::Remote::MeshGateway).
    #[must_use]
    pub fn cluster_peers(mut self, cluster_peers: ClusterPeers) -> Self {
        self.cluster_peers = Some(cluster_peers);
        self
    }

    /// What the connections carry. Default [`Layer::Connection`].
    #[must_use]
    pub fn layer(mut self, layer: Layer) -> Self {
        self.layer = layer;
        self
    }

    /// How long connections that must end may take.
    #[must_use]
    pub fn grace(mut self, grace: Grace) -> Self {
        self.grace = grace;
        self
    }

    /// Which TLS to speak. Default 1.2 and 1.3, with every cipher suite there is.
    #[must_use]
    pub fn tls(mut self, policy: TlsPolicy) -> Self {
        self.tls = Some(policy);
        self
    }

    /// The application protocols to offer, the preferred one first. Default none.
    #[must_use]
    pub fn alpn<P: AsRef<[u8]>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(|p| p.as_ref().to_vec()).collect();
        self
    }

    /// How long a caller may take for its handshake. Default 5 s.
    #[must_use]
    pub fn handshake_timeout(mut self, limit: Duration) -> Self {
        self.handshake_timeout = limit;
        self
    }

    /// How many handshakes may be in progress. A further connection takes the place of one that has gone on for more than a
    /// second, or else is closed at once. Default 1024. One takes about 0.2 ms of one core, so this many keep it busy for a
    /// fifth of a second.
    #[must_use]
    pub fn max_handshakes(mut self, limit: usize) -> Self {
        self.max_handshakes = limit;
        self
    }

    /// How many connections may be open, handshakes included; a further one is closed at once. Default 65,536. An idle one
    /// takes about 20 KiB.
    #[must_use]
    pub fn max_connections(mut self, limit: usize) -> Self {
        self.max_connections = limit.min(Semaphore::MAX_PERMITS);
        self
    }

    /// Called with each connection that was refused and why. It runs on the connection's task and must not block.
    #[must_use]
    pub fn on_refused(
        mut self,
        observe: impl Fn(SocketAddr, &Refused) + Send + Sync + 'static,
    ) -> Self {
        self.on_refused = Some(Arc::new(observe));
        self
    }

    /// Binds an address.
    ///
    /// # Errors
    /// The operating system's.
    pub async fn bind(self, address: impl ToSocketAddrs) -> io::Result<Listener> {
        self.from_tcp(TcpListener::bind(address).await?)
    }

    /// Takes a socket that is already bound.
    ///
    /// # Errors
    /// If the socket has no address.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn from_tcp(self, tcp: TcpListener) -> io::Result<Listener> {
        let local_addr = tcp.local_addr()?;
        let live = Arc::new(LiveSet::default());
        let rules = || Rules {
            identity: self.identity.clone(),
            authorize: Some(Arc::clone(&self.authorize)),
            cluster_peers: self.cluster_peers.clone().unwrap_or_default(),
            admits: match (self.layer, &self.cluster_peers) {
                (Layer::Request, Some(_)) => Admits::Gateways,
                _ => Admits::Services,
            },
            layer: self.layer,
            grace: self.grace,
            peer_is: Usage::Client,
        };
        Ok(Listener {
            tcp: Some(tcp),
            local_addr,
            handshakes: JoinSet::new(),
            begun: VecDeque::new(),
            max_handshakes: self.max_handshakes,
            connections: Arc::new(Semaphore::new(self.max_connections)),
            warden: Arc::new(Warden::new(Arc::clone(&live), rules())),
            handshake: Arc::new(Handshake {
                rules: rules(),
                tls: self
                    .tls
                    .unwrap_or_else(|| TlsPolicy::default_of(&self.identity)),
                alpn: self.alpn,
                limit: self.handshake_timeout,
                counters: Counters::default(),
                on_refused: self.on_refused,
            }),
            live,
        })
    }
}

impl fmt::Debug for ListenerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerBuilder")
            .field("layer", &self.layer)
            .field("alpn", &self.alpn)
            .finish_non_exhaustive()
    }
}
