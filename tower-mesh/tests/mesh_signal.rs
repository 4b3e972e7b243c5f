//! A signal to the process. Alone in its program, because a signal is everybody's.
#![cfg(all(unix, feature = "axum"))]

use std::{process::Command, time::Duration};

use axum::{Router, routing::get};
use consul_dev::ConsulDev;
use tokio::net::TcpListener;
use tower_mesh::{ErrorKind, Mesh, consul_api::Config};

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

#[tokio::test]
async fn a_signal_turns_readiness_off_before_the_server_ends() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let grpc = consul.grpc_addr().parse().expect("an address");
    let config = Config::new(consul.http_addr())
        .expect("an address")
        .with_grpc_address(grpc);
    let api = Mesh::builder("api")
        .consul(config)
        .drain_grace(Duration::from_millis(500))
        .join()
        .await
        .expect("joined");
    let server = api.clone();
    let mut served = tokio::spawn(async move { server.serve("127.0.0.1:0", hello()).await });
    api.ready().await.expect("ready");
    assert!(api.status().is_ready());

    let me = std::process::id().to_string();
    let kill = Command::new("kill").args(["-TERM", &me]).status();
    assert!(kill.expect("a signal").success());
    while api.status().is_ready() {
        tokio::select! {
            _ended = &mut served => panic!("it ended ready"),
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
    }

    assert!(api.status().leaving && !served.is_finished());
    let error = api.ready().await.expect_err("on its way out");
    assert_eq!(error.kind(), ErrorKind::Shutdown);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let further = api.serve_on(listener, hello()).await;
    assert_eq!(further.expect_err("left").kind(), ErrorKind::Shutdown);
    served.await.expect("no panic").expect("an orderly end");
    assert!(api.status().leaving);
    assert!(consul.service_ids().is_empty(), "deregistered");
}
