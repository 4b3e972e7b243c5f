//! Blocking queries wait for their index, wake on what concerns them, and never show index 0.

#[path = "support/http.rs"]
mod support;

use std::time::Duration;

use consul_dev::ConsulDev;
use support::{get, get_as, register};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

/// Starts a blocked read and does something once it is seen to wait.
async fn blocked(dev: &ConsulDev, path: &str, act: impl AsyncFnOnce()) -> support::Answer {
    let before = dev.request_count("GET *");
    let read = get(dev, path);
    let act = async {
        support::until("the read", || async { dev.request_count("GET *") > before }).await;
        act().await;
    };
    let (answer, ()) = timeout(SOON, async { tokio::join!(read, act) })
        .await
        .expect("woken");
    answer
}

#[tokio::test]
async fn a_registration_wakes_a_waiting_health_read() {
    let dev = ConsulDev::start().await.expect("starts");
    let first = get(&dev, "/v1/health/connect/web?passing").await;
    assert_eq!(first.json(), serde_json::json!([]));
    assert!(first.index() > 0);
    let path = format!(
        "/v1/health/connect/web?passing&index={}&wait=5m",
        first.index()
    );
    let second = blocked(&dev, &path, async || {
        register(&dev, "web-1", "web", 9401).await;
    })
    .await;
    assert!(second.index() > first.index());
    assert_eq!(second.json()[0]["Service"]["ID"], "web-1");
    assert_eq!(second.header("x-consul-query-backend"), "streaming");
}

#[tokio::test]
async fn an_unchanged_read_ends_with_its_wait_and_the_same_index() {
    let dev = ConsulDev::start().await.expect("starts");
    for path in [
        "/v1/connect/ca/roots",
        "/v1/agent/connect/ca/leaf/web",
        "/v1/connect/intentions/match?by=destination&name=web",
        "/v1/catalog/services",
        "/v1/config/mesh/mesh",
    ] {
        let first = get(&dev, path).await;
        let joint = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{joint}index={}&wait=30ms", first.index());
        let second = timeout(SOON, get(&dev, &path)).await.expect("ends");
        assert_eq!(second.index(), first.index(), "{path}");
        assert_eq!(second.body, first.body, "{path}");
    }
}

#[tokio::test]
async fn an_index_from_the_future_waits_and_then_shows_the_real_one() {
    let dev = ConsulDev::start().await.expect("starts");
    let answer = get(&dev, "/v1/catalog/nodes?index=999999&wait=30ms").await;
    assert_eq!(answer.status, 200);
    assert!(answer.index() < 999_999);
}

#[tokio::test]
async fn an_unrelated_intention_does_not_wake_a_match() {
    let dev = ConsulDev::start().await.expect("starts");
    let first = get(&dev, "/v1/connect/intentions/match?by=destination&name=web").await;
    let path = format!(
        "/v1/connect/intentions/match?by=destination&name=web&index={}&wait=200ms",
        first.index()
    );
    let second = blocked(&dev, &path, async || {
        dev.set_intention("a", "other", true).expect("set");
    })
    .await;
    assert_eq!(second.body, first.body);
    assert!(
        second.index() > first.index(),
        "the index it ends with has moved on"
    );
    let path = path.replace("wait=200ms", "wait=5m").replace(
        &format!("index={}", first.index()),
        &format!("index={}", second.index()),
    );
    let third = blocked(&dev, &path, async || {
        dev.set_intention("a", "web", true).expect("set");
    })
    .await;
    assert_eq!(third.json()["web"][0]["SourceName"], "a");
}

#[tokio::test]
async fn an_interruption_answers_at_once_with_the_same_index() {
    let dev = ConsulDev::start().await.expect("starts");
    let first = get(&dev, "/v1/connect/ca/roots").await;
    let path = format!("/v1/connect/ca/roots?index={}&wait=5m", first.index());
    let second = blocked(&dev, &path, async || dev.interrupt()).await;
    assert_eq!(second.index(), first.index());
}

#[tokio::test]
async fn a_rewound_index_goes_back() {
    let dev = ConsulDev::start().await.expect("starts");
    register(&dev, "web-1", "web", 9401).await;
    let before = get(&dev, "/v1/health/service/web").await.index();
    dev.rewind_index(3);
    let after = get(&dev, "/v1/health/service/web").await.index();
    assert!(after < before && after >= 1);
}

#[tokio::test]
async fn a_changed_instance_wakes_a_reader_of_its_hash() {
    let dev = ConsulDev::start().await.expect("starts");
    register(&dev, "web-1", "web", 9401).await;
    let first = get(&dev, "/v1/agent/service/web-1").await;
    let hash = first.header("x-consul-contenthash").to_owned();
    assert_eq!(first.json()["ContentHash"], hash.as_str());
    let path = format!("/v1/agent/service/web-1?hash={hash}&wait=5m");
    let second = blocked(&dev, &path, async || {
        register(&dev, "web-1", "web", 9402).await;
    })
    .await;
    assert_ne!(second.header("x-consul-contenthash"), hash);
    assert_eq!(second.json()["Port"], 9402);
}

#[tokio::test]
async fn a_deleted_token_ends_a_waiting_health_read_with_403() {
    let dev = ConsulDev::builder()
        .acl(true)
        .start()
        .await
        .expect("starts");
    let token = dev.create_token(consul_dev::Policy::service_identity("web"));
    let first = get_as(&dev, "/v1/health/connect/web", &token.secret_id).await;
    let path = format!("/v1/health/connect/web?index={}&wait=5m", first.index());
    let read = get_as(&dev, &path, &token.secret_id);
    let act = async {
        support::until("the read", || async { dev.request_count("GET *") == 2 }).await;
        assert!(dev.delete_token(&token.secret_id));
    };
    let (answer, ()) = timeout(SOON, async { tokio::join!(read, act) })
        .await
        .expect("woken");
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (403, "ACL not found")
    );
}
