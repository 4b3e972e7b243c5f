//! Envoy sidecars under the same Consul: they call us and are called, over every protocol there is, when they may.

use std::{collections::BTreeMap, future::ready, net::SocketAddr, time::Duration};

use axum::{extract::Request, middleware, routing::any};
use bytes::Bytes;
use consul_connect::{Peer, ServiceId, TlsVersion};
use http::{StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_lab::{Sidecar, Version};
use mesh_tests::{
    InventoryClient, InventoryServer,
    peers::{World, becomes, chain, who_calls},
    real_mesh::{echoing, serving},
};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tower_mesh::{Client, Mesh};

/// What a byte stream may take; a refused one may stay silent.
const SILENCE: Duration = Duration::from_secs(20);

/// A service for each protocol; the name says which.
const SERVICES: [(&str, &str); 4] = [
    ("api-http", "http"),
    ("api-http2", "http2"),
    ("api-grpc", "grpc"),
    ("api-tcp", "tcp"),
];

/// Applications that know nothing of a mesh: in plaintext on loopback, with whatever their sidecar tells them.
struct Applications {
    http: SocketAddr,
    tcp: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Applications {
    async fn start() -> Self {
        async fn answer(request: Request) -> String {
            let caller = request.headers().get("x-forwarded-client-cert");
            let caller = caller.and_then(|value| value.to_str().ok()).unwrap_or("");
            let uri = caller.split(';').find_map(|part| part.strip_prefix("URI="));
            format!(
                "{} by {} over {:?}",
                request.uri().path(),
                uri.unwrap_or("?"),
                request.version()
            )
        }
        // The service wants to know its caller, which a sidecar does not say for gRPC.
        let peer = ServiceId::new(
            "nobody.consul".parse().unwrap(),
            "dc1",
            "envoy".parse().unwrap(),
        );
        let peer = Peer::for_test(peer);
        let with_peer = middleware::map_request(move |mut request: Request| {
            request.extensions_mut().insert(peer.clone());
            ready(request)
        });
        let app = tonic::service::Routes::new(InventoryServer::default())
            .into_axum_router()
            .layer(with_peer)
            .fallback(any(answer));
        let mut tasks = JoinSet::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = listener.local_addr().unwrap();
        tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = listener.local_addr().unwrap();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                open.spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    let _ = tokio::io::copy(&mut reader, &mut writer).await;
                });
            }
        });
        Self {
            http,
            tcp,
            _tasks: tasks,
        }
    }
}

async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), String> {
    let mut back = [0; 5];
    let exchange = async {
        stream.write_all(b"hello").await?;
        stream.flush().await?;
        stream.read_exact(&mut back).await
    };
    match timeout(SILENCE, exchange).await {
        Ok(Ok(_)) if &back == b"hello" => Ok(()),
        Ok(Ok(_)) => Err(format!("{back:?} came back")),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("silence".to_owned()),
    }
}

/// Turns what must not go through into what must.
fn denied<T: std::fmt::Debug, E: std::fmt::Debug>(result: Result<T, E>) -> Result<E, String> {
    match result {
        Ok(answer) => Err(format!("it goes through: {answer:?}")),
        Err(error) => Ok(error),
    }
}

/// One call of each kind by a member of ours.
async fn we_call(web: &Mesh, client: &Client) -> Result<String, String> {
    match client.name() {
        "api-grpc" => {
            let mut inventory = InventoryClient::new(client.clone());
            let stock = inventory.count("lamp").await.map_err(|s| s.to_string())?;
            let all = inventory
                .count_up("lamp")
                .await
                .map_err(|s| s.to_string())?;
            Ok(format!("{} and {} in a stream", stock.count, all.len()))
        }
        "api-tcp" => {
            let stream = web.connect("api-tcp").await.map_err(|e| chain(&e))?;
            echo(stream).await.map(|()| "echo".to_owned())
        }
        _ => {
            let response = client.get("/a").send().await;
            let response = response.map_err(|e| chain(&e))?;
            let status = response.status();
            let text = response.text().await.map_err(|e| chain(&e))?;
            match status {
                StatusCode::OK => Ok(text),
                _ => Err(format!("{status} {text}")),
            }
        }
    }
}

fn expect_answer(service: &str, answer: &str) {
    match service {
        "api-http" => assert!(
            answer.starts_with("/a by spiffe://") && answer.ends_with("/svc/web over HTTP/1.1"),
            "{answer}"
        ),
        "api-http2" => assert!(
            answer.starts_with("/a by spiffe://") && answer.ends_with("/svc/web over HTTP/2.0"),
            "{answer}"
        ),
        "api-grpc" => assert_eq!(answer, "4 and 4 in a stream"),
        _ => assert_eq!(answer, "echo"),
    }
}

async fn sidecars(world: &World, applications: &Applications) -> Option<Vec<Sidecar>> {
    let envoy = mesh_lab::envoy(&world.agent)?;
    let mut all = Vec::new();
    for (service, protocol) in SERVICES {
        world.protocol(service, protocol).await;
        let address = match protocol {
            "tcp" => applications.tcp,
            _ => applications.http,
        };
        let sidecar = envoy.sidecar(service).application(address);
        let sidecar = sidecar.token(&world.token(service).await);
        all.push(sidecar.start().await.unwrap());
    }
    Some(all)
}

async fn we_call_services_behind_envoy(version: Version) {
    let Some(world) = World::start(version).await else {
        return;
    };
    let applications = Applications::start().await;
    let Some(_sidecars) = sidecars(&world, &applications).await else {
        return;
    };
    let web = world.join("web").await;
    for (service, _) in SERVICES {
        let client = web.client(service);
        let refusal = becomes(&format!("{service} denied"), async || {
            denied(we_call(&web, &client).await)
        })
        .await;
        println!("  {refusal}");
        world.intention("web", service, true).await;
        let answer = becomes(&format!("{service} allowed"), async || {
            we_call(&web, &client).await
        })
        .await;
        println!("  {answer}");
        expect_answer(service, &answer);
        world.intention("web", service, false).await;
        becomes(&format!("{service} denied again"), async || {
            denied(we_call(&web, &client).await)
        })
        .await;
        world.intention("web", service, true).await;
        becomes(&format!("{service} allowed again"), async || {
            we_call(&web, &client).await
        })
        .await;
    }
    web.shutdown().await;
}

#[tokio::test]
async fn we_call_services_behind_envoy_under_the_newest_consul() {
    we_call_services_behind_envoy(Version::Newest).await;
}

#[tokio::test]
async fn we_call_services_behind_envoy_under_the_oldest_consul() {
    we_call_services_behind_envoy(Version::Oldest).await;
}

/// One call of each kind through a sidecar, in plaintext as its application makes it.
async fn envoy_calls(web: &Sidecar, service: &str) -> Result<String, String> {
    let address = web.upstream(service);
    let stream = TcpStream::connect(address)
        .await
        .map_err(|e| e.to_string())?;
    let get = |uri: Uri| {
        let request = http::Request::get(uri).header("host", "lab");
        request.body(Empty::<Bytes>::new()).unwrap()
    };
    let mut tasks = JoinSet::new();
    let response = match service {
        "api-tcp" => return echo(stream).await.map(|()| "echo".to_owned()),
        "api-grpc" => {
            let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
            let (sender, connection) = handshake.map_err(|e| e.to_string())?;
            tasks.spawn(async move { drop(connection.await) });
            let channel =
                tower::service_fn(move |mut request: http::Request<tonic::body::Body>| {
                    let path = request.uri().path().to_owned();
                    *request.uri_mut() = format!("http://lab{path}").parse().unwrap();
                    let mut sender = sender.clone();
                    async move { sender.send_request(request).await }
                });
            let mut inventory = InventoryClient::new(channel);
            let stock = inventory.count("lamp").await.map_err(|s| s.to_string())?;
            let all = inventory.count_up("lamp").await;
            let all = all.map_err(|s| s.to_string())?;
            return Ok(format!(
                "{} and {} in a stream by {}",
                stock.count,
                all.len(),
                stock.caller
            ));
        }
        "api-http2" => {
            let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
            let (mut sender, connection) = handshake.map_err(|e| e.to_string())?;
            tasks.spawn(async move { drop(connection.await) });
            sender
                .send_request(get(Uri::from_static("http://lab/a")))
                .await
        }
        _ => {
            let handshake = http1::handshake(TokioIo::new(stream)).await;
            let (mut sender, connection) = handshake.map_err(|e| e.to_string())?;
            tasks.spawn(async move { drop(connection.await) });
            sender.send_request(get(Uri::from_static("/a"))).await
        }
    };
    let response = response.map_err(|e| e.to_string())?;
    let status = response.status();
    let body = response.into_body().collect().await;
    let body = body.map_err(|e| e.to_string())?.to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    match status {
        StatusCode::OK => Ok(text),
        _ => Err(format!("{status} {text}")),
    }
}

async fn sidecar_of_web(world: &World) -> Option<Sidecar> {
    let envoy = mesh_lab::envoy(&world.agent)?;
    let mut web = envoy.sidecar("web").token(&world.token("web").await);
    for (service, protocol) in SERVICES {
        world.protocol(service, protocol).await;
        web = web.upstream(service);
    }
    Some(web.start().await.unwrap())
}

async fn envoy_calls_us(version: Version) {
    let Some(world) = World::start(version).await else {
        return;
    };
    let Some(web) = sidecar_of_web(&world).await else {
        return;
    };
    for (service, protocol) in SERVICES {
        let mesh = world.join(service).await;
        let mut served = JoinSet::new();
        if protocol == "tcp" {
            let task = echoing(&mesh).await;
            served.spawn(async move { task.await.unwrap() });
        } else {
            let app = tonic::service::Routes::new(InventoryServer::default())
                .into_axum_router()
                .fallback_service(who_calls());
            let task = serving(&mesh, app).await;
            served.spawn(async move { task.await.unwrap().unwrap() });
        }
        let refusal = becomes(&format!("{service} denied"), async || {
            // Until Envoy knows where the service is, it answers with 503 by itself.
            denied(envoy_calls(&web, service).await).and_then(|refusal| {
                match refusal.contains("503") || refusal.contains("no healthy") {
                    true => Err(refusal),
                    false => Ok(refusal),
                }
            })
        })
        .await;
        println!("  {refusal}");
        world.intention("web", service, true).await;
        let answer = becomes(&format!("{service} allowed"), async || {
            envoy_calls(&web, service).await
        })
        .await;
        println!("  {answer}");
        match service {
            "api-http" => assert_eq!(answer, "GET /a by web over HTTP/1.1 with 0"),
            "api-http2" => assert_eq!(answer, "GET /a by web over HTTP/2.0 with 0"),
            "api-grpc" => assert_eq!(answer, "4 and 4 in a stream by web"),
            _ => assert_eq!(answer, "echo"),
        }
        world.intention("web", service, false).await;
        becomes(&format!("{service} denied again"), async || {
            denied(envoy_calls(&web, service).await)
        })
        .await;
        world.intention("web", service, true).await;
        becomes(&format!("{service} allowed again"), async || {
            envoy_calls(&web, service).await
        })
        .await;
        mesh.shutdown().await;
        served.join_all().await;
    }
}

#[tokio::test]
async fn a_client_behind_envoy_calls_us_under_the_newest_consul() {
    envoy_calls_us(Version::Newest).await;
}

#[tokio::test]
async fn a_client_behind_envoy_calls_us_under_the_oldest_consul() {
    envoy_calls_us(Version::Oldest).await;
}

/// The cipher suite that is asked for, as Consul calls it and as Envoy counts it. Nobody here would choose it by itself.
const CHACHA: (&str, &str) = (
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
);

/// The handshakes that Envoy has counted by version of TLS and by cipher suite, over all its listeners and clusters.
async fn handshakes(sidecar: &Sidecar) -> BTreeMap<String, u64> {
    let admin = sidecar.admin();
    let stats = admin.get("/stats?filter=ssl.(versions%7Cciphers)").await;
    let text = stats.unwrap().text;
    let mut all = BTreeMap::new();
    for (name, count) in text.lines().filter_map(|line| line.split_once(": ")) {
        let Some((_, (_, what))) = name
            .split_once(".ssl.")
            .and_then(|(scope, rest)| Some((scope, rest.split_once('.')?)))
        else {
            continue;
        };
        *all.entry(what.to_owned()).or_default() += count.trim().parse().unwrap_or(0);
    }
    all.retain(|_, count| *count > 0);
    all
}

fn count(handshakes: &BTreeMap<String, u64>, what: &str) -> u64 {
    handshakes.get(what).copied().unwrap_or(0)
}

async fn mesh_tls(world: &World, tls: serde_json::Value) {
    let entry = json!({ "Kind": "mesh", "TLS": tls });
    world.agent.write_config_entry(&entry).await.unwrap();
}

#[tokio::test]
async fn services_behind_envoy_are_called_with_the_tls_that_the_mesh_entry_asks_of_them() {
    let Some(world) = World::start(Version::Newest).await else {
        return;
    };
    let applications = Applications::start().await;
    let Some(sidecars) = sidecars(&world, &applications).await else {
        return;
    };
    let tcp = &sidecars[3];
    let web = world.join("web").await;
    world.intention("web", "api-tcp", true).await;
    let client = web.client("api-tcp");
    // A byte stream is a connection of its own each time.
    becomes("allowed", async || we_call(&web, &client).await).await;
    assert!(count(&handshakes(tcp).await, "TLSv1.3") > 0);
    for (what, tls, version) in [
        (
            "at most TLS 1.2",
            json!({ "Incoming": { "TLSMinVersion": "TLSv1_2", "TLSMaxVersion": "TLSv1_2" } }),
            "TLSv1.2",
        ),
        (
            "one cipher suite of TLS 1.2",
            json!({ "Incoming": {
                "TLSMaxVersion": "TLSv1_2",
                "CipherSuites": [CHACHA.0],
            } }),
            CHACHA.1,
        ),
        (
            "at least TLS 1.3",
            json!({ "Incoming": { "TLSMinVersion": "TLSv1_3" } }),
            "TLSv1.3",
        ),
        (
            "at most TLS 1.2 of us",
            json!({ "Outgoing": { "TLSMaxVersion": "TLSv1_2" } }),
            "TLSv1.2",
        ),
        (
            "one cipher suite of TLS 1.2 of us",
            json!({ "Outgoing": {
                "TLSMaxVersion": "TLSv1_2",
                "CipherSuites": [CHACHA.0],
            } }),
            CHACHA.1,
        ),
        (
            // Which would break an Envoy that calls; see below.
            "at least TLS 1.3 of us, without a maximum",
            json!({ "Outgoing": { "TLSMinVersion": "TLSv1_3" } }),
            "TLSv1.3",
        ),
    ] {
        let before = count(&handshakes(tcp).await, version);
        mesh_tls(&world, tls).await;
        becomes(what, async || {
            we_call(&web, &client).await?;
            let seen = handshakes(tcp).await;
            match count(&seen, version) > before {
                true => Ok(()),
                false => Err(format!("{seen:?}")),
            }
        })
        .await;
        println!("  {:?}", handshakes(tcp).await);
    }
}

#[tokio::test]
async fn clients_behind_envoy_call_us_with_the_tls_that_the_mesh_entry_asks_of_them() {
    let Some(world) = World::start(Version::Newest).await else {
        return;
    };
    let Some(web) = sidecar_of_web(&world).await else {
        return;
    };
    let service = "api-tcp";
    let mesh = world.join(service).await;
    let served = echoing(&mesh).await;
    world.intention("web", service, true).await;
    becomes("by default", async || envoy_calls(&web, service).await).await;
    let seen = handshakes(&web).await;
    println!("  {seen:?}");
    assert!(count(&seen, "TLSv1.2") > 0, "{seen:?}");

    let cipher = json!({ "Incoming": { "CipherSuites": [CHACHA.0] } });
    mesh_tls(&world, cipher).await;
    becomes("one cipher suite of TLS 1.2 of us", async || {
        envoy_calls(&web, service).await?;
        let seen = handshakes(&web).await;
        match count(&seen, CHACHA.1) {
            0 => Err(format!("{seen:?}")),
            _ => Ok(()),
        }
    })
    .await;
    println!("  {:?}", handshakes(&web).await);

    let minimum = json!({ "Incoming": { "TLSMinVersion": "TLSv1_3" } });
    mesh_tls(&world, minimum).await;
    let refusal = becomes(
        "at least TLS 1.3 of us refuses an Envoy that speaks 1.2 at most",
        async || denied(envoy_calls(&web, service).await),
    )
    .await;
    println!("  {refusal}; {}", mesh.status().tls);

    let both = json!({
        "Incoming": { "TLSMinVersion": "TLSv1_3" },
        "Outgoing": { "TLSMinVersion": "TLSv1_3", "TLSMaxVersion": "TLSv1_3" },
    });
    let before = count(&handshakes(&web).await, "TLSv1.3");
    mesh_tls(&world, both).await;
    becomes("at least TLS 1.3 of both", async || {
        envoy_calls(&web, service).await?;
        let seen = handshakes(&web).await;
        match count(&seen, "TLSv1.3") > before {
            true => Ok(()),
            false => Err(format!("{seen:?}")),
        }
    })
    .await;
    println!("  {:?}", handshakes(&web).await);

    let maximum = json!({ "Outgoing": { "TLSMinVersion": "TLSv1_3", "TLSMaxVersion": "TLSv1_3" } });
    mesh_tls(&world, maximum).await;
    becomes("at least TLS 1.3", async || {
        envoy_calls(&web, service).await?;
        let seen = handshakes(&web).await;
        match count(&seen, "TLSv1.3") {
            0 => Err(format!("{seen:?}")),
            _ => Ok(()),
        }
    })
    .await;
    println!("  {:?}", handshakes(&web).await);

    // Consul's: Envoy's own maximum stays TLS 1.2, so that a minimum alone leaves it no version at all.
    mesh_tls(
        &world,
        json!({ "Outgoing": { "TLSMinVersion": "TLSv1_3" } }),
    )
    .await;
    let refusal = becomes(
        "a minimum of TLS 1.3 alone breaks every upstream",
        async || denied(envoy_calls(&web, service).await),
    )
    .await;
    println!("  {refusal}");

    let cipher = json!({ "Outgoing": { "CipherSuites": [CHACHA.0] } });
    mesh_tls(&world, cipher).await;
    becomes("one cipher suite of TLS 1.2", async || {
        envoy_calls(&web, service).await?;
        let seen = handshakes(&web).await;
        match count(&seen, CHACHA.1) {
            0 => Err(format!("{seen:?}")),
            _ => Ok(()),
        }
    })
    .await;
    println!("  {:?}", handshakes(&web).await);
    mesh.shutdown().await;
    served.await.unwrap();
}

#[tokio::test]
async fn members_of_ours_call_each_other_with_the_tls_that_the_mesh_entry_asks_of_them() {
    let Some(world) = World::start(Version::Newest).await else {
        return;
    };
    let service = "api-tcp";
    let api = world.join(service).await;
    let served = echoing(&api).await;
    let web = world.join("web").await;
    world.intention("web", service, true).await;
    let entry = |direction: &str, tls: serde_json::Value| json!({ direction: tls });
    for direction in ["Incoming", "Outgoing"] {
        for (what, tls, version, suite) in [
            (
                "at most TLS 1.2",
                json!({ "TLSMaxVersion": "TLSv1_2" }),
                TlsVersion::V1_2,
                None,
            ),
            (
                "one cipher suite of TLS 1.2",
                json!({ "TLSMaxVersion": "TLSv1_2", "CipherSuites": [CHACHA.0] }),
                TlsVersion::V1_2,
                Some(CHACHA.0),
            ),
            (
                "at least TLS 1.3",
                json!({ "TLSMinVersion": "TLSv1_3" }),
                TlsVersion::V1_3,
                None,
            ),
        ] {
            mesh_tls(&world, entry(direction, tls)).await;
            let negotiated = becomes(&format!("{direction}: {what}"), async || {
                let stream = web.connect(service).await.map_err(|e| chain(&e))?;
                let negotiated = stream.negotiated();
                echo(stream).await?;
                let named = suite.is_none_or(|suite| suite == negotiated.cipher_suite);
                match negotiated.version == version && named {
                    true => Ok(negotiated),
                    false => Err(format!("{negotiated:?}")),
                }
            })
            .await;
            println!("  {negotiated:?}");
        }
    }
    api.shutdown().await;
    served.await.unwrap();
}
