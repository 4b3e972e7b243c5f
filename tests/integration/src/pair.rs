use std::{net::SocketAddr, sync::Arc};

use consul_connect::{
    Accepted, Authorize, ConnectError, Connection, Connector, Destination, Listener,
    ListenerBuilder, Refused, authorize, identity::source::Pusher, test_util::TestCa,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
};

/// The trust domain of the small worlds.
pub const TD: &str = "11111111-2222-3333-4444-555555555555.consul";

/// `web` calls `api`, without any Consul.
#[derive(Debug)]
#[non_exhaustive]
pub struct Pair {
    /// Who vouches for both.
    pub ca: TestCa,
    /// Opens connections as `web`.
    pub connector: Connector,
    /// Accepts connections as `api`.
    pub listener: Listener,
    /// Gives `web` newer material.
    pub web: Pusher,
    /// Gives `api` newer material.
    pub api: Pusher,
    api_identity: consul_connect::Identity,
    refused: Option<mpsc::UnboundedReceiver<Refused>>,
}

/// A [`Pair`] in which every member of the mesh may call.
pub async fn pair() -> Pair {
    Pair::with(Arc::new(authorize::dangerously_allow_all()), |listener| {
        listener
    })
    .await
}

impl Pair {
    /// A pair with rules and listener settings of its own.
    pub async fn with(
        authorize: Arc<dyn Authorize>,
        settings: impl FnOnce(ListenerBuilder) -> ListenerBuilder,
    ) -> Self {
        let ca = TestCa::new(TD);
        let (web_identity, web) = ca.identity("web").await.expect("an identity");
        let (api_identity, api) = ca.identity("api").await.expect("an identity");
        let (sender, refused) = mpsc::unbounded_channel();
        let listener = settings(Listener::builder(api_identity.clone(), authorize))
            .on_refused(move |_remote, refused| {
                let _ = sender.send(refused.clone());
            })
            .bind("127.0.0.1:0")
            .await
            .expect("a listener");
        Self {
            ca,
            connector: Connector::new(web_identity),
            listener,
            web,
            api,
            api_identity,
            refused: Some(refused),
        }
    }

    /// The identity of `api`.
    pub fn api_identity(&self) -> &consul_connect::Identity {
        &self.api_identity
    }

    /// A second listener of `api`.
    pub async fn listen_with(
        &self,
        settings: impl FnOnce(ListenerBuilder) -> ListenerBuilder,
    ) -> Listener {
        let builder = Listener::builder(
            self.api_identity.clone(),
            Arc::new(authorize::dangerously_allow_all()),
        );
        settings(builder)
            .bind("127.0.0.1:0")
            .await
            .expect("a listener")
    }

    /// Where `api` listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// `api`, where it listens.
    pub fn destination(&self) -> Destination {
        Destination::new(self.address(), self.ca.id("api"))
    }

    /// One connection, both ends of it.
    pub async fn connect(&mut self) -> (Connection, Accepted) {
        let destination = self.destination();
        let (client, accepted) =
            tokio::join!(self.connector.connect(&destination), self.listener.accept());
        (
            client.expect("a connection"),
            accepted.expect("an accepted connection"),
        )
    }

    /// A connection that must fail on both sides.
    pub async fn fail(&mut self, destination: &Destination) -> (ConnectError, Refused) {
        let mut refused = self.refusals();
        tokio::select! {
            both = async { tokio::join!(self.connector.connect(destination), refused.recv()) } => {
                (both.0.expect_err("a refusal"), both.1.expect("a refusal"))
            }
            accepted = self.listener.accept() => panic!("accepted {accepted:?}"),
        }
    }

    /// What the listener refuses from now on. Can be taken once.
    pub fn refusals(&mut self) -> mpsc::UnboundedReceiver<Refused> {
        self.refused.take().expect("the refusals are taken once")
    }
}

/// One message there and back.
pub async fn echo_once(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    mut server: impl AsyncRead + AsyncWrite + Unpin,
) {
    let mut buffer = [0; 5];
    client.write_all(b"hello").await.expect("a write");
    client.flush().await.expect("a flush");
    server.read_exact(&mut buffer).await.expect("a read");
    server.write_all(&buffer).await.expect("a write");
    server.flush().await.expect("a flush");
    client.read_exact(&mut buffer).await.expect("a read");
    assert_eq!(&buffer, b"hello");
}
