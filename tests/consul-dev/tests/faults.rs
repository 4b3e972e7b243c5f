//! Scripted faults do what they say, where they say, as often as they say.

#[path = "support/http.rs"]
mod support;

use std::time::Duration;

use consul_dev::{ConsulDev, Fault, FaultRule};
use support::{get, try_call};
use tokio::time::timeout;

const ROOTS: &str = "/v1/connect/ca/roots";

async fn one(dev: &ConsulDev) -> Result<support::Answer, String> {
    try_call(dev, "GET", ROOTS, "", String::new()).await
}

#[tokio::test]
async fn a_refusal_has_the_servers_status_and_words() {
    let dev = ConsulDev::start().await.expect("starts");
    for (fault, status, text) in [
        (Fault::no_leader(), 500, "No cluster leader"),
        (
            Fault::rate_limited_read(),
            429,
            "rate limit exceeded, try again later or against a different server",
        ),
    ] {
        dev.fault(FaultRule::new(ROOTS, fault).times(1));
        let answer = get(&dev, ROOTS).await;
        assert_eq!((answer.status, answer.body.as_str()), (status, text));
        assert_eq!(get(&dev, ROOTS).await.status, 200, "only once");
    }
}

#[tokio::test]
async fn a_hanging_request_leaves_the_others_alone() {
    let dev = ConsulDev::start().await.expect("starts");
    dev.fault(FaultRule::new(ROOTS, Fault::Hang));
    assert!(
        timeout(Duration::from_millis(100), one(&dev))
            .await
            .is_err()
    );
    assert_eq!(get(&dev, "/v1/status/leader").await.status, 200);
    dev.clear_faults();
    assert_eq!(get(&dev, ROOTS).await.status, 200);
}

#[tokio::test]
async fn a_reset_and_a_truncated_body_are_errors_of_the_connection() {
    let dev = ConsulDev::start().await.expect("starts");
    dev.fault(FaultRule::new(ROOTS, Fault::Reset).times(1));
    assert!(one(&dev).await.is_err());
    dev.fault(FaultRule::new(ROOTS, Fault::Truncate).times(1));
    assert!(one(&dev).await.is_err());
    assert!(one(&dev).await.is_ok());
}

#[tokio::test]
async fn garbage_is_no_json_and_a_slow_body_is_whole_in_the_end() {
    let dev = ConsulDev::start().await.expect("starts");
    dev.fault(FaultRule::new(ROOTS, Fault::Garbage).times(1));
    let garbage = get(&dev, ROOTS).await;
    assert_eq!(garbage.status, 200);
    assert!(serde_json::from_str::<serde_json::Value>(&garbage.body).is_err());
    let slow = Fault::SlowBody {
        chunk: 200,
        pause: Duration::from_millis(1),
    };
    dev.fault(FaultRule::new(ROOTS, slow).times(1));
    let whole = get(&dev, ROOTS).await;
    assert_eq!(whole.body, get(&dev, ROOTS).await.body);
}

#[tokio::test]
async fn the_index_header_can_go_back_or_away() {
    let dev = ConsulDev::start().await.expect("starts");
    dev.fault(FaultRule::new(ROOTS, Fault::index_back()).times(1));
    dev.fault(FaultRule::new(ROOTS, Fault::Index(None)).times(1));
    dev.fault(FaultRule::new(ROOTS, Fault::Index(Some("soon".to_owned()))).times(1));
    for expected in ["1", "", "soon"] {
        assert_eq!(get(&dev, ROOTS).await.header("x-consul-index"), expected);
    }
    assert!(get(&dev, ROOTS).await.index() > 1);
}

#[tokio::test]
async fn down_refuses_and_resets_and_up_is_the_same_server_on_the_same_port() {
    let dev = ConsulDev::start().await.expect("starts");
    let address = dev.http_addr().to_owned();
    let before = get(&dev, ROOTS).await;
    let path = format!("{ROOTS}?index={}&wait=5m", before.index());
    let waiting = try_call(&dev, "GET", &path, "", String::new());
    let down = async {
        support::until("the read", || async { dev.request_count(ROOTS) == 2 }).await;
        dev.down().await.expect("down");
    };
    let (waiting, ()) = tokio::join!(waiting, down);
    assert!(waiting.is_err(), "the waiting read is reset");
    assert!(one(&dev).await.is_err(), "nobody listens");
    dev.down().await.expect("down already");
    dev.up().await.expect("up");
    assert_eq!(dev.http_addr(), address);
    assert_eq!(get(&dev, ROOTS).await.body, before.body);
}

#[tokio::test]
async fn requests_are_logged_without_their_tokens() {
    let dev = ConsulDev::start().await.expect("starts");
    get(&dev, "/v1/health/service/web?passing&token=secret").await;
    let log = dev.requests();
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].path, "/v1/health/service/web");
    assert_eq!(log[0].query, "passing&token=…");
    assert!(log[0].authenticated);
    assert_eq!(dev.request_count("GET /v1/health/*"), 1);
    assert_eq!(dev.request_count("PUT /v1/health/*"), 0);
    dev.clear_requests();
    assert_eq!(dev.request_count("*"), 0);
}

#[tokio::test]
async fn a_dropped_server_is_gone() {
    let dev = ConsulDev::start().await.expect("starts");
    let address = dev.http_socket_addr();
    drop(dev);
    support::until("the end", || async {
        tokio::net::TcpStream::connect(address).await.is_err()
    })
    .await;
}
