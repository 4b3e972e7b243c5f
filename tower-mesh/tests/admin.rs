//! What operators see of a member: its metrics and its status, on a port of their own.
#![cfg(all(feature = "admin", feature = "axum"))]

use std::{net::SocketAddr, time::Duration};

use axum::{Router, routing::get};
use consul_dev::ConsulDev;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};
use tower_mesh::{ErrorKind, Mesh, MeshBuilder, Peer, consul_api::Config};

fn member(consul: &ConsulDev, service: &str) -> MeshBuilder {
    let grpc = consul.grpc_addr().parse().expect("an address");
    let config = Config::new(consul.http_addr())
        .expect("an address")
        .with_grpc_address(grpc);
    Mesh::builder(service)
        .consul(config)
        .rotation_spread(Duration::from_millis(10))
        .drain_grace(Duration::ZERO)
        .admin(0)
}

/// Status, content type and text of an answer of the admin listener.
async fn ask(mesh: &Mesh, method: &str, path: &str) -> (u16, String, String) {
    let tcp = TcpStream::connect(address(mesh)).await.expect("it listens");
    let (mut http, driver) = hyper::client::conn::http1::handshake(TokioIo::new(tcp))
        .await
        .expect("HTTP/1.1");
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("host", "admin")
        .body(Empty::<bytes::Bytes>::new())
        .expect("a request");
    let exchange = async {
        let response = http.send_request(request).await.expect("a response");
        let kind = response.headers()["content-type"].to_str().expect("text");
        let (status, kind) = (response.status().as_u16(), kind.to_owned());
        let body = response.into_body().collect().await.expect("a body");
        let text = String::from_utf8(body.to_bytes().to_vec()).expect("UTF-8");
        (status, kind, text)
    };
    tokio::select! {
        answer = exchange => answer,
        ended = driver => panic!("the connection ended: {ended:?}"),
    }
}

fn address(mesh: &Mesh) -> SocketAddr {
    mesh.admin_addr().expect("an admin listener")
}

/// Scrapes until a series has this value.
async fn until(mesh: &Mesh, series: &str, value: &str) {
    let began = Instant::now();
    loop {
        let (_, _, text) = ask(mesh, "GET", "/metrics").await;
        if text.lines().any(|line| line == format!("{series} {value}")) {
            return;
        }
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "no `{series} {value}` in\n{text}"
        );
        sleep(Duration::from_millis(10)).await;
    }
}

async fn serving(mesh: &Mesh) -> tokio::task::JoinHandle<Result<(), tower_mesh::Error>> {
    let app = Router::new().route(
        "/",
        get(async |caller: Peer| caller.id().service().to_string()),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let server = mesh.clone();
    let task = tokio::spawn(async move { server.serve_on(listener, app).await });
    mesh.ready().await.expect("ready");
    task
}

#[tokio::test]
async fn requests_decisions_and_connections_are_counted_on_both_sides() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let api = member(&consul, "api").join().await.expect("joined");
    let web = member(&consul, "web").join().await.expect("joined");
    let _served = serving(&api).await;
    let client = web.client("api");
    for _ in 0..3 {
        let response = client.get("/").send().await.expect("a response");
        assert_eq!(response.text().await.expect("text"), "web");
    }
    assert_eq!(
        client.get("/nothing").send().await.expect("one").status(),
        404
    );
    consul.set_intention("web", "api", false).expect("written");
    let began = Instant::now();
    while client.get("/").send().await.expect("one").status() != 403 {
        assert!(began.elapsed() < Duration::from_secs(20), "never denied");
    }

    let labels = |own: &str, direction: &str, peer: &str, rest: &str| {
        format!(
            r#"{{service="{own}",direction="{direction}",peer="{peer}",protocol="http"{rest}}}"#
        )
    };
    for (mesh, own, direction, peer) in [(&api, "api", "in", "web"), (&web, "web", "out", "api")] {
        let code = |code| labels(own, direction, peer, &format!(r#",code="{code}""#));
        until(mesh, &format!("mesh_requests_total{}", code(404)), "1").await;
        until(mesh, &format!("mesh_requests_total{}", code(403)), "1").await;
        let ends = |result| format!(r#"{{service="{own}",direction="{direction}"{result}}}"#);
        let made = ends(r#",result="ok""#);
        until(mesh, &format!("mesh_handshakes_total{made}"), "1").await;
    }
    let (_, _, text) = ask(&api, "GET", "/metrics").await;
    for part in [
        "# TYPE mesh_request_duration_seconds histogram",
        "# HELP mesh_requests_total Requests that ended.",
        r#"mesh_decisions_total{service="api",decision="deny",layer="request",reason="intention"} 1"#,
        r#"mesh_request_duration_seconds_bucket{service="api",direction="in",peer="web",protocol="http",le="+Inf"}"#,
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    assert!(!text.contains("/nothing"), "a path is no label:\n{text}");
}

#[tokio::test]
async fn in_shadow_mode_everybody_gets_in_and_the_denials_are_counted() {
    let consul = ConsulDev::start().await.expect("a Consul");
    for destination in ["api", "db"] {
        consul
            .set_intention("web", destination, false)
            .expect("written");
    }
    let shadowed = |service: &str| member(&consul, service).dangerously_shadow();
    let api = shadowed("api").join().await.expect("joined");
    let db = shadowed("db").join().await.expect("joined");
    let web = member(&consul, "web").join().await.expect("joined");
    let _served = serving(&api).await;
    let mut listener = db.listen("127.0.0.1:0").await.expect("a socket");
    db.ready().await.expect("ready");

    let response = web.client("api").get("/").send().await.expect("a response");
    assert_eq!(
        response.text().await.expect("text"),
        "web",
        "who calls is still known"
    );
    let (out, accepted) = tokio::join!(web.connect("db"), listener.accept());
    let (mut out, mut inn) = (out.expect("a stream"), accepted.expect("a stream"));
    out.write_all(b"!").await.expect("sent");
    out.flush().await.expect("sent");
    assert_eq!(inn.read_u8().await.expect("let in"), b'!');

    for (mesh, service, layer) in [(&api, "api", "request"), (&db, "db", "connection")] {
        let denied = format!(
            r#"mesh_decisions_total{{service="{service}",decision="shadow_deny",layer="{layer}",reason="intention"}}"#
        );
        until(mesh, &denied, "1").await;
        let text = mesh.status().to_string();
        assert!(text.contains("SHADOW MODE, nothing is enforced"), "{text}");
        let (_, _, json) = ask(mesh, "GET", "/status?format=json").await;
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json["intentions"]["shadow"], true, "{json}");
    }
    let caller = web.identity().current().id().clone();
    let explained = api.explain::<()>(&caller, None).expect("by intentions");
    assert!(explained.to_string().contains("denied"), "{explained}");
    assert!(
        !web.status().to_string().contains("SHADOW"),
        "it shadows nothing"
    );
}

#[tokio::test]
async fn byte_streams_and_strangers_are_counted() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let db = member(&consul, "db").join().await.expect("joined");
    let web = member(&consul, "web").join().await.expect("joined");
    let mut listener = db.listen("127.0.0.1:0").await.expect("a socket");
    let address = listener.local_addr();
    db.ready().await.expect("ready");
    let (out, accepted) = tokio::join!(web.connect("db"), listener.accept());
    let (mut out, mut inn) = (out.expect("a stream"), accepted.expect("a stream"));
    let open = r#"mesh_connections_open{service="db",direction="in"}"#;
    until(&db, open, "1").await;
    let allowed = r#"mesh_decisions_total{service="db",decision="allow",layer="connection",reason="default"}"#;
    until(&db, allowed, "1").await;

    // Somebody who speaks no TLS.
    let mut stranger = TcpStream::connect(address).await.expect("a connection");
    stranger
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .await
        .expect("sent");
    let refused = r#"mesh_handshakes_total{service="db",direction="in",result="tls"}"#;
    until(&db, refused, "1").await;

    // A deny cuts what is open, and that is counted when the application lets go of it.
    consul.set_intention("web", "db", false).expect("written");
    inn.read_u8().await.expect_err("cut");
    drop(inn);
    out.read_u8().await.expect_err("closed");
    let cut =
        r#"mesh_connections_ended_total{service="db",direction="in",how="cut",reason="intention"}"#;
    until(&db, cut, "1").await;
    until(&db, open, "0").await;
    // Under TLS 1.3 the caller is done before the other side has decided.
    if let Ok(mut denied) = web.connect("db").await {
        denied.read_u8().await.expect_err("denied");
    }
    let denied = r#"mesh_decisions_total{service="db",decision="deny",layer="connection",reason="intention"}"#;
    until(&db, denied, "1").await;
}

#[tokio::test]
async fn probes_and_people_are_answered() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let api = member(&consul, "api").join().await.expect("joined");
    assert!(address(&api).ip().is_loopback(), "{}", address(&api));
    let served = serving(&api).await;
    let upstream = api.client("ghost");
    upstream.get("/").send().await.expect_err("there is none");

    assert_eq!(ask(&api, "GET", "/live").await.0, 200);
    assert_eq!(ask(&api, "GET", "/ready").await.0, 200);
    assert_eq!(ask(&api, "GET", "/other").await.0, 404);
    assert_eq!(ask(&api, "POST", "/status").await.0, 405);
    let (status, _, text) = ask(&api, "GET", "/status").await;
    assert_eq!((status, text), (200, format!("{}\n", api.status())));
    let (_, kind, json) = ask(&api, "GET", "/status?format=json").await;
    assert_eq!(kind, "application/json");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let id = api.identity().current().id().to_string();
    assert_eq!(json["identity"]["id"], serde_json::json!(id), "{json}");
    assert_eq!(json["ready"], true, "{json}");
    assert_eq!(json["registrations"][0]["state"], "registered", "{json}");
    assert_eq!(json["upstreams"][0]["name"], "ghost", "{json}");
    let text = json.to_string();
    assert!(!text.contains("PRIVATE KEY") && !text.contains(consul.management_token()));

    // Every gauge is there with the first reading.
    until(&api, r#"mesh_ready{service="api"}"#, "1").await;
    until(&api, r#"mesh_roots{service="api"}"#, "1").await;
    until(
        &api,
        r#"mesh_watch_age_seconds{service="api",watch="intentions"}"#,
        "0",
    )
    .await;

    api.shutdown().await;
    served.await.expect("no panic").expect("served");
    let (status, _, text) = ask(&api, "GET", "/ready").await;
    assert_eq!(status, 503);
    assert!(text.contains("NOT READY, leaving"), "{text}");
}

#[tokio::test]
async fn the_listener_ends_with_the_last_handle() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let api = member(&consul, "api").join().await.expect("joined");
    let address = address(&api);
    TcpStream::connect(address).await.expect("it listens");
    drop(api);
    let began = Instant::now();
    while TcpStream::connect(address).await.is_ok() {
        assert!(began.elapsed() < Duration::from_secs(20));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_address_that_cannot_be_bound_is_named() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let error = member(&consul, "api")
        .admin("192.0.2.1:1")
        .join()
        .await
        .expect_err("not ours");
    assert_eq!(error.kind(), ErrorKind::Listen);
    assert!(error.to_string().contains("`192.0.2.1:1`"), "{error}");
}

#[tokio::test]
async fn the_recorder_of_the_process_is_told_too() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    // Of this thread, in which the whole test runs.
    let _installed = metrics::set_default_local_recorder(&recorder);
    let consul = ConsulDev::start().await.expect("a Consul");
    let api = member(&consul, "api").join().await.expect("joined");
    let web = member(&consul, "web").join().await.expect("joined");
    let _served = serving(&api).await;
    let response = web.client("api").get("/").send().await.expect("one");
    response.text().await.expect("text");
    let series = r#"mesh_requests_total{service="web",direction="out",peer="api",protocol="http",code="200"} 1"#;
    assert!(handle.render().contains(series), "{}", handle.render());
}
