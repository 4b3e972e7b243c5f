//! How the pool of an endpoint makes connections: through the mesh.

use std::sync::Arc;

use consul_connect::{
    Address, Alpn, ConnectError, ConnectFailure, ConnectionGuard, Connector, Destination, Identity,
};

use crate::{
    error::{Error, ErrorKind},
    measure::{Open as OpenConnection, Outbound},
    pool::{Answer, BoxFuture, Closing, Guard, Offer, Open, Opened},
    resolve::Target,
};

/// Dials one instance of a target.
pub(crate) struct Dialer {
    connector: Connector,
    target: Target,
    address: Address,
    name: Arc<str>,
    outbound: Arc<Outbound>,
}

impl Dialer {
    /// `name` is how messages call the endpoint.
    pub(crate) fn new(
        connector: Connector,
        target: Target,
        address: Address,
        name: Arc<str>,
        outbound: Arc<Outbound>,
    ) -> Self {
        Self {
            connector,
            target,
            address,
            name,
            outbound,
        }
    }
}

/// Whom to dial, and who must answer. Made at each dial: the trust domain may have changed.
pub(crate) fn destination(identity: &Identity, target: &Target, address: &Address) -> Destination {
    let expected = target.expected(identity.current().trust_domain());
    let destination = Destination::new(address.clone(), expected);
    match &target.server_name {
        Some(name) => destination.with_server_name(name.clone()),
        None => destination,
    }
}

impl Open for Dialer {
    fn open(&self, offer: Offer) -> BoxFuture<'static, Result<Opened, Error>> {
        let connector = self.connector.clone();
        let protocols: &[&[u8]] = match offer {
            Offer::Both => &[b"h2", b"http/1.1"],
            Offer::H2 => &[b"h2"],
            Offer::Http11 => &[b"http/1.1"],
        };
        let destination = destination(connector.identity(), &self.target, &self.address);
        let destination = destination.with_alpn(protocols);
        let name = Arc::clone(&self.name);
        let outbound = Arc::clone(&self.outbound);
        Box::pin(async move {
            let connection = match connector.connect(&destination).await {
                Ok(connection) => connection,
                Err(error) => {
                    outbound.refused(&error);
                    return Err(connect_error(&name, error));
                }
            };
            let open = outbound.connected();
            let answer = match &connection.alpn {
                None => Answer::Silent,
                Some(Alpn::H2) => Answer::H2,
                Some(Alpn::Http11) => Answer::Http11,
                Some(other) => {
                    let context =
                        format!("connecting to {name}: it answered the ALPN offer with {other}");
                    return Err(Error::new(ErrorKind::Connect, context));
                }
            };
            Ok(Opened {
                io: Box::new(connection.stream),
                answer,
                generation: connection.generation,
                guard: Box::new(Live {
                    guard: connection.guard,
                    open,
                }),
            })
        })
    }

    fn generation(&self) -> u64 {
        self.connector.identity().generation()
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// A refused identity is told apart from an endpoint that cannot be reached.
pub(crate) fn connect_error(name: &str, error: ConnectError) -> Error {
    let kind = match error.failure() {
        ConnectFailure::RefusedByPeer { .. } => ErrorKind::Denied,
        _ if error.is_identity() => ErrorKind::Identity,
        _ => ErrorKind::Connect,
    };
    Error::with_source(kind, format!("connecting to {name}"), error)
}

struct Live {
    guard: ConnectionGuard,
    open: OpenConnection,
}

impl Guard for Live {
    fn closing(&mut self) -> BoxFuture<'_, Closing> {
        Box::pin(async {
            match self.guard.closing().await {
                consul_connect::Closing::Drain { reason, .. } => {
                    tracing::debug!(%reason, "a connection is drained");
                    self.open.drained(&reason);
                    Closing::Drain
                }
                consul_connect::Closing::Cut { reason } => {
                    tracing::info!(%reason, "a connection is cut");
                    self.open.cut(&reason);
                    Closing::Cut
                }
                // What we do not know must not keep a connection.
                _ => Closing::Cut,
            }
        })
    }
}
