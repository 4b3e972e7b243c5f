//! Services of cluster peers that call through a mesh gateway: the gateway says who calls, and nobody else may.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, http::HeaderMap, routing::get};
use bytes::Bytes;
use consul_connect::{
    Authorize, Caller, Changes, ClusterPeer, ClusterPeers, Decision, Grace, Material, Permit,
    Reason, Roots, Verdict,
    test_util::{LeafSpec, TestCa},
};
use futures_util::stream;
use http::{Request, StatusCode, request::Parts};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_tests::{TD, raw_client_config};
use rustls_pki_types::ServerName;
use tokio::{net::TcpStream, sync::watch, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower_mesh::{
    Peer,
    authorize::dangerously_allow_all,
    serve::{Server, ServerHandle},
};

const EAST: &str = "22222222-3333-4444-5555-666666666666.consul";
const XFCC: &str = "x-forwarded-client-cert";
const LONG: Duration = Duration::from_secs(60);

/// Lets everybody in but one service of cluster peers.
struct Except {
    denied: AtomicBool,
    changes: watch::Sender<u64>,
    seen: Mutex<Vec<String>>,
}

impl Except {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            denied: AtomicBool::new(false),
            changes: watch::Sender::new(0),
            seen: Mutex::default(),
        })
    }

    fn deny(&self, denied: bool) {
        self.denied.store(denied, Ordering::SeqCst);
        self.changes.send_modify(|generation| *generation += 1);
    }

    fn decide(&self, caller: Caller<'_>) -> Decision {
        match caller {
            Caller::Peer(peer)
                if peer.id().service().as_str() == "web" && self.denied.load(Ordering::SeqCst) =>
            {
                Decision::Deny(Reason::fixed("intention", "not web"))
            }
            Caller::Peer(_) => Decision::Allow(Permit::by_default()),
            _ => Decision::Deny(Reason::fixed("test", "nobody")),
        }
    }
}

impl Authorize for Except {
    fn connection(&self, caller: Caller<'_>) -> Verdict {
        self.decide(caller).into()
    }

    fn request(&self, caller: Caller<'_>, head: &Parts) -> Decision {
        let header = head.headers.get(XFCC).is_some();
        let mut seen = self.seen.lock().expect("not poisoned");
        seen.push(format!("{caller:?} header {header}"));
        self.decide(caller)
    }

    fn changes(&self) -> Changes {
        self.changes.subscribe().into()
    }
}

/// `api` behind its own authority, and the cluster peer `east` with another.
struct World {
    own: TestCa,
    east: TestCa,
    peers: ClusterPeers,
    addr: SocketAddr,
    server: ServerHandle,
    served: tokio::task::JoinHandle<()>,
}

async fn who(peer: Peer, headers: HeaderMap) -> String {
    let via = peer.via().map(ToString::to_string).unwrap_or_default();
    let of = peer.cluster_peer().unwrap_or("us");
    let forwarded = headers.contains_key(XFCC);
    format!("{peer} of {of} via {via}, header {forwarded}")
}

async fn ticks() -> Body {
    Body::from_stream(stream::unfold((), async |()| {
        tokio::time::sleep(Duration::from_millis(5)).await;
        Some((Ok::<_, Infallible>(Bytes::from_static(b"tick")), ()))
    }))
}

impl World {
    async fn new(authorize: Arc<dyn Authorize>) -> Self {
        let (own, east) = (TestCa::new(TD), TestCa::new(EAST));
        let roots = Roots::from_pem([east.root_pem()], None).expect("roots");
        let peers = ClusterPeers::fixed([ClusterPeer::new("east", roots)]).expect("one");
        let (api, _) = own.identity("api").await.expect("an identity");
        let mut grace = Grace::default();
        (grace.denied, grace.drain) = (Duration::ZERO, Duration::from_millis(100));
        let server = Server::builder(api, authorize)
            .cluster_peers(peers.clone())
            .grace(grace)
            .bind("127.0.0.1:0")
            .await
            .expect("a socket");
        let (addr, handle) = (server.local_addr(), server.handle());
        let app = Router::new()
            .route("/", get(who))
            .route("/ticks", get(ticks));
        let served = tokio::spawn(server.run(app));
        Self {
            own,
            east,
            peers,
            addr,
            server: handle,
            served,
        }
    }

    fn gateway() -> String {
        format!("spiffe://{TD}/gateway/mesh/dc/dc1")
    }

    /// The header as Envoy writes it.
    fn says(uri: &str) -> String {
        let by = Self::gateway();
        format!(
            "By={by};Hash=0a;Cert=\"-----BEGIN%20CERTIFICATE-----\";Chain=\"-----BEGIN%20CERTIFICATE-----\";Subject=\"\";URI={uri}"
        )
    }

    async fn dial(&self, material: Material, alpn: &[u8]) -> TlsStream<TcpStream> {
        let tcp = TcpStream::connect(self.addr).await.expect("a connection");
        let mut config = raw_client_config(Some(material), rustls::ALL_VERSIONS);
        config.alpn_protocols = vec![alpn.to_vec()];
        let name = ServerName::try_from("anybody").expect("a name");
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, tcp);
        connecting.await.expect("the client is done first")
    }

    fn gateway_leaf(&self) -> Material {
        let spec = LeafSpec::new(&self.own.id("any")).uris([Self::gateway()]);
        self.own.issue(&spec)
    }

    async fn h1(&self, material: Material) -> http1::SendRequest<Empty<Bytes>> {
        let tls = self.dial(material, b"http/1.1").await;
        let (sender, connection) = http1::handshake(TokioIo::new(tls)).await.expect("HTTP/1.1");
        tokio::spawn(connection);
        sender
    }

    async fn h2(&self) -> http2::SendRequest<Empty<Bytes>> {
        let tls = TokioIo::new(self.dial(self.gateway_leaf(), b"h2").await);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), tls)
            .await
            .expect("h2");
        tokio::spawn(connection);
        sender
    }

    async fn stop(self) {
        self.server.cut();
        self.served.await.expect("the server does not panic");
    }
}

fn request(path: &str, claims: &[&str]) -> Request<Empty<Bytes>> {
    let mut request = Request::get(format!("http://api{path}"));
    for claim in claims {
        request = request.header(XFCC, *claim);
    }
    request.body(Empty::new()).expect("a request")
}

async fn ask(
    sender: &mut http1::SendRequest<Empty<Bytes>>,
    claims: &[&str],
) -> (StatusCode, String) {
    sender.ready().await.expect("the connection goes on");
    let sent = sender.send_request(request("/", claims)).await;
    let (head, body) = sent.expect("a response").into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    (head.status, String::from_utf8(body.to_vec()).expect("text"))
}

#[tokio::test]
async fn the_caller_behind_a_gateway_is_the_peer_and_the_header_is_gone() {
    let except = Except::new();
    let world = World::new(except.clone()).await;
    let mut sender = world.h1(world.gateway_leaf()).await;
    for service in ["web", "billing", "web"] {
        let id = world.east.id(service).to_string();
        let (status, text) = ask(&mut sender, &[&World::says(&id)]).await;
        assert_eq!(status, StatusCode::OK);
        let gateway = World::gateway();
        assert_eq!(text, format!("{id} of east via {gateway}, header false"));
    }
    let seen = except.seen.lock().expect("not poisoned").clone();
    assert!(
        seen.iter().all(|one| one.ends_with("header false")),
        "{seen:?}"
    );
    world.stop().await;
}

#[tokio::test]
async fn over_h2_each_stream_has_its_own_caller() {
    let world = World::new(Arc::new(dangerously_allow_all())).await;
    let sender = world.h2().await;
    let ask = async |service: &str| {
        let mut sender = sender.clone();
        sender.ready().await.expect("open");
        let id = world.east.id(service).to_string();
        let response = sender
            .send_request(request("/", &[&World::says(&id)]))
            .await;
        let body = response
            .expect("a response")
            .collect()
            .await
            .expect("a body");
        assert!(body.to_bytes().starts_with(id.as_bytes()), "{service}");
    };
    tokio::join!(ask("web"), ask("billing"), ask("web"), ask("shop"));
    world.stop().await;
}

#[tokio::test]
async fn what_a_gateway_cannot_vouch_for_is_a_403() {
    let except = Except::new();
    let world = World::new(except.clone()).await;
    let mut sender = world.h1(world.gateway_leaf()).await;
    let web = world.east.id("web").to_string();
    let good = World::says(&web);
    let ours = world.own.id("web").to_string();
    for (what, claims) in [
        ("nothing", vec![]),
        ("two headers", vec![good.clone(), good.clone()]),
        ("one of ours", vec![World::says(&ours)]),
        (
            "a stranger",
            vec![World::says(
                "spiffe://33333333.consul/ns/default/dc/dc1/svc/web",
            )],
        ),
        (
            "a gateway",
            vec![World::says(&format!("spiffe://{EAST}/gateway/mesh/dc/dc1"))],
        ),
        ("no id", vec![World::says("web")]),
        ("two ids", vec![format!("{good};URI={web}")]),
        (
            "another's word",
            vec![format!("By=spiffe://{TD}/gateway/mesh/dc/dc2;URI={web}")],
        ),
        ("an element before", vec![format!("URI={ours},{good}")]),
        ("no URI", vec![format!("By={}", World::gateway())]),
        ("broken quotes", vec![format!("{good},Subject=\"")]),
        ("an empty element", vec![format!("{good},")]),
        (
            "another encoding",
            vec![World::says(&web.replace("web", "%77eb"))],
        ),
    ] {
        let claims: Vec<&str> = claims.iter().map(String::as_str).collect();
        let (status, _) = ask(&mut sender, &claims).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{what}");
    }
    assert!(
        except.seen.lock().expect("not poisoned").is_empty(),
        "no policy was asked about nobody"
    );
    // The connection is not to blame.
    assert_eq!(ask(&mut sender, &[&good]).await.0, StatusCode::OK);
    world.stop().await;
}

#[tokio::test]
async fn what_a_service_claims_is_not_believed() {
    let world = World::new(Arc::new(dangerously_allow_all())).await;
    let admin = World::says(&world.east.id("admin").to_string());
    for (material, who) in [
        (
            world.own.material("web"),
            format!("{} of us via ", world.own.id("web")),
        ),
        (
            world.east.material("web"),
            format!("{} of east via ", world.east.id("web")),
        ),
    ] {
        let mut sender = world.h1(material).await;
        let (status, text) = ask(&mut sender, &[&admin]).await;
        assert_eq!(
            (status, text),
            (StatusCode::OK, format!("{who}, header false"))
        );
    }
    world.stop().await;
}

#[tokio::test]
async fn a_caller_denied_later_is_refused_at_once_and_its_open_streams_end_alone() {
    let except = Except::new();
    let world = World::new(except.clone()).await;
    let sender = world.h2().await;
    let stream = async |service: &str| {
        let mut sender = sender.clone();
        sender.ready().await.expect("open");
        let says = World::says(&world.east.id(service).to_string());
        let sent = sender.send_request(request("/ticks", &[&says])).await;
        let response = sent.expect("a response");
        assert_eq!(response.status(), StatusCode::OK, "{service}");
        response.into_body()
    };
    let (mut web, mut billing) = (stream("web").await, stream("billing").await);
    for body in [&mut web, &mut billing] {
        let tick = body.frame().await.expect("a frame");
        tick.expect("a tick");
    }
    except.deny(true);
    let ended = async { while let Some(Ok(_)) = web.frame().await {} };
    timeout(LONG, ended).await.expect("it is ended");
    // On the same connection.
    let mut same = sender.clone();
    same.ready().await.expect("open");
    for (service, expected) in [("web", StatusCode::FORBIDDEN), ("billing", StatusCode::OK)] {
        let says = World::says(&world.east.id(service).to_string());
        let answer = same.send_request(request("/", &[&says])).await;
        assert_eq!(answer.expect("an answer").status(), expected, "{service}");
    }
    for _ in 0..5 {
        let tick = billing.frame().await.expect("a frame");
        tick.expect("it goes on");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_cluster_peer_that_is_gone_has_no_callers_behind_the_gateway() {
    let world = World::new(Arc::new(dangerously_allow_all())).await;
    let mut sender = world.h1(world.gateway_leaf()).await;
    let web = World::says(&world.east.id("web").to_string());
    assert_eq!(ask(&mut sender, &[&web]).await.0, StatusCode::OK);
    // The same name for another trust domain.
    let elsewhere = TestCa::new("33333333.consul");
    let roots = Roots::from_pem([elsewhere.root_pem()], None).expect("roots");
    world
        .peers
        .give(ClusterPeer::new("east", roots))
        .expect("alone");
    let mut fresh = world.h1(world.gateway_leaf()).await;
    assert_eq!(ask(&mut fresh, &[&web]).await.0, StatusCode::FORBIDDEN);
    let ended = async {
        while sender.ready().await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, ended).await.expect("it is drained");
    world.stop().await;
}
