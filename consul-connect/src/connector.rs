//! Opening connections: dial, TLS, and the proof that the one who answers is the one who was meant.

mod address;
mod destination;
mod error;
mod race;

pub use address::Address;
pub use destination::Destination;
pub use error::{ConnectError, ConnectFailure};

use std::{fmt, io, sync::Arc, time::Duration};

use rustls_pki_types::{IpAddr, Ipv4Addr, ServerName};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::{
    Alpn, ClusterPeers, ConnectionGuard, Grace, Identity, Layer, MeshStream, Peer, Remote,
    TlsPolicy,
    live::{Facts, LiveSet, Rules, Warden, admit},
    stream::{Io, Transport},
    tls::{Admits, Cause, ClientSide, Usage, cause_of, client_config},
};

/// Opens connections to services as one identity. Cheap to clone; all clones share one live set.
///
/// # Shutdown
/// Connections it opened stay when it is dropped, and go on being held to the roots and to the expiries.
#[derive(Clone)]
pub struct Connector {
    inner: Arc<Inner>,
    tls: TlsPolicy,
}

struct Inner {
    rules: Rules,
    live: Arc<LiveSet>,
    connect_timeout: Duration,
    handshake_timeout: Duration,
    warden: Arc<Warden>,
}

/// An open connection to a verified peer.
#[derive(Debug)]
#[non_exhaustive]
pub struct Connection {
    /// The bytes.
    pub stream: MeshStream,
    /// Who answered.
    pub peer: Peer,
    /// What was agreed to speak; `None` if the peer answered no ALPN.
    pub alpn: Option<Alpn>,
    /// When and why it must close.
    pub guard: ConnectionGuard,
    /// The generation of our identity it was made under.
    pub generation: u64,
}

impl Connector {
    /// A connector with the usual limits: 5 s to dial, 5 s for the handshake.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(identity: Identity) -> Self {
        Self::with_limits(
            identity,
            Duration::from_secs(5),
            Duration::from_secs(5),
            Grace::default(),
        )
    }

    /// A connector with limits of its own: for dialling, for the handshake after it, and for connections that must end.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn with_limits(
        identity: Identity,
        connect_timeout: Duration,
        handshake_timeout: Duration,
        grace: Grace,
    ) -> Self {
        let live = Arc::new(LiveSet::default());
        let rules = || Rules {
            identity: identity.clone(),
            cluster_peers: ClusterPeers::none(),
            authorize: None,
            // Nobody is denied here, and what expires may finish.
            layer: Layer::Request,
            grace,
            peer_is: Usage::Server,
            admits: Admits::Services,
        };
        let warden = Warden::new(Arc::clone(&live), rules());
        Self {
            tls: TlsPolicy::default_of(&identity),
            inner: Arc::new(Inner {
                rules: rules(),
                live,
                connect_timeout,
                handshake_timeout,
                warden: Arc::new(warden),
            }),
        }
    }

    /// Which TLS this handle speaks. Default 1.2 and 1.3, with every cipher suite there is. Clones made before keep theirs.
    #[must_use]
    pub fn tls(mut self, policy: TlsPolicy) -> Self {
        self.tls = policy;
        self
    }

    /// The identity connections are opened as.
    pub fn identity(&self) -> &Identity {
        &self.inner.rules.identity
    }

    /// How many connections it opened are open now.
    pub fn open_connections(&self) -> usize {
        self.inner.live.len()
    }

    /// Dials `destination` and verifies who answers.
    ///
    /// # Errors
    /// [`ConnectError`]. In each case nothing of the application was sent, so another endpoint may be tried.
    ///
    /// # Cancel safety
    /// Dropping the future closes what was opened.
    pub async fn connect(&self, destination: &Destination) -> Result<Connection, ConnectError> {
        let limit = self.inner.connect_timeout;
        self.check_leaf(destination)?;
        let transport = match timeout(limit, destination.address().dial()).await {
            Ok(Ok(transport)) => transport,
            Ok(Err(e)) => {
                return Err(ConnectError::new(destination, ConnectFailure::Dial).with_source(e));
            }
            Err(_elapsed) => {
                return Err(ConnectError::new(
                    destination,
                    ConnectFailure::DialTimeout { limit },
                ));
            }
        };
        self.handshake(transport, destination).await
    }

    /// The same over a byte stream that is already open; the destination's address is only used in messages.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// As [`connect`](Self::connect).
    pub async fn connect_io(
        &self,
        io: impl Io,
        destination: &Destination,
    ) -> Result<Connection, ConnectError> {
        self.check_leaf(destination)?;
        self.handshake(Transport::Other(Box::new(io)), destination)
            .await
    }

    fn check_leaf(&self, destination: &Destination) -> Result<(), ConnectError> {
        match self.identity().current().expired_since() {
            Some(since) => Err(ConnectError::new(
                destination,
                ConnectFailure::OwnLeafExpired { since },
            )),
            None => Ok(()),
        }
    }

    async fn handshake(
        &self,
        io: Transport,
        destination: &Destination,
    ) -> Result<Connection, ConnectError> {
        let fail = |failure| ConnectError::new(destination, failure);
        let snapshot = self.identity().current();
        let common = snapshot.common();
        let verifier = ClientSide::new(
            &common.provider,
            Arc::clone(snapshot.roots()),
            Arc::clone(destination.expected()),
        );
        // SNI routes through gateways and proxies. A service whose name is no DNS name is called without; the name
        // rustls wants is then one it never sends, and which the verifier never looks at.
        let name = ServerName::try_from(destination.server_name().to_owned()).ok();
        let config = client_config(
            common,
            Arc::clone(&verifier),
            &self.tls.current().outgoing,
            destination.alpn(),
            name.is_some(),
        )
        .map_err(|e| fail(ConnectFailure::Tls).with_source(e))?;
        let name = name.unwrap_or(ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([
            0, 0, 0, 0,
        ]))));
        let limit = self.inner.handshake_timeout;
        let tls = match timeout(limit, TlsConnector::from(config).connect(name, io)).await {
            Ok(Ok(tls)) => tls,
            Ok(Err(e)) => {
                let failure = match cause_of(&e) {
                    Cause::Peer(refusal) => ConnectFailure::Peer(refusal),
                    Cause::Alert(alert) => ConnectFailure::RefusedByPeer { alert },
                    Cause::OldTls => ConnectFailure::OldTls,
                    Cause::Protocol(_) => ConnectFailure::Tls,
                    Cause::Io => ConnectFailure::Handshake,
                };
                return Err(fail(failure).with_source(e));
            }
            Err(_elapsed) => return Err(fail(ConnectFailure::HandshakeTimeout { limit })),
        };
        let peer = verifier
            .peer()
            .ok_or_else(|| fail(ConnectFailure::Peer(crate::InvalidPeer::NoCertificate)))?;
        let alpn = tls.get_ref().1.alpn_protocol().map(Alpn::from);
        let not_after = std::cmp::min(snapshot.leaf().not_after(), peer.not_after());
        let facts = Facts {
            remote: Remote::Peer(peer.clone()),
            generation: snapshot.generation(),
            cluster_peers: 0,
            not_after,
        };
        let member = self.inner.live.enter(facts, None, &self.inner.warden);
        let guard = ConnectionGuard::new(Arc::clone(member.live()));
        admit(&self.inner.live, member.live(), &self.inner.rules).map_err(|reason| {
            fail(ConnectFailure::Withdrawn {
                reason: reason.to_string(),
            })
        })?;
        Ok(Connection {
            stream: MeshStream::new(tls.into(), member),
            peer,
            alpn,
            guard,
            generation: snapshot.generation(),
        })
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("identity", self.identity())
            .field("live", &self.inner.live)
            .finish()
    }
}

fn no_address(host: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("{host} resolves to no address"),
    )
}
