//! An intention flipped in a real Consul is in force on new requests and on what is already open.

use std::{convert::Infallible, time::Duration};

use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use consul_connect::{Connector, Destination, Grace, ServiceId};
use futures_util::stream;
use http::{Request, StatusCode, Version as Http, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use mesh_lab::{Agent, Version};
use mesh_tests::{
    real::{client, eventually},
    real_mesh::{Source, echoing, member, serving},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};
use tower_mesh::{Client, Mesh};

/// `/` answers at once, `/ticks` for ever.
fn api() -> Router {
    let ticks = || async {
        Body::from_stream(stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Ok::<_, Infallible>(Bytes::from_static(b"tick\n")), ()))
        }))
    };
    Router::new()
        .route("/", get(async || "hello"))
        .route("/ticks", get(ticks))
}

async fn status(client: &Client) -> Option<u16> {
    client
        .get("/")
        .send()
        .await
        .ok()
        .map(|r| r.status().as_u16())
}

async fn becomes(what: &str, client: &Client, expected: u16) {
    let (_, after) = eventually(what, async || {
        (status(client).await == Some(expected)).then_some(())
    })
    .await;
    println!("{what}: {expected} after {after:?}");
}

/// An HTTP/1.1 connection that stays open.
async fn http1(caller: &Mesh, agent: &Agent) -> SendRequest<Empty<Bytes>> {
    let entries = client(agent, None)
        .health()
        .connect("api")
        .await
        .unwrap()
        .value;
    let service = &entries.first().unwrap().service;
    let address = format!("{}:{}", service.address, service.port)
        .parse::<std::net::SocketAddr>()
        .unwrap();
    let trust_domain = caller.identity().current().trust_domain().clone();
    let expected = ServiceId::new(trust_domain, "dc1", "api".parse().unwrap());
    let destination = Destination::new(address, expected).with_alpn(["http/1.1"]);
    let connector = Connector::new(caller.identity().clone());
    let connection = connector.connect(&destination).await.unwrap();
    let (send, driver) = hyper::client::conn::http1::handshake(TokioIo::new(connection.stream))
        .await
        .unwrap();
    tokio::spawn(async move {
        let _ = driver.await;
        drop(connector);
    });
    send
}

async fn on_the_same_connection(send: &mut SendRequest<Empty<Bytes>>) -> StatusCode {
    send.ready().await.unwrap();
    let request = Request::get("/")
        .header(header::HOST, "api")
        .body(Empty::new())
        .unwrap();
    let response = send.send_request(request).await.unwrap();
    let status = response.status();
    response.into_body().collect().await.unwrap();
    status
}

async fn ping(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin)) -> std::io::Result<()> {
    stream.write_all(b"ping").await?;
    stream.flush().await?;
    stream.read_exact(&mut [0; 4]).await.map(drop)
}

async fn follows_consul(version: Version, source: Source) {
    let Some(consul) = mesh_lab::consul(version) else {
        return;
    };
    let agent = consul
        .default_intention_policy("deny")
        .start()
        .await
        .unwrap();
    let mut grace = Grace::default();
    (grace.denied, grace.drain) = (Duration::from_secs(2), Duration::from_millis(500));
    let api_mesh = member(&agent, "api", source, None)
        .connection_grace(grace)
        .join()
        .await
        .unwrap();
    let _api = serving(&api_mesh, api()).await;
    let db_mesh = member(&agent, "db", source, None).join().await.unwrap();
    let _db = echoing(&db_mesh).await;
    let web = member(&agent, "web", source, None).join().await.unwrap();
    let billing = member(&agent, "billing", source, None)
        .join()
        .await
        .unwrap();
    let (web_api, billing_api) = (web.client("api"), billing.client("api"));

    // Nobody is named: the default denies.
    assert_eq!(status(&web_api).await, Some(403));
    // A wildcard lets everybody in; an exact denial stands above it.
    agent.set_intention("*", "api", "allow").await.unwrap();
    becomes("* => api allow", &web_api, 200).await;
    agent.set_intention("web", "api", "deny").await.unwrap();
    becomes("web => api deny above the wildcard", &web_api, 403).await;
    assert_eq!(status(&billing_api).await, Some(200));
    agent.set_intention("web", "api", "allow").await.unwrap();
    becomes("web => api allow", &web_api, 200).await;

    // What is open now follows.
    for callers in ["web", "billing"] {
        agent.set_intention(callers, "db", "allow").await.unwrap();
    }
    let open = async |mesh: &Mesh| {
        let open = async || {
            let mut stream = mesh.connect("db").await.ok()?;
            ping(&mut stream).await.ok()?;
            Some(stream)
        };
        eventually("a stream to db", open).await.0
    };
    let (mut web_db, mut billing_db) = (open(&web).await, open(&billing).await);
    let mut kept = http1(&web, &agent).await;
    assert_eq!(on_the_same_connection(&mut kept).await, StatusCode::OK);
    let request = Request::get("/ticks")
        .version(Http::HTTP_2)
        .body(tower_mesh::Body::default())
        .unwrap();
    let mut ticks = web_api.send(request).await.unwrap().into_body();
    assert!(ticks.frame().await.unwrap().is_ok());

    agent.set_intention("web", "db", "deny").await.unwrap();
    let began = Instant::now();
    // It waits for bytes that never come, and is told all the same.
    assert!(!matches!(web_db.read(&mut [0; 1]).await, Ok(1..)));
    println!(
        "web => db deny: the open stream was cut after {:?}",
        began.elapsed()
    );
    ping(&mut billing_db)
        .await
        .expect("the other's stream is untouched");

    agent.set_intention("web", "api", "deny").await.unwrap();
    let began = Instant::now();
    let (_, after) = eventually("the kept HTTP/1.1 connection", async || {
        (on_the_same_connection(&mut kept).await == StatusCode::FORBIDDEN).then_some(())
    })
    .await;
    println!("web => api deny: 403 on the open HTTP/1.1 connection after {after:?}");
    becomes("web => api deny, over h2", &web_api, 403).await;
    while ticks.frame().await.is_some_and(|frame| frame.is_ok()) {}
    println!(
        "the open h2 stream ended after {:?}, grace included",
        began.elapsed()
    );
    assert_eq!(status(&billing_api).await, Some(200));
    ping(&mut billing_db)
        .await
        .expect("the other's stream is untouched");

    for destination in ["api", "db"] {
        agent
            .set_intention("web", destination, "allow")
            .await
            .unwrap();
    }
    becomes("web => api allow again", &web_api, 200).await;
    open(&web).await;
    let status = api_mesh.status().to_string();
    assert!(
        status.contains("deny"),
        "the default policy is not in the status: {status}"
    );
}

#[tokio::test]
async fn allow_deny_allow_with_keys_of_our_own() {
    follows_consul(Version::Newest, Source::Grpc).await;
}

#[tokio::test]
async fn allow_deny_allow_with_leafs_of_the_agent() {
    follows_consul(Version::Newest, Source::Agent).await;
}

#[tokio::test]
async fn allow_deny_allow_on_the_oldest_consul() {
    follows_consul(Version::Oldest, Source::Grpc).await;
}

#[tokio::test]
async fn a_default_that_allows_is_found_and_a_denial_stands_against_it() {
    for policy in [Some("allow"), None] {
        let Some(consul) = mesh_lab::consul(Version::Newest) else {
            return;
        };
        // Without ACLs and without a policy, Consul's own default is to allow.
        let consul = match policy {
            Some(policy) => consul.default_intention_policy(policy),
            None => consul,
        };
        let agent = consul.start().await.unwrap();
        let api_mesh = member(&agent, "api", Source::Grpc, None)
            .join()
            .await
            .unwrap();
        let _api = serving(&api_mesh, api()).await;
        let web = member(&agent, "web", Source::Grpc, None)
            .join()
            .await
            .unwrap();
        let client = web.client("api");
        becomes("the default allows", &client, 200).await;
        agent.set_intention("web", "api", "deny").await.unwrap();
        becomes("web => api deny", &client, 403).await;
        agent.remove_intention("web", "api").await.unwrap();
        becomes("the default again", &client, 200).await;
    }
}
