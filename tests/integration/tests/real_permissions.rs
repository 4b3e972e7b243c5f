//! A permission flipped in a real Consul is in force on new requests and on those that are open, and on no others.

use std::{convert::Infallible, time::Duration};

use axum::{Router, body::Body, extract::Path, routing::get};
use bytes::Bytes;
use consul_connect::Grace;
use futures_util::stream;
use http::{Request, Version as Http};
use http_body_util::BodyExt as _;
use mesh_lab::{Agent, Version};
use mesh_tests::{
    real::eventually,
    real_mesh::{Source, member, serving},
};
use serde_json::{Value, json};
use tokio::time::Instant;
use tower_mesh::Client;

const GRACE: Duration = Duration::from_millis(500);

/// `/{area}` answers at once, `/{area}/ticks` for ever.
fn api() -> Router {
    let ticks = async |Path(_area): Path<String>| {
        Body::from_stream(stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Ok::<_, Infallible>(Bytes::from_static(b"tick\n")), ()))
        }))
    };
    let area = async |Path(area): Path<String>| area;
    Router::new()
        .route("/{area}", get(area))
        .route("/{area}/ticks", get(ticks))
}

fn about(area: &str, action: &str) -> Value {
    json!({ "Action": action, "HTTP": { "PathPrefix": format!("/{area}") } })
}

async fn permit(agent: &Agent, permissions: Value) {
    let entry = json!({
        "Kind": "service-intentions",
        "Name": "api",
        "Sources": [{ "Name": "web", "Permissions": permissions }],
    });
    agent.write_config_entry(&entry).await.unwrap();
}

async fn status(client: &Client, path: &str) -> Option<u16> {
    let response = client.get(path).send().await.ok()?;
    Some(response.status().as_u16())
}

/// A stream of the area that is open.
async fn ticks(client: &Client, area: &str) -> tower_mesh::Body {
    let request = Request::get(format!("/{area}/ticks"))
        .version(Http::HTTP_2)
        .body(tower_mesh::Body::default())
        .unwrap();
    let mut body = client.send(request).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok());
    body
}

async fn follows_consul(version: Version) {
    let Some(consul) = mesh_lab::consul(version) else {
        return;
    };
    let consul = consul.default_intention_policy("deny");
    let agent = consul.start().await.unwrap();
    let protocol = json!({ "Kind": "service-defaults", "Name": "api", "Protocol": "http" });
    agent.write_config_entry(&protocol).await.unwrap();
    let mut grace = Grace::default();
    grace.denied = GRACE;
    let api_mesh = member(&agent, "api", Source::Grpc, None)
        .connection_grace(grace)
        .join()
        .await
        .unwrap();
    let _api = serving(&api_mesh, api()).await;
    let web = member(&agent, "web", Source::Grpc, None);
    let web = web.join().await.unwrap();
    let client = web.client("api");

    permit(&agent, json!([about("a", "allow"), about("b", "allow")])).await;
    let (_, after) = eventually("web may read /a", async || {
        (status(&client, "/a").await == Some(200)).then_some(())
    })
    .await;
    println!("{version}: web => api allows /a: in force after {after:?}");
    let (mut denied, mut kept) = (ticks(&client, "a").await, ticks(&client, "b").await);

    permit(&agent, json!([about("a", "deny"), about("b", "allow")])).await;
    let began = Instant::now();
    let (_, after) = eventually("web may not read /a", async || {
        (status(&client, "/a").await == Some(403)).then_some(())
    })
    .await;
    println!("{version}: web => api denies /a: 403 after {after:?}");
    while denied.frame().await.is_some_and(|frame| frame.is_ok()) {}
    println!(
        "{version}: the open stream of /a ended after {:?}, {GRACE:?} of grace included",
        began.elapsed()
    );
    assert_eq!(status(&client, "/b").await, Some(200));
    // More than could have been on its way.
    for _ in 0..50 {
        let frame = kept.frame().await.expect("it goes on for ever");
        frame.expect("a stream that is allowed goes on");
    }
    permit(&agent, json!([about("a", "allow"), about("b", "allow")])).await;
    eventually("web may read /a again", async || {
        (status(&client, "/a").await == Some(200)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_denied_path_ends_what_is_open_there_and_nothing_else() {
    follows_consul(Version::Newest).await;
}

#[tokio::test]
async fn a_denied_path_ends_what_is_open_there_and_nothing_else_on_the_oldest_consul() {
    follows_consul(Version::Oldest).await;
}
