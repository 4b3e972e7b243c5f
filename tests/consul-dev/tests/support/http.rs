//! A client with nothing in between: one connection per call, headers and body as they came.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use consul_dev::ConsulDev;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// A reply as it came.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(crate) fn index(&self) -> u64 {
        self.header("x-consul-index").parse().expect("an index")
    }
}

/// One call; an error is the connection's.
pub(crate) async fn try_call(
    dev: &ConsulDev,
    method: &str,
    path: &str,
    token: &str,
    body: String,
) -> Result<Answer, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let stream = TcpStream::connect(dev.http_addr())
        .await
        .map_err(|error| text(&error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| text(&error))?;
    let driver = tokio::spawn(connection);
    let mut request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("Host", dev.http_addr());
    if !token.is_empty() {
        request = request.header("X-Consul-Token", token);
    }
    let request = request
        .body(Full::new(Bytes::from(body)))
        .expect("a request");
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| text(&error))?;
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                value.to_str().unwrap_or_default().to_owned(),
            )
        })
        .collect();
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|error| text(&error))?;
    driver.abort();
    Ok(Answer {
        status,
        headers,
        body: String::from_utf8_lossy(&body.to_bytes()).into_owned(),
    })
}

pub(crate) async fn get(dev: &ConsulDev, path: &str) -> Answer {
    get_as(dev, path, "").await
}

pub(crate) async fn get_as(dev: &ConsulDev, path: &str, token: &str) -> Answer {
    try_call(dev, "GET", path, token, String::new())
        .await
        .expect("a reply")
}

pub(crate) async fn put(dev: &ConsulDev, path: &str, body: Value) -> Answer {
    put_as(dev, path, body, "").await
}

pub(crate) async fn put_as(dev: &ConsulDev, path: &str, body: Value, token: &str) -> Answer {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    try_call(dev, "PUT", path, token, body)
        .await
        .expect("a reply")
}

/// Registers a native instance with a TTL check `<id>-ttl`, passing.
pub(crate) async fn register(dev: &ConsulDev, id: &str, name: &str, port: u16) {
    let body = serde_json::json!({
        "ID": id, "Name": name, "Port": port, "Address": "127.0.0.1", "Connect": { "Native": true },
        "Check": { "CheckID": format!("{id}-ttl"), "TTL": "1h", "Status": "passing" },
    });
    let answer = put(dev, "/v1/agent/service/register", body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// Polls until `done` or a generous deadline.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut done: impl FnMut() -> F) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !done().await {
            tokio::task::yield_now().await;
        }
    });
    assert!(waited.await.is_ok(), "{what} did not happen");
}
