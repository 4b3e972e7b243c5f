//! The peers that nobody here wrote, with one another: what the tests of our own crates rely on.

use std::{net::SocketAddr, time::Duration};

use mesh_lab::{Agent, Version};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

async fn agent(version: Version) -> Option<Agent> {
    let consul = mesh_lab::consul(version)?;
    Some(consul.start().await.expect("an agent starts"))
}

async fn protocol(agent: &Agent, service: &str, protocol: &str) {
    let entry = json!({ "Kind": "service-defaults", "Name": service, "Protocol": protocol });
    agent
        .write_config_entry(&entry)
        .await
        .expect("an entry is written");
}

/// A plaintext application that answers every request with its head.
struct Application {
    address: SocketAddr,
    _connections: JoinSet<()>,
}

impl Application {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let address = listener.local_addr().expect("an address");
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                open.spawn(async move {
                    let mut head = Vec::new();
                    while let Ok(byte) = stream.read_u8().await {
                        head.push(byte);
                        if head.ends_with(b"\r\n\r\n") {
                            let answer = format!(
                                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
                                head.len()
                            );
                            let written = stream.write_all(answer.as_bytes()).await;
                            if written.and(stream.write_all(&head).await).is_err() {
                                return;
                            }
                            head.clear();
                        }
                    }
                });
            }
        });
        Self {
            address,
            _connections: connections,
        }
    }
}

/// One request over a connection of its own: the whole answer.
async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nhost: lab\r\nconnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("a request goes out");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .await
        .expect("an answer comes back");
    answer
}

#[tokio::test]
async fn the_go_peer_calls_itself_over_http_and_is_cut_by_an_intention() {
    let Some(agent) = agent(Version::Newest).await else {
        return;
    };
    let Some(go) = mesh_lab::go_peer(&agent) else {
        return;
    };
    let server = go.serve("orders").start().await.expect("a server starts");
    let mut client = go
        .dial("web", "orders")
        .start()
        .await
        .expect("a client starts");
    let fate = client.request("POST", "/a", "body").await.expect("a fate");
    assert_eq!((fate.ok, fate.status), (true, Some(200)), "{fate:?}");
    assert_eq!(fate.protocol, "HTTP/2.0");
    assert!(fate.body.contains("/svc/web"), "{fate:?}");
    let seen = server
        .event(|event| event["path"] == "/a")
        .await
        .expect("the server saw it");
    assert_eq!(seen["body"], 4);

    agent
        .set_intention("web", "orders", "deny")
        .await
        .expect("an intention is written");
    // The agent's cache of intentions follows.
    let denied = loop {
        let fate = client.fresh_request("GET", "/b", "").await.expect("a fate");
        if !fate.ok {
            break fate;
        }
    };
    assert!(denied.error.contains("bad certificate"), "{denied:?}");
    server
        .event(|event| event["event"] == "refused")
        .await
        .expect("the server says so");
    server.stop().await.expect("it stops");
    let listed = agent.http().get("/v1/health/connect/orders").await;
    assert_eq!(
        listed.and_then(mesh_lab::Reply::ok).expect("a list"),
        json!([])
    );
}

#[tokio::test]
async fn the_go_peer_echoes_bytes_and_consuls_own_proxy_carries_them() {
    let Some(agent) = agent(Version::Newest).await else {
        return;
    };
    let (Some(go), Some(proxy)) = (mesh_lab::go_peer(&agent), mesh_lab::connect_proxy(&agent))
    else {
        return;
    };
    let server = go.serve("db").tcp().start().await.expect("a server starts");
    let mut client = go
        .dial("web", "db")
        .tcp()
        .start()
        .await
        .expect("a client starts");
    let fate = client.echo("hello").await.expect("a fate");
    assert_eq!((fate.ok, fate.body.as_str()), (true, "hello"), "{fate:?}");
    assert_eq!(fate.tls, "TLS 1.3");

    let proxy = proxy.start("batch", "db", None).await.expect("it starts");
    let mut stream = TcpStream::connect(proxy.address())
        .await
        .expect("a connection");
    stream.write_all(b"bytes").await.expect("they go out");
    let mut back = [0; 5];
    stream.read_exact(&mut back).await.expect("they come back");
    assert_eq!(&back, b"bytes");
    let caller = |event: &serde_json::Value| {
        event["peer"]
            .as_str()
            .is_some_and(|peer| peer.ends_with("/svc/batch"))
    };
    server.event(caller).await.expect("it came as batch");
}

#[tokio::test]
async fn the_go_peer_counts_what_became_of_a_load() {
    let Some(agent) = agent(Version::Newest).await else {
        return;
    };
    let Some(go) = mesh_lab::go_peer(&agent) else {
        return;
    };
    // Without ALPN both ends speak HTTP/1.1, as a client over `Dial` must.
    let server = go.serve("orders").alpn("none");
    let _server = server.start().await.expect("a server starts");
    for over_dial in [false, true] {
        let duration = Duration::from_millis(300);
        let seen = go
            .load("web", "orders", "/kilobyte", 4, duration, over_dial)
            .await
            .expect("a load");
        println!("over_dial {over_dial}: {seen:?}");
        assert!(seen.ok > 0 && seen.failed.is_empty(), "{seen:?}");
    }
}

async fn one_sidecar_calls_the_other(version: Version) {
    let Some(agent) = agent(version).await else {
        return;
    };
    let Some(envoy) = mesh_lab::envoy(&agent) else {
        return;
    };
    protocol(&agent, "api", "http").await;
    let application = Application::start().await;
    let began = tokio::time::Instant::now();
    let api = envoy
        .sidecar("api")
        .application(application.address)
        .start()
        .await
        .expect("a sidecar starts");
    let web = envoy
        .sidecar("web")
        .upstream("api")
        .start()
        .await
        .expect("a sidecar starts");
    println!("two sidecars are ready after {:?}", began.elapsed());
    let answer = get(web.upstream("api"), "/a").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("/svc/web"), "who called: {answer}");
    let stat = "http.public_listener.downstream_rq_total";
    assert_eq!(api.stat(stat).await.expect("a counter"), 1);

    // Consul finds out that Envoy is gone.
    api.kill().expect("it is killed");
    let end = tokio::time::Instant::now() + Duration::from_secs(60);
    while agent
        .http()
        .get("/v1/health/connect/api?passing")
        .await
        .and_then(mesh_lab::Reply::ok)
        .expect("a list")
        != json!([])
    {
        assert!(tokio::time::Instant::now() < end, "still passing");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    web.stop().await.expect("it stops");
    let services = agent.http().get("/v1/agent/services").await;
    let services = services.and_then(mesh_lab::Reply::ok).expect("a list");
    let left: Vec<_> = services.as_object().into_iter().flatten().collect();
    assert_eq!(left.len(), 2, "api and its sidecar are left: {left:?}");
}

#[tokio::test]
async fn one_sidecar_calls_the_other_under_the_newest_consul() {
    one_sidecar_calls_the_other(Version::Newest).await;
}

#[tokio::test]
async fn one_sidecar_calls_the_other_under_the_oldest_consul() {
    one_sidecar_calls_the_other(Version::Oldest).await;
}

#[tokio::test]
async fn a_sidecar_calls_the_go_peer() {
    let Some(agent) = agent(Version::Newest).await else {
        return;
    };
    let (Some(go), Some(envoy)) = (mesh_lab::go_peer(&agent), mesh_lab::envoy(&agent)) else {
        return;
    };
    let _server = go.serve("orders").start().await.expect("a server starts");
    let web = envoy
        .sidecar("web")
        .upstream_speaking("orders", "http")
        .start()
        .await
        .expect("a sidecar starts");
    let answer = get(web.upstream("orders"), "/a").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("/svc/web over HTTP/1.1"), "{answer}");
}
