//! A mesh of one process: a certificate authority, services on loopback ports, and clients.

use std::{net::SocketAddr, sync::Arc};

use axum::Router;
use consul_connect::{
    Address, Identity, Layer, Listener, MeshStream, authorize::dangerously_allow_all,
    identity::source::Pusher, test_util::TestCa,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::task::JoinSet;
use tower_mesh::{
    Client,
    resolve::{Instance, fixed},
};

pub(crate) const BOTH: &[&[u8]] = &[b"h2", b"http/1.1"];
pub(crate) const HTTP11: &[&[u8]] = &[b"http/1.1"];
pub(crate) const SILENT: &[&[u8]] = &[];

pub(crate) struct World {
    pub(crate) ca: TestCa,
    /// Who the clients are.
    pub(crate) web: Identity,
    pub(crate) web_source: Pusher,
    services: JoinSet<()>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let ca = TestCa::new("test.consul");
        let (web, web_source) = ca.identity("web").await.expect("an identity");
        Self {
            ca,
            web,
            web_source,
            services: JoinSet::new(),
        }
    }

    /// Serves `app` as a service that answers these protocols.
    pub(crate) async fn serve(&mut self, service: &str, alpn: &[&[u8]], app: Router) -> SocketAddr {
        let mut listener = self.listen(service, alpn).await;
        let address = listener.local_addr();
        self.services.spawn(async move {
            let mut connections = JoinSet::new();
            while let Some(accepted) = listener.accept().await {
                let app = TowerToHyperService::new(app.clone());
                connections.spawn(async move {
                    let _guard = accepted.guard;
                    let io = TokioIo::new(accepted.stream);
                    let server = auto::Builder::new(TokioExecutor::new());
                    // However the client leaves is the test's business.
                    let _ = server.serve_connection_with_upgrades(io, app).await;
                });
            }
        });
        address
    }

    /// Speaks as a service by hand: `speak` gets each connection with its number.
    pub(crate) async fn speak<F>(
        &mut self,
        service: &str,
        alpn: &[&[u8]],
        speak: impl Fn(usize, MeshStream) -> F + Send + 'static,
    ) -> SocketAddr
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut listener = self.listen(service, alpn).await;
        let address = listener.local_addr();
        self.services.spawn(async move {
            let mut connections = JoinSet::new();
            let mut number = 0;
            while let Some(accepted) = listener.accept().await {
                let spoken = speak(number, accepted.stream);
                let guard = accepted.guard;
                connections.spawn(async move {
                    let _guard = guard;
                    spoken.await;
                });
                number += 1;
            }
        });
        address
    }

    async fn listen(&self, service: &str, alpn: &[&[u8]]) -> Listener {
        let (identity, _) = self.ca.identity(service).await.expect("an identity");
        Listener::builder(identity, Arc::new(dangerously_allow_all()))
            .layer(Layer::Request)
            .alpn(alpn)
            .bind("127.0.0.1:0")
            .await
            .expect("a socket")
    }

    /// A client of `api` at these addresses.
    pub(crate) fn client<const N: usize>(&self, addresses: [SocketAddr; N]) -> Client {
        let instances = addresses.map(|address| Instance::new(Address::Tcp(address)));
        Client::with_resolver(
            self.web.clone(),
            "api".parse().expect("a name"),
            fixed(instances),
        )
    }

    /// An address nobody listens at.
    pub(crate) async fn nowhere(&self) -> SocketAddr {
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a socket");
        socket.local_addr().expect("an address")
    }
}
