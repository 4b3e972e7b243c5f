use std::{fmt, sync::Arc, time::Duration};

use consul_connect::{
    Alpn, ClusterPeers, Grace, Identity, Layer, Listener, ListenerBuilder, NormalizationPolicy,
    TlsPolicy,
};
use tokio::net::{TcpListener, ToSocketAddrs};

use super::{Limits, Server, admission::Admission};
use crate::{
    Error, ErrorKind,
    authorize::Authorize,
    measure::{Inbound, Sink},
};

/// What is offered in the handshake. Envoy upstreams and the Go SDK each may offer one alone.
const DEFAULT_ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Made by [`Server::builder`].
#[must_use]
pub struct ServerBuilder {
    listener: ListenerBuilder,
    admission: Admission,
    grace: Grace,
    limits: Limits,
    inbound: Arc<Inbound>,
}

impl ServerBuilder {
    pub(super) fn new(identity: Identity, authorize: Arc<dyn Authorize>) -> Self {
        let service: Arc<str> = identity.current().id().service().as_str().into();
        let listener = Listener::builder(identity, Arc::clone(&authorize))
            .layer(Layer::Request)
            .alpn(DEFAULT_ALPN);
        Self {
            listener,
            admission: Admission {
                authorize,
                ..Admission::default()
            },
            grace: Grace::default(),
            limits: Limits::default(),
            inbound: Inbound::new(Sink::of(service)),
        }
    }

    /// Counts with the other servers of a member.
    pub(crate) fn measured(mut self, inbound: Arc<Inbound>) -> Self {
        self.inbound = inbound;
        self
    }

    /// The cluster peers whose services may call as well, by themselves or through a mesh gateway of
    /// our own datacenter. Default none.
    ///
    /// # Security
    ///
    /// A service name alone no longer says who calls: see [`Peer::cluster_peer`](crate::Peer::cluster_peer).
    pub fn cluster_peers(mut self, cluster_peers: ClusterPeers) -> Self {
        self.listener = self.listener.cluster_peers(cluster_peers);
        self
    }

    /// What one connection may cost.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The application protocols to offer, the preferred one first. Default h2, then HTTP/1.1. What a
    /// caller that offers none speaks is told by its first bytes.
    pub fn alpn(mut self, protocols: impl IntoIterator<Item = Alpn>) -> Self {
        let wire = protocols
            .into_iter()
            .map(|protocol| protocol.as_bytes().to_vec());
        self.listener = self.listener.alpn(wire);
        self
    }

    /// Which TLS to speak. Default 1.2 and 1.3, with every cipher suite there is.
    pub fn tls(mut self, policy: TlsPolicy) -> Self {
        self.listener = self.listener.tls(policy);
        self
    }

    /// What is done to requests before the policy is asked. Default: paths are normalised, and nothing else.
    pub fn normalization(mut self, policy: NormalizationPolicy) -> Self {
        self.admission.normalization = policy;
        self
    }

    /// Tells callers why they are denied: in the body of the `403`, in the message of the gRPC status.
    ///
    /// # Security
    ///
    /// The reason names rules and services, and what a token should have said.
    pub fn tell_denials(mut self) -> Self {
        self.admission.tell_denials = true;
        self
    }

    /// How many connections may be open; a further one is closed at once. Default 65,536.
    pub fn max_connections(mut self, limit: usize) -> Self {
        self.listener = self.listener.max_connections(limit);
        self
    }

    /// How long a caller may take for its TLS handshake. Default 5 s.
    pub fn handshake_timeout(mut self, limit: Duration) -> Self {
        self.listener = self.listener.handshake_timeout(limit);
        self
    }

    /// How long connections may take that must end because rules, roots or leafs changed.
    ///
    /// [`Grace::denied`] is also how long a request may go on that is open when a rule comes to deny it.
    pub fn grace(mut self, grace: Grace) -> Self {
        self.grace = grace;
        self.listener = self.listener.grace(grace);
        self
    }

    /// Binds an address.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Listen`] with the operating system's reason.
    pub async fn bind(self, address: impl ToSocketAddrs + fmt::Debug) -> Result<Server, Error> {
        let bind = TcpListener::bind(&address).await;
        let tcp = bind.map_err(|error| {
            Error::with_source(ErrorKind::Listen, format!("binding {address:?}"), error)
        })?;
        self.from_tcp(tcp)
    }

    /// Takes a socket that is already bound.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Listen`] if the socket has no address.
    pub fn from_tcp(self, tcp: TcpListener) -> Result<Server, Error> {
        let inbound = Arc::clone(&self.inbound);
        let listener = self
            .listener
            .on_refused(move |_, refused| inbound.refused(refused));
        let listener = listener.from_tcp(tcp).map_err(|error| {
            Error::with_source(ErrorKind::Listen, "taking over a bound socket", error)
        })?;
        Ok(Server::new(
            listener,
            self.admission,
            self.grace,
            self.limits,
            self.inbound,
        ))
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("listener", &self.listener)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
