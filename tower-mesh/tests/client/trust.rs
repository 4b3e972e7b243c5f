//! Identities that change under open connections.

use std::{convert::Infallible, time::Duration};

use axum::{Router, body::Body as AxumBody, routing::get};
use consul_connect::test_util::TestCa;
use futures_util::{StreamExt as _, stream};
use http_body_util::BodyExt as _;
use tower_mesh::{Body, ErrorKind};

use crate::world::{BOTH, HTTP11, World};

fn app() -> Router {
    Router::new().route("/", get(async || "ok")).route(
        "/silent",
        get(async || {
            let first = stream::iter([Ok::<_, Infallible>("first")]);
            AxumBody::from_stream(first.chain(stream::pending()))
        }),
    )
}

#[tokio::test]
async fn a_withdrawn_root_cuts_what_is_in_flight() {
    for alpn in [BOTH, HTTP11] {
        let mut world = World::new().await;
        let address = world.serve("api", alpn, app()).await;
        let client = world.client([address]);
        let request = http::Request::get("/silent")
            .body(Body::empty())
            .expect("a request");
        let mut body = client.send(request).await.expect("a head").into_body();
        body.frame().await.expect("a frame").expect("no error");

        // The same trust domain under another root: the server's leaf hangs on the old one.
        let other = TestCa::new("test.consul");
        assert!(world.web_source.push(Ok(other.material("web"))));
        let end = tokio::time::timeout(Duration::from_secs(5), body.frame()).await;
        let error = end.expect("cut in time").expect("an end").expect_err("cut");
        assert_eq!(error.kind(), ErrorKind::Body);
        let error = client
            .get("/")
            .send()
            .await
            .expect_err("the server is not trusted");
        assert_eq!(error.kind(), ErrorKind::Identity);
    }
}

#[tokio::test]
async fn new_leafs_cost_no_request() {
    for alpn in [BOTH, HTTP11] {
        let mut world = World::new().await;
        let address = world.serve("api", alpn, app()).await;
        let client = world.client([address]);
        for round in 0..200 {
            if round % 20 == 0 {
                assert!(world.web_source.push(Ok(world.ca.material("web"))));
            }
            let response = client.get("/").send().await.expect("a response");
            assert_eq!(response.text().await.expect("text"), "ok");
        }
    }
}
