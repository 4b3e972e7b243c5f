//! A leaf that expires while Consul is away.

use std::time::Duration;

use consul_api::{Client, Config};
use consul_connect::{ConnectFailure, Grace, identity::source::AgentSource};
use consul_dev::ConsulDev;
use mesh_tests::{
    peers::becomes,
    traffic::{Traffic, answering},
};
use tokio::{net::TcpListener, time::Instant};
use tower_mesh::{ErrorKind, Mesh, MeshBuilder};

/// Consul dates leafs back by a minute.
const VALID: Duration = Duration::from_secs(12);
/// From the end of a leaf to the end of its connections.
const DRAIN: Duration = Duration::from_secs(1);

fn member(dev: &ConsulDev, service: &str) -> MeshBuilder {
    let config = Config::new(dev.http_addr()).unwrap();
    let client = Client::new(config.clone()).unwrap();
    let mut grace = Grace::default();
    grace.drain = DRAIN;
    Mesh::builder(service)
        .consul(config)
        .identity_source(AgentSource::new(client, service.parse().unwrap()))
        .connection_grace(grace)
}

#[tokio::test]
async fn an_expired_leaf_ends_handshakes_and_connections_and_a_new_one_brings_them_back() {
    let dev = ConsulDev::builder()
        .leaf_ttl(Duration::from_secs(60) + VALID)
        .start()
        .await
        .unwrap();
    let api = member(&dev, "api").join().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = api.clone();
    let served = tokio::spawn(async move { server.serve_on(listener, answering("api")).await });
    api.ready().await.unwrap();
    let caller = member(&dev, "caller").join().await.unwrap();
    let traffic = Traffic::to(&caller, "api").await;
    traffic.http2().await.unwrap();
    let mut idle = traffic.dial().await.unwrap();
    idle.ready().await.unwrap();

    dev.down().await.unwrap();
    let ends = Instant::now() + caller.identity().status().leaf_remaining.unwrap();
    let earlier = Instant::now() + api.identity().status().leaf_remaining.unwrap();
    traffic.http2().await.unwrap();
    let refused = becomes("a new handshake is refused", async || {
        match traffic.dial().await {
            Ok(_) => Err("it goes through".to_owned()),
            Err(error) => Ok(error),
        }
    })
    .await;
    let ours = matches!(refused.failure(), ConnectFailure::OwnLeafExpired { .. });
    println!(
        "refused {:?} after the first of the leafs ended: {refused}",
        ends.min(earlier).elapsed()
    );
    assert!(ours || refused.is_identity(), "{refused}");
    becomes("our own leaf is named", async || {
        match traffic.dial().await {
            Err(error) if matches!(error.failure(), ConnectFailure::OwnLeafExpired { .. }) => {
                Ok(())
            }
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    becomes("the idle connection is closed", async || {
        idle.is_closed().then_some(()).ok_or("open".to_owned())
    })
    .await;
    println!(
        "closed {:?} after the first of the leafs ended",
        ends.min(earlier).elapsed()
    );
    let error = becomes("a request is refused", async || {
        match traffic.client.get("/").send().await {
            Ok(_) => Err("it goes through".to_owned()),
            Err(error) => Ok(error),
        }
    })
    .await;
    assert_eq!(error.kind(), ErrorKind::Identity, "{error:?}");
    assert!(!caller.status().is_ready(), "{}", caller.status());

    dev.up().await.unwrap();
    becomes("it recovers with the new leaf", async || {
        traffic.http2().await?;
        traffic.http1().await?;
        caller
            .status()
            .is_ready()
            .then_some(())
            .ok_or("not ready".to_owned())
    })
    .await;
    api.shutdown().await;
    served.await.unwrap().unwrap();
}
