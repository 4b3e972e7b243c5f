//! A [`Server`] on real sockets: verified callers, an axum router, and rules that change.
#![cfg(feature = "axum")]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use bytes::Bytes;
use consul_connect::{
    Address, Alpn, Connection, Connector, Destination, Grace, Identity, ServiceId,
    test_util::TestCa,
};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, client::conn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::watch;
use tower_mesh::{
    Peer,
    authorize::{
        Authorize, Caller, Changes, Decision, Permit, Reason, Verdict, dangerously_allow_all,
    },
    serve::{Server, ServerHandle},
};

type Body = Empty<Bytes>;

/// A switch for everybody, as an intention would be.
struct Switch {
    allowed: AtomicBool,
    changes: watch::Sender<u64>,
}

impl Switch {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            allowed: AtomicBool::new(true),
            changes: watch::Sender::new(0),
        })
    }

    fn set(&self, allowed: bool) {
        self.allowed.store(allowed, Ordering::SeqCst);
        self.changes.send_modify(|generation| *generation += 1);
    }

    fn decide(&self) -> Decision {
        if self.allowed.load(Ordering::SeqCst) {
            Decision::Allow(Permit::by_default())
        } else {
            Decision::Deny(Reason::fixed("test", "switched off"))
        }
    }
}

impl Authorize for Switch {
    fn connection(&self, _caller: Caller<'_>) -> Verdict {
        self.decide().into()
    }

    fn request(&self, _caller: Caller<'_>, _head: &http::request::Parts) -> Decision {
        self.decide()
    }

    fn changes(&self) -> Changes {
        self.changes.subscribe().into()
    }
}

/// A mesh of two: `api` serves, `web` calls.
struct World {
    server: ServerHandle,
    served: tokio::task::JoinHandle<()>,
    addr: SocketAddr,
    connector: Connector,
}

impl World {
    async fn new(authorize: impl Authorize, app: Router) -> Self {
        let ca = TestCa::new("test.consul");
        let (api, _) = ca.identity("api").await.expect("an identity");
        let (web, _) = ca.identity("web").await.expect("an identity");
        Self::with(api, web, authorize, app).await
    }

    async fn with(api: Identity, web: Identity, authorize: impl Authorize, app: Router) -> Self {
        let mut grace = Grace::default();
        (grace.denied, grace.drain) = (Duration::ZERO, Duration::from_millis(100));
        let server = Server::builder(api, Arc::new(authorize))
            .grace(grace)
            .bind("127.0.0.1:0")
            .await
            .expect("a socket");
        let (addr, handle) = (server.local_addr(), server.handle());
        let served = tokio::spawn(server.run(app));
        Self {
            server: handle,
            served,
            addr,
            connector: Connector::new(web),
        }
    }

    async fn dial(&self, alpn: &[&[u8]]) -> Connection {
        let td = "test.consul".parse().expect("a trust domain");
        let api = ServiceId::new(td, "dc1", "api".parse().expect("a name"));
        let destination = Destination::new(Address::Tcp(self.addr), api).with_alpn(alpn);
        self.connector
            .connect(&destination)
            .await
            .expect("a connection")
    }

    async fn h1(&self) -> conn::http1::SendRequest<Body> {
        let io = TokioIo::new(self.dial(&[b"http/1.1"]).await.stream);
        let (client, connection) = conn::http1::handshake(io).await.expect("a handshake");
        tokio::spawn(connection);
        client
    }

    async fn h2(&self, alpn: &[&[u8]]) -> conn::http2::SendRequest<Body> {
        let io = TokioIo::new(self.dial(alpn).await.stream);
        let handshake = conn::http2::handshake(TokioExecutor::new(), io).await;
        let (client, connection) = handshake.expect("a handshake");
        tokio::spawn(connection);
        client
    }
}

fn whoami() -> Router {
    Router::new()
        .route("/", get(async |caller: Peer| caller.to_string()))
        .route(
            "/maybe",
            get(async |caller: Option<Peer>| caller.is_some().to_string()),
        )
        .route(
            "/endless",
            get(async || {
                let first =
                    futures_util::stream::iter([Ok::<_, std::convert::Infallible>("first")]);
                let rest = futures_util::stream::pending();
                axum::body::Body::from_stream(futures_util::StreamExt::chain(first, rest))
            }),
        )
}

fn request(path: &str) -> Request<Body> {
    Request::get(format!("http://api{path}"))
        .body(Empty::new())
        .expect("a request")
}

async fn text(response: Response<Incoming>) -> String {
    let bytes = response
        .into_body()
        .collect()
        .await
        .expect("a whole body")
        .to_bytes();
    String::from_utf8(bytes.into()).expect("text")
}

const WEB: &str = "spiffe://test.consul/ns/default/dc/dc1/svc/web";

#[tokio::test]
async fn an_axum_handler_knows_its_verified_caller_over_every_http() {
    let world = World::new(dangerously_allow_all(), whoami()).await;

    let response = world
        .h1()
        .await
        .send_request(request("/"))
        .await
        .expect("a response");
    assert_eq!(text(response).await, WEB);

    let none: &[&[u8]] = &[];
    for alpn in [&[b"h2".as_slice()], none] {
        let response = world
            .h2(alpn)
            .await
            .send_request(request("/"))
            .await
            .expect("a response");
        assert_eq!(text(response).await, WEB);
    }
    let response = world
        .h1()
        .await
        .send_request(request("/maybe"))
        .await
        .expect("a response");
    assert_eq!(text(response).await, "true");
}

#[tokio::test]
async fn h2_is_preferred_and_either_http_may_be_offered_alone() {
    let world = World::new(dangerously_allow_all(), whoami()).await;
    for (offer, agreed) in [
        (&[b"h2".as_slice(), b"http/1.1"][..], Some(Alpn::H2)),
        (&[b"h2"], Some(Alpn::H2)),
        (&[b"http/1.1"], Some(Alpn::Http11)),
        (&[], None),
    ] {
        assert_eq!(world.dial(offer).await.alpn, agreed);
    }
}

#[tokio::test]
async fn a_server_may_offer_one_http_alone() {
    let ca = TestCa::new("test.consul");
    let (api, _api) = ca.identity("api").await.expect("an identity");
    let (web, _web) = ca.identity("web").await.expect("an identity");
    let server = Server::builder(api, Arc::new(dangerously_allow_all()))
        .alpn([Alpn::Http11])
        .bind("127.0.0.1:0")
        .await
        .expect("a socket");
    let (addr, handle) = (server.local_addr(), server.handle());
    let served = tokio::spawn(server.run(whoami()));
    let world = World {
        server: handle,
        served,
        addr,
        connector: Connector::new(web),
    };
    let both: &[&[u8]] = &[b"h2", b"http/1.1"];
    assert_eq!(world.dial(both).await.alpn, Some(Alpn::Http11));
}

#[tokio::test]
async fn a_router_reached_outside_the_mesh_knows_nobody() {
    let outside = Request::get("/")
        .body(axum::body::Body::empty())
        .expect("a request");
    let response = tower::ServiceExt::oneshot(whoami(), outside)
        .await
        .expect("a response");
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let outside = Request::get("/maybe")
        .body(axum::body::Body::empty())
        .expect("a request");
    let response = tower::ServiceExt::oneshot(whoami(), outside)
        .await
        .expect("a response");
    let body = response
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    assert_eq!(body, "false");
}

#[tokio::test]
async fn a_change_of_rules_is_in_force_on_open_connections() {
    let rules = Switch::new();
    let world = World::new(Arc::clone(&rules), whoami()).await;
    let mut h1 = world.h1().await;
    let mut h2 = world.h2(&[b"h2"]).await;
    for response in [
        h1.send_request(request("/")).await.expect("a response"),
        h2.send_request(request("/")).await.expect("a response"),
    ] {
        assert_eq!(text(response).await, WEB);
    }
    let mut stream = h2
        .send_request(request("/endless"))
        .await
        .expect("a response")
        .into_body();
    assert_eq!(
        stream
            .frame()
            .await
            .expect("a frame")
            .expect("data")
            .into_data()
            .expect("data"),
        "first"
    );

    rules.set(false);

    // What was open is drained, and the stream that does not end is cut.
    assert!(stream.frame().await.expect("an end").is_err());
    for response in [
        world
            .h1()
            .await
            .send_request(request("/"))
            .await
            .expect("a response"),
        world
            .h2(&[b"h2"])
            .await
            .send_request(request("/"))
            .await
            .expect("a response"),
    ] {
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
    }

    rules.set(true);
    let response = world
        .h1()
        .await
        .send_request(request("/"))
        .await
        .expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_next_request_of_an_open_connection_meets_the_new_rules() {
    let rules = Switch::new();
    let ca = TestCa::new("test.consul");
    let (api, _api) = ca.identity("api").await.expect("an identity");
    let (web, _web) = ca.identity("web").await.expect("an identity");
    let server = Server::builder(api, Arc::clone(&rules) as Arc<dyn Authorize>)
        .bind("127.0.0.1:0")
        .await
        .expect("a socket");
    let (addr, server_handle) = (server.local_addr(), server.handle());
    let served = tokio::spawn(server.run(whoami()));
    let world = World {
        server: server_handle,
        served,
        addr,
        connector: Connector::new(web),
    };
    let mut client = world.h1().await;
    for (allowed, status) in [(true, 200), (false, 403), (true, 200)] {
        rules.set(allowed);
        let response = client
            .send_request(request("/"))
            .await
            .expect("the same connection");
        assert_eq!(response.status(), status);
        text(response).await;
    }
}

#[tokio::test]
async fn a_drained_server_ends_when_its_last_connection_does() {
    let world = World::new(dangerously_allow_all(), whoami()).await;
    let mut idle = world.h1().await;
    text(idle.send_request(request("/")).await.expect("a response")).await;
    world.server.drain();
    world.served.await.expect("no panic");
    assert!(idle.send_request(request("/")).await.is_err());
}

#[tokio::test]
async fn a_cut_server_ends_at_once() {
    let world = World::new(dangerously_allow_all(), whoami()).await;
    let mut client = world.h2(&[b"h2"]).await;
    let mut stream = client
        .send_request(request("/endless"))
        .await
        .expect("a response")
        .into_body();
    stream.frame().await.expect("a frame").expect("data");
    world.server.cut();
    world.served.await.expect("no panic");
    assert!(stream.frame().await.expect("an end").is_err());
}

#[tokio::test]
async fn a_cut_server_waits_for_no_handshake() {
    let world = World::new(dangerously_allow_all(), whoami()).await;
    let mut silent = tokio::net::TcpStream::connect(world.addr)
        .await
        .expect("a connection");
    // Another one, so that the first has been accepted for certain.
    let mut client = world.h1().await;
    text(client.send_request(request("/")).await.expect("a response")).await;

    world.server.cut();

    // A handshake may take five.
    tokio::time::timeout(Duration::from_secs(2), world.served)
        .await
        .expect("it ends at once")
        .expect("no panic");
    let mut nothing = [0; 1];
    let read = tokio::io::AsyncReadExt::read(&mut silent, &mut nothing).await;
    assert!(matches!(read, Ok(0) | Err(_)), "closed");
}

#[tokio::test]
async fn dropping_the_server_closes_everything() {
    let world = World::new(dangerously_allow_all(), whoami()).await;
    let mut client = world.h1().await;
    text(client.send_request(request("/")).await.expect("a response")).await;
    world.served.abort();
    assert!(world.served.await.expect_err("aborted").is_cancelled());
    assert!(client.send_request(request("/")).await.is_err());
    assert!(tokio::net::TcpStream::connect(world.addr).await.is_err());
}
