//! Services of another cluster call ours, through a real mesh gateway between two real Consuls: byte streams end to end, requests
//! by what the gateway says of them.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, http::HeaderMap, routing::get};
use bytes::Bytes;
use consul_connect::{ClusterPeer, Grace, Material, Roots};
use consul_dev::ConsulDev;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_lab::{Agent, DefaultPolicy, MeshGateway, Version, envoy};
use mesh_tests::{
    raw_client_config,
    real::eventually,
    real_mesh::{Source, echoing, member, serving},
};
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower_mesh::{Mesh, Peer};

const XFCC: &str = "x-forwarded-client-cert";

/// Two clusters: ours, which calls the other `east`, and that, which calls ours `west`.
struct Clusters {
    ours: Agent,
    east: Agent,
}

impl Clusters {
    async fn start(acl: bool) -> Option<Self> {
        let consul = mesh_lab::consul(Version::Newest)?;
        let consul = consul.default_intention_policy("deny");
        let own = consul.clone();
        let own = if acl {
            own.acl(DefaultPolicy::Deny)
        } else {
            own
        };
        let mut east = mesh_lab::consul(Version::Newest)?;
        east = east.default_intention_policy("deny");
        let (ours, east) = tokio::join!(own.start(), east.start());
        let (ours, east) = (ours.expect("a Consul"), east.expect("a Consul"));
        ours.peer_with(&east, "east", "west")
            .await
            .expect("a peering");
        Some(Self { ours, east })
    }

    async fn export(&self, services: &[(&str, &str)]) {
        for (name, protocol) in services {
            let entry = json!({ "Kind": "service-defaults", "Name": name, "Protocol": protocol });
            self.ours
                .write_config_entry(&entry)
                .await
                .expect("an entry");
        }
        let exported = services
            .iter()
            .map(|(name, _)| json!({ "Name": name, "Consumers": [{ "Peer": "east" }] }));
        let entry = json!({ "Kind": "exported-services", "Name": "default", "Services": exported.collect::<Vec<_>>() });
        self.ours
            .write_config_entry(&entry)
            .await
            .expect("an entry");
    }

    /// What the gateway is asked for by a caller that imports `service`.
    async fn server_name(&self, service: &str) -> String {
        let path = format!("/v1/health/connect/{service}?peer=west&passing");
        let (name, after) = eventually("the import", async || {
            let entries = self.east.http().get(&path).await.ok()?.ok().ok()?;
            let meta = &entries[0]["Service"]["Connect"]["PeerMeta"];
            meta["SNI"][0].as_str().map(str::to_owned)
        })
        .await;
        println!("{service} is imported after {after:?}");
        name
    }

    /// Who may call: each source with the cluster peer it is of, if any.
    async fn intentions(&self, service: &str, sources: Value) {
        let entry = json!({ "Kind": "service-intentions", "Name": service, "Sources": sources });
        self.ours
            .write_config_entry(&entry)
            .await
            .expect("intentions");
    }
}

async fn leaf(agent: &Agent, service: &str) -> Material {
    let path = format!("/v1/agent/connect/ca/leaf/{service}");
    let leaf = agent
        .http()
        .get(&path)
        .await
        .expect("an answer")
        .ok()
        .expect("a leaf");
    let text = |key: &str| leaf[key].as_str().expect("text").to_owned();
    Material::new(text("CertPEM"), text("PrivateKeyPEM"), Vec::new())
}

/// Dials with this leaf and asks for this name. Whether it is let in shows when it is used.
async fn dial(
    to: SocketAddr,
    material: Material,
    server_name: &str,
) -> io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(to).await?;
    let config = raw_client_config(Some(material), rustls::ALL_VERSIONS);
    let name = ServerName::try_from(server_name.to_owned()).expect("a name");
    TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
}

async fn ping(stream: &mut TlsStream<TcpStream>) -> io::Result<()> {
    stream.write_all(b"ping").await?;
    stream.flush().await?;
    stream.read_exact(&mut [0; 4]).await.map(drop)
}

fn from_east(name: &str, action: &str) -> Value {
    json!({ "Name": name, "Peer": "east", "Action": action })
}

async fn gateway(agent: &Agent) -> Option<MeshGateway> {
    let gateway = envoy(agent)?.mesh_gateway().start().await;
    Some(gateway.expect("a mesh gateway"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_byte_stream_of_a_cluster_peer_goes_end_to_end_and_is_allowed_by_its_intention_alone() {
    let Some(clusters) = Clusters::start(false).await else {
        return;
    };
    let Some(gateway) = gateway(&clusters.ours).await else {
        return;
    };
    clusters.export(&[("nat", "tcp")]).await;
    let mut grace = Grace::default();
    (grace.denied, grace.drain) = (Duration::from_secs(1), Duration::from_millis(200));
    let builder = member(&clusters.ours, "nat", Source::Grpc, None).connection_grace(grace);
    let nat = builder.join().await.expect("a member");
    let served = echoing(&nat).await;
    let name = clusters.server_name("nat").await;
    let through = async |agent: &Agent, service: &str| {
        let mut stream = dial(gateway.addr(), leaf(agent, service).await, &name).await?;
        ping(&mut stream).await.map(|()| stream)
    };
    // Neither the service of ours by that name, nor one of another cluster peer, is who calls.
    clusters
        .intentions(
            "nat",
            json!([
                { "Name": "web", "Action": "allow" },
                { "Name": "web", "Peer": "north", "Action": "allow" },
            ]),
        )
        .await;
    let (_, after) = eventually("the rules are in force", async || {
        nat.intentions()
            .expect("intentions")
            .status()
            .count
            .eq(&2)
            .then_some(())
    })
    .await;
    println!("intentions after {after:?}: {}", nat.status());
    assert!(through(&clusters.east, "web").await.is_err());

    clusters
        .intentions(
            "nat",
            json!([
                { "Name": "web", "Action": "deny" },
                from_east("web", "allow"),
                from_east("*", "deny"),
            ]),
        )
        .await;
    let (mut stream, after) = eventually("allowed", async || {
        through(&clusters.east, "web").await.ok()
    })
    .await;
    println!("a caller of the cluster peer is let in {after:?} after its intention");
    assert!(
        through(&clusters.east, "billing").await.is_err(),
        "another of the cluster peer"
    );
    assert!(
        through(&clusters.ours, "web").await.is_err(),
        "ours of the same name"
    );
    ping(&mut stream).await.expect("it is open");

    clusters
        .intentions("nat", json!([from_east("web", "deny")]))
        .await;
    let began = tokio::time::Instant::now();
    let cut = stream.read(&mut [0; 1]).await;
    println!(
        "an open stream was cut {:?} after the intention was flipped",
        began.elapsed()
    );
    assert!(!matches!(cut, Ok(1..)));
    assert!(through(&clusters.east, "web").await.is_err());

    // The peering ends: whoever was let in by it goes.
    clusters
        .intentions("nat", json!([from_east("web", "allow")]))
        .await;
    let (mut stream, _) = eventually("allowed again", async || {
        through(&clusters.east, "web").await.ok()
    })
    .await;
    let deleted = clusters
        .ours
        .http()
        .delete("/v1/peering/east")
        .await
        .expect("an answer");
    deleted.ok().expect("deleted");
    let began = tokio::time::Instant::now();
    let cut = stream.read(&mut [0; 1]).await;
    println!(
        "an open stream was cut {:?} after the peering was deleted",
        began.elapsed()
    );
    assert!(!matches!(cut, Ok(1..)));
    nat.shutdown().await;
    served.await.expect("no panic");
    gateway.stop().await.expect("stopped");
}

async fn who(peer: Peer, headers: HeaderMap) -> String {
    let of = peer.cluster_peer().unwrap_or("us");
    let via = peer.via().map_or("nobody", |gateway| gateway.kind());
    let header = headers.contains_key(XFCC);
    format!("{} of {of} via {via}, header {header}", peer.id().service())
}

/// One request with this leaf, in HTTP/1.1 or h2, and what came back.
async fn ask(
    to: SocketAddr,
    material: Material,
    server_name: &str,
    h2: bool,
    claim: Option<&str>,
) -> io::Result<(StatusCode, String)> {
    let tls = TokioIo::new(dial(to, material, server_name).await?);
    let uri = if h2 { "https://api/" } else { "/" };
    let mut request = Request::get(uri);
    if !h2 {
        request = request.header(header::HOST, "api");
    }
    if let Some(claim) = claim {
        request = request.header(XFCC, claim);
    }
    let request = request.body(Empty::<Bytes>::new()).expect("a request");
    let response = if h2 {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), tls)
            .await
            .map_err(io::Error::other)?;
        tokio::spawn(connection);
        sender.send_request(request).await
    } else {
        let (mut sender, connection) = http1::handshake(tls).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        sender.send_request(request).await
    };
    let (head, body) = response.map_err(io::Error::other)?.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    Ok((head.status, String::from_utf8_lossy(&body).into_owned()))
}

async fn requests_of(protocol: &str) {
    let Some(clusters) = Clusters::start(false).await else {
        return;
    };
    let Some(gateway) = gateway(&clusters.ours).await else {
        return;
    };
    clusters.export(&[("api", protocol)]).await;
    let mut grace = Grace::default();
    (grace.denied, grace.drain) = (Duration::from_millis(500), Duration::from_millis(200));
    let builder = member(&clusters.ours, "api", Source::Grpc, None).connection_grace(grace);
    let api: Mesh = builder.join().await.expect("a member");
    let app = Router::new().route("/", get(who));
    let served = serving(&api, app).await;
    let name = clusters.server_name("api").await;
    let h2 = protocol != "http";
    let east = async |service: &str, claim: Option<&str>| {
        ask(
            gateway.addr(),
            leaf(&clusters.east, service).await,
            &name,
            h2,
            claim,
        )
        .await
    };
    // The gateway lets the caller in; the service decides.
    let (denied, _) = eventually("a refusal", async || {
        east("web", None)
            .await
            .ok()
            .filter(|(status, _)| *status == StatusCode::FORBIDDEN)
    })
    .await;
    println!("{protocol}: without an intention {denied:?}");

    clusters
        .intentions(
            "api",
            json!([{ "Name": "web", "Action": "allow" }, from_east("web", "allow")]),
        )
        .await;
    let (allowed, after) = eventually("allowed", async || {
        east("web", None)
            .await
            .ok()
            .filter(|(status, _)| status.is_success())
    })
    .await;
    println!("{protocol}: allowed {after:?} after the intention: {allowed:?}");
    assert_eq!(allowed.1, "web of east via mesh gateway, header false");

    // By the gateway's own connection, so that one caller does not stand for another.
    assert_eq!(
        east("billing", None).await.expect("an answer").0,
        StatusCode::FORBIDDEN
    );
    // The gateway lets services of its own cluster in as well; they are not whom it may speak for.
    let ours = ask(
        gateway.addr(),
        leaf(&clusters.ours, "web").await,
        &name,
        h2,
        None,
    )
    .await;
    assert_eq!(ours.expect("an answer").0, StatusCode::FORBIDDEN);

    // What a caller claims is replaced by the gateway, and ignored from everybody else.
    let trust_domain = api.identity().current().trust_domain().clone();
    let peers = api.status().cluster_peers.peers;
    let east_domain = peers[0].trust_domain.clone().expect("it is known");
    let claim = format!(
        "By=spiffe://{trust_domain}/gateway/mesh/dc/dc1;Hash=0a;URI=spiffe://{east_domain}/ns/default/dc/dc1/svc/web"
    );
    assert_eq!(
        east("billing", Some(&claim)).await.expect("an answer").0,
        StatusCode::FORBIDDEN
    );
    let entries = clusters
        .ours
        .http()
        .get("/v1/health/connect/api")
        .await
        .expect("an answer");
    let entries = entries.ok().expect("instances");
    let port = entries[0]["Service"]["Port"].as_u64().expect("a port");
    let direct = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).expect("a port")));
    let spoofed = ask(
        direct,
        leaf(&clusters.ours, "web").await,
        "api",
        false,
        Some(&claim),
    )
    .await;
    assert_eq!(
        spoofed.expect("an answer"),
        (
            StatusCode::OK,
            "web of us via nobody, header false".to_owned()
        )
    );
    let spoofed = ask(
        direct,
        leaf(&clusters.ours, "evil").await,
        "api",
        false,
        Some(&claim),
    )
    .await;
    assert_eq!(spoofed.expect("an answer").0, StatusCode::FORBIDDEN);

    clusters
        .intentions(
            "api",
            json!([{ "Name": "web", "Action": "allow" }, from_east("web", "deny")]),
        )
        .await;
    let (_, after) = eventually("denied", async || {
        let (status, _) = east("web", None).await.ok()?;
        (status == StatusCode::FORBIDDEN).then_some(())
    })
    .await;
    println!("{protocol}: denied {after:?} after the intention was flipped");
    println!("{}", api.status());
    api.shutdown().await;
    served.await.expect("no panic").expect("served");
    gateway.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_requests_come_by_the_gateway_with_its_word_for_who_calls() {
    requests_of("http").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h2_requests_come_by_the_gateway_with_its_word_for_who_calls() {
    requests_of("http2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_token_names_the_permission_it_lacks_and_given_roots_do_without_it() {
    let Some(clusters) = Clusters::start(true).await else {
        return;
    };
    clusters
        .intentions("nat", json!([from_east("web", "allow")]))
        .await;
    let token = clusters.ours.service_token("nat").await.expect("a token");
    let nat = member(&clusters.ours, "nat", Source::Grpc, Some(&token));
    let nat = nat.join().await.expect("a member");
    let served = echoing(&nat).await;
    let status = nat.status();
    let peer = &status.cluster_peers.peers[0];
    println!("{status}");
    assert!(
        !peer.usable && peer.to_string().contains("`peering:read`"),
        "{peer}"
    );
    let entries = clusters
        .ours
        .http()
        .get("/v1/health/connect/nat")
        .await
        .expect("an answer");
    let port = entries.ok().expect("instances")[0]["Service"]["Port"]
        .as_u64()
        .expect("a port");
    let direct = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).expect("a port")));
    let call = async |to| {
        let mut stream = dial(to, leaf(&clusters.east, "web").await, "nat").await?;
        ping(&mut stream).await
    };
    assert!(call(direct).await.is_err(), "whose roots are not known");
    nat.shutdown().await;
    served.await.expect("no panic");

    let roots = clusters
        .east
        .http()
        .get("/v1/connect/ca/roots")
        .await
        .expect("an answer");
    let roots = roots.ok().expect("roots");
    let pems = roots["Roots"].as_array().expect("a list").iter();
    let pems: Vec<&str> = pems.filter_map(|root| root["RootCert"].as_str()).collect();
    let given = ClusterPeer::new("east", Roots::from_pem(pems, None).expect("roots"));
    let nat = member(&clusters.ours, "nat", Source::Grpc, Some(&token));
    let nat = nat.cluster_peer(given).join().await.expect("a member");
    let mut listener = nat.listen("127.0.0.1:0").await.expect("a socket");
    let direct = listener.local_addr();
    let accepting = async {
        let mut stream = listener.accept().await.expect("a stream");
        let mut heard = [0; 4];
        stream.read_exact(&mut heard).await.expect("it is open");
        stream.write_all(&heard).await.expect("it is open");
        stream.flush().await.expect("it is open");
        stream.peer().cluster_peer().map(str::to_owned)
    };
    let (called, of) = tokio::join!(call(direct), accepting);
    called.expect("let in");
    assert_eq!(of.as_deref(), Some("east"));
}

/// Each key with the kind of its value.
fn shape(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                shape(value, &format!("{path}.{key}"), found);
            }
        }
        Value::Array(elements) => {
            found.push(format!("{path} is a list"));
            for element in elements.iter().take(1) {
                shape(element, &format!("{path}[]"), found);
            }
        }
        Value::Null => found.push(format!("{path} is null")),
        Value::Bool(_) => found.push(format!("{path} is a boolean")),
        Value::Number(_) => found.push(format!("{path} is a number")),
        Value::String(_) => found.push(format!("{path} is text")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peering_made_up_by_the_development_consul_looks_like_a_real_one() {
    let Some(clusters) = Clusters::start(false).await else {
        return;
    };
    let real = clusters
        .ours
        .http()
        .get("/v1/peering/east")
        .await
        .expect("an answer");
    let dev = ConsulDev::start().await.expect("a Consul");
    dev.set_peering("east", "ACTIVE", ["a root"]);
    let made_up = mesh_lab::Http::at(dev.http_socket_addr());
    let made_up = made_up.get("/v1/peering/east").await.expect("an answer");
    for name in [
        "content-type",
        "x-consul-knownleader",
        "x-consul-lastcontact",
        "x-consul-query-backend",
    ] {
        assert_eq!(real.header(name), made_up.header(name), "{name}");
    }
    let shapes = [real, made_up].map(|reply| {
        let mut found = Vec::new();
        shape(&reply.ok().expect("a peering"), "", &mut found);
        found.sort();
        found
    });
    assert_eq!(shapes[0], shapes[1]);
}
