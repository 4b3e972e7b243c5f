//! Requests and responses.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json, Router,
    body::Body as AxumBody,
    extract::RawQuery,
    http::{HeaderMap, Uri, Version, header::HOST},
    routing::{any, get, post},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, StreamBody};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower::ServiceExt as _;
use tower_mesh::{Body, Client, ErrorKind};

use crate::world::{BOTH, HTTP11, SILENT, World};

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Invoice {
    id: u32,
}

fn app() -> Router {
    Router::new()
        .route(
            "/version",
            get(async |version: Version| format!("{version:?}")),
        )
        .route(
            "/who",
            get(async |uri: Uri, headers: HeaderMap| {
                let host = headers
                    .get(HOST)
                    .and_then(|host| host.to_str().ok())
                    .map(str::to_owned);
                host.or_else(|| uri.host().map(str::to_owned))
                    .unwrap_or_default()
            }),
        )
        .route("/echo", post(async |body: Bytes| body))
        .route(
            "/json",
            post(async |Json(invoice): Json<Invoice>| Json(Invoice { id: invoice.id + 1 })),
        )
        .route(
            "/query",
            get(async |RawQuery(query): RawQuery| query.unwrap_or_default()),
        )
        .route(
            "/headers",
            get(async |headers: HeaderMap| {
                let all = headers
                    .get_all("x-a")
                    .iter()
                    .map(|value| value.to_str().unwrap_or("?"));
                all.collect::<Vec<_>>().join("|")
            }),
        )
        .route("/never", any(async || std::future::pending::<()>().await))
        .route(
            "/silent",
            get(async || {
                let first = stream::iter([Ok::<_, Infallible>("first")]);
                AxumBody::from_stream(first.chain(stream::pending()))
            }),
        )
        .route("/big", get(async || "x".repeat(1 << 20)))
        .route(
            "/broken",
            get(async || {
                let frames = [Ok("part"), Err(std::io::Error::other("gone"))];
                // The head and the first part leave before the connection breaks.
                AxumBody::from_stream(stream::iter(frames).then(async |frame| {
                    tokio::task::yield_now().await;
                    frame
                }))
            }),
        )
        .route("/upgrade", any(upgrade))
}

async fn upgrade(mut request: axum::extract::Request) -> axum::response::Response {
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let upgraded = upgraded.await.expect("an upgrade");
        let mut io = hyper_util::rt::TokioIo::new(upgraded);
        let mut word = [0; 4];
        io.read_exact(&mut word).await.expect("a word");
        io.write_all(&word).await.expect("an echo");
    });
    axum::response::Response::builder()
        .status(101)
        .header("connection", "upgrade")
        .header("upgrade", "echo")
        .body(AxumBody::empty())
        .expect("a response")
}

async fn client(alpn: &[&[u8]]) -> (World, Client) {
    let mut world = World::new().await;
    let address = world.serve("api", alpn, app()).await;
    let client = world.client([address]);
    (world, client)
}

#[tokio::test]
async fn speaks_what_the_peer_speaks() {
    for (alpn, version) in [
        (BOTH, "HTTP/2.0"),
        (HTTP11, "HTTP/1.1"),
        (SILENT, "HTTP/1.1"),
    ] {
        let (_world, client) = client(alpn).await;
        let response = client.get("/version").send().await.expect("a response");
        assert_eq!(response.text().await.expect("text"), version);
    }
}

#[tokio::test]
async fn the_upstream_is_the_host_unless_the_request_names_one() {
    for alpn in [BOTH, HTTP11] {
        let (_world, client) = client(alpn).await;
        let host = client
            .get("/who")
            .send()
            .await
            .expect("a response")
            .text()
            .await;
        assert_eq!(host.expect("text"), "api");
        let request = http::Request::get("http://shop.example/who").body(Body::empty());
        let response = client
            .send(request.expect("a request"))
            .await
            .expect("a response");
        let host = response
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        assert_eq!(host, "shop.example");
    }
}

#[tokio::test]
async fn builds_requests_and_reads_responses() {
    let (_world, client) = client(BOTH).await;
    let text = client
        .post("/echo")
        .body("ping")
        .send()
        .await
        .expect("a response")
        .text()
        .await;
    assert_eq!(text.expect("text"), "ping");

    let query = client
        .get("/query?a=1")
        .query("b c", "d&é")
        .send()
        .await
        .expect("a response");
    assert_eq!(query.text().await.expect("text"), "a=1&b%20c=d%26%C3%A9");

    let headers = client.get("/headers").header("x-a", "1").header("x-a", "2");
    let headers = headers.send().await.expect("a response").text().await;
    assert_eq!(headers.expect("text"), "1|2");
}

#[cfg(feature = "json")]
#[tokio::test]
async fn sends_and_reads_json() {
    let (_world, client) = client(BOTH).await;
    let invoice = client
        .post("/json")
        .json(&Invoice { id: 7 })
        .send()
        .await
        .expect("a response");
    assert_eq!(
        invoice.json::<Invoice>().await.expect("an invoice"),
        Invoice { id: 8 }
    );
    let text = client.get("/version").send().await.expect("a response");
    let error = text.json::<Invoice>().await.expect_err("no invoice");
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert_eq!(
        error.to_string(),
        "GET /version on `api`: decoding the response"
    );
}

#[tokio::test]
async fn a_part_that_is_not_valid_is_an_error_of_sending() {
    let (_world, client) = client(BOTH).await;
    let error = client
        .get("/")
        .header("x a", "1")
        .send()
        .await
        .expect_err("no name");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(
        error.to_string(),
        "making a request to `api`: a header name is not valid"
    );
    let error = client.get("/a b").send().await.expect_err("no path");
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[tokio::test]
async fn a_path_that_would_be_read_as_a_host_is_refused() {
    let (_world, client) = client(BOTH).await;
    for path in [
        "version",
        "version?a=1",
        "api/version",
        "https://api/version",
    ] {
        let error = client.get(path).send().await.expect_err("no path");
        assert_eq!(error.kind(), ErrorKind::Config, "{path}");
        assert_eq!(
            error.to_string(),
            format!("making a request to `api`: the path `{path}` does not begin with `/`")
        );
    }
    for path in ["", "/version"] {
        client.get(path).send().await.expect("a response");
    }
}

#[tokio::test]
async fn a_status_is_an_error_only_when_asked() {
    let (_world, client) = client(BOTH).await;
    let response = client
        .get("/missing?secret=1")
        .send()
        .await
        .expect("a response");
    assert_eq!(response.status(), 404);
    let error = response.error_for_status().expect_err("404");
    assert_eq!(
        (error.kind(), error.status().map(|s| s.as_u16())),
        (ErrorKind::Status, Some(404))
    );
    assert_eq!(error.to_string(), "GET /missing on `api`: 404 Not Found");
}

#[tokio::test]
async fn a_body_longer_than_the_limit_is_not_read() {
    let (_world, client) = client(BOTH).await;
    let whole = client
        .get("/big")
        .send()
        .await
        .expect("a response")
        .bytes()
        .await;
    assert_eq!(whole.expect("a body").len(), 1 << 20);
    let response = client.get("/big").send().await.expect("a response");
    let error = response
        .with_limit(1000)
        .bytes()
        .await
        .expect_err("too long");
    assert_eq!(error.kind(), ErrorKind::Body);
    assert_eq!(
        error.to_string(),
        "GET /big on `api`: the response is longer than 1000 bytes"
    );
}

#[tokio::test]
async fn a_late_head_is_a_timeout_that_says_what_was_awaited() {
    for alpn in [BOTH, HTTP11] {
        let (_world, client) = client(alpn).await;
        let limit = Duration::from_millis(100);
        let error = client
            .get("/never")
            .timeout(limit)
            .send()
            .await
            .expect_err("late");
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(
            error.to_string(),
            "calling `api`: no response came within 100ms"
        );
        assert_eq!(client.status().usable[0].in_flight, 0);
        client
            .get("/version")
            .send()
            .await
            .expect("the endpoint is still there");
    }
}

#[tokio::test]
async fn the_limit_on_the_head_counts_from_the_end_of_the_body() {
    let (_world, client) = client(BOTH).await;
    let client = client.timeout(Duration::from_millis(200));
    let pieces = stream::unfold(0, async |sent| {
        tokio::time::sleep(Duration::from_millis(60)).await;
        (sent < 6).then(|| {
            (
                Ok::<_, Infallible>(http_body::Frame::data(Bytes::from("x"))),
                sent + 1,
            )
        })
    });
    let request = http::Request::post("/echo").body(StreamBody::new(Box::pin(pieces)));
    let response = client
        .send(request.expect("a request"))
        .await
        .expect("in time");
    assert_eq!(
        response
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes(),
        "xxxxxx"
    );
}

#[tokio::test]
async fn an_upload_that_the_peer_does_not_read_ends() {
    for alpn in [BOTH, HTTP11] {
        let (_world, client) = client(alpn).await;
        let client = client.timeout(Duration::from_millis(100));
        let pieces = stream::repeat_with(|| {
            Ok::<_, Infallible>(http_body::Frame::data(Bytes::from(vec![0; 1 << 16])))
        });
        let request = client
            .post("/never")
            .body(Body::new(StreamBody::new(pieces)));
        let error = request.send().await.expect_err("nobody reads");
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(
            error.to_string(),
            "calling `api`: nothing of the request's body was taken for 100ms"
        );
    }
}

#[tokio::test]
async fn a_response_is_sent_on_as_the_body_of_a_request() {
    for alpn in [BOTH, HTTP11] {
        let (_world, client) = client(alpn).await;
        let part = client.get("/big").send().await.expect("a response");
        let whole = client
            .post("/echo")
            .body(part.into_inner().into_body())
            .send()
            .await
            .expect("a response");
        assert_eq!(whole.bytes().await.expect("a body").len(), 1 << 20);

        // As of any stream, its end is where the limit on the head counts from.
        let never_ends = client.get("/silent").send().await.expect("a response");
        let limit = Duration::from_millis(50);
        let answer = client
            .post("/echo")
            .body(never_ends.into_inner().into_body())
            .timeout(limit)
            .send();
        assert!(tokio::time::timeout(limit * 5, answer).await.is_err());
    }
}

#[tokio::test]
async fn a_stream_that_pauses_for_too_long_ends() {
    for alpn in [BOTH, HTTP11] {
        let (_world, client) = client(alpn).await;
        let client = client.idle_timeout(Duration::from_millis(50));
        let response = client.get("/silent").send().await.expect("a head");
        let error = response.bytes().await.expect_err("silence");
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(
            error.to_string(),
            "reading a response of `api`: nothing came for 50ms"
        );
    }
}

#[tokio::test]
async fn a_body_that_breaks_is_no_whole_body() {
    for alpn in [BOTH, HTTP11] {
        let (_world, client) = client(alpn).await;
        let response = client.get("/broken").send().await.expect("a head");
        let error = response.bytes().await.expect_err("a broken body");
        assert_eq!(error.kind(), ErrorKind::Body);
        assert_eq!(error.to_string(), "reading a response of `api`");
    }
}

#[tokio::test]
async fn upgrades_reach_a_peer_that_prefers_h2() {
    let (_world, client) = client(BOTH).await;
    client.get("/version").send().await.expect("h2 is known");
    let request = http::Request::get("/upgrade")
        .header("connection", "upgrade")
        .header("upgrade", "echo")
        .body(Body::empty());
    let mut response = client
        .send(request.expect("a request"))
        .await
        .expect("a response");
    assert_eq!(response.status(), 101);
    let upgraded = hyper::upgrade::on(&mut response).await.expect("an upgrade");
    let mut io = hyper_util::rt::TokioIo::new(upgraded);
    io.write_all(b"ping").await.expect("written");
    let mut word = [0; 4];
    io.read_exact(&mut word).await.expect("an echo");
    assert_eq!(&word, b"ping");
}

#[tokio::test]
async fn is_a_tower_service_of_any_body() {
    let (_world, client) = client(BOTH).await;
    let request = http::Request::post("/echo").body(http_body_util::Full::new(Bytes::from("a")));
    let response = client
        .clone()
        .oneshot(request.expect("a request"))
        .await
        .expect("a response");
    assert_eq!(
        response
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes(),
        "a"
    );
    let request = http::Request::post("/echo").body(AxumBody::from("b"));
    let response = client
        .oneshot(request.expect("a request"))
        .await
        .expect("a response");
    assert_eq!(
        response
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes(),
        "b"
    );
}
