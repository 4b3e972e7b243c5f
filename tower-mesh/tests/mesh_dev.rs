//! Meshes around an embedded development Consul.
#![cfg(all(feature = "dev", feature = "axum"))]

use std::time::Duration;

use axum::{Router, routing::get};
use tokio::net::TcpListener;
use tower_mesh::{ErrorKind, Mesh, Peer};

fn whoami() -> Router {
    Router::new().route(
        "/",
        get(async |caller: Peer| caller.id().service().to_string()),
    )
}

#[tokio::test]
async fn two_services_meet_in_one_development_mesh() {
    let api = Mesh::dev("api").await.expect("joined");
    let consul = api.dev_consul().expect("a development Consul");
    let web = Mesh::builder("web")
        .dev(consul)
        .join()
        .await
        .expect("joined");
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let server = api.clone();
    let _served = tokio::spawn(async move { server.serve_on(socket, whoami()).await });
    api.ready().await.expect("ready");

    let answer = web.client("api").get("/").send().await.expect("a response");
    assert_eq!(answer.text().await.expect("text"), "web");
}

#[tokio::test]
async fn a_development_mesh_is_reached_on_loopback_only() {
    let api = Mesh::dev("api").await.expect("joined");
    let listener = api.listen("0.0.0.0:0").await.expect("a socket");
    assert!(
        listener.local_addr().ip().is_loopback(),
        "{}",
        listener.local_addr()
    );
    let error = api
        .listen("192.0.2.1:0")
        .await
        .expect_err("an address of others");
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[tokio::test]
async fn the_development_consul_ends_with_the_last_of_its_members() {
    let api = Mesh::dev("api").await.expect("joined");
    let address = api
        .dev_consul()
        .expect("a development Consul")
        .http_socket_addr();
    let clone = api.clone();
    drop(api);
    tokio::net::TcpStream::connect(address)
        .await
        .expect("it runs");
    drop(clone);
    let stopped = async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), stopped)
        .await
        .expect("it stops");
}
