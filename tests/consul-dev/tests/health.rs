//! Health: TTLs run out, what stays critical is removed, and a test can set what it needs.

#[path = "support/http.rs"]
mod support;

use std::time::Duration;

use consul_dev::ConsulDev;
use serde_json::json;
use support::{get, put, register, until};

async fn passing(dev: &ConsulDev, name: &str) -> usize {
    let entries = get(dev, &format!("/v1/health/connect/{name}?passing"))
        .await
        .json();
    entries.as_array().expect("a list").len()
}

#[tokio::test]
async fn a_ttl_that_is_not_renewed_turns_critical_and_says_so() {
    let dev = ConsulDev::start().await.expect("starts");
    let body = json!({
        "Name": "web", "Port": 1, "Connect": { "Native": true },
        "Check": { "CheckID": "ttl", "TTL": "300ms", "Status": "passing" },
    });
    put(&dev, "/v1/agent/service/register", body).await;
    put(&dev, "/v1/agent/check/pass/ttl?note=alive", json!(null)).await;
    assert_eq!(passing(&dev, "web").await, 1);
    until("expiry", || async { passing(&dev, "web").await == 0 }).await;
    let checks = get(&dev, "/v1/health/checks/web").await.json();
    assert_eq!(checks[0]["Status"], "critical");
    assert_eq!(
        checks[0]["Output"],
        "TTL expired (last output before timeout follows): alive"
    );
    put(
        &dev,
        "/v1/agent/check/update/ttl",
        json!({ "Status": "passing", "Output": "" }),
    )
    .await;
    assert_eq!(passing(&dev, "web").await, 1);
}

#[tokio::test]
async fn an_instance_that_stays_critical_is_removed() {
    let dev = ConsulDev::builder()
        .reap_minimum(Duration::from_millis(50))
        .start()
        .await
        .expect("starts");
    let body = json!({
        "ID": "web-1", "Name": "web", "Port": 1,
        "Check": { "TTL": "1h", "DeregisterCriticalServiceAfter": "50ms" },
    });
    put(&dev, "/v1/agent/service/register", body).await;
    assert_eq!(dev.service_ids(), ["web-1"]);
    until("removal", || async { dev.service_ids().is_empty() }).await;
    assert_eq!(get(&dev, "/v1/health/service/web").await.json(), json!([]));
    assert_eq!(
        put(&dev, "/v1/agent/check/pass/service:web-1", json!(null))
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn a_test_sets_the_health_of_instances_and_nodes() {
    let dev = ConsulDev::start().await.expect("starts");
    register(&dev, "web-1", "web", 1).await;
    dev.register_on_node(
        "far",
        "192.0.2.9",
        &json!({ "ID": "web-2", "Service": "web", "Port": 2, "Connect": { "Native": true } }),
    );
    assert_eq!(passing(&dev, "web").await, 2);
    dev.set_health("web-1", "critical").expect("known");
    assert_eq!(passing(&dev, "web").await, 1);
    dev.set_node_health("far", "critical");
    assert_eq!(passing(&dev, "web").await, 0);
    dev.set_health("web-1", "passing").expect("known");
    dev.set_node_health("far", "passing");
    assert_eq!(passing(&dev, "web").await, 2);
    assert!(dev.set_health("none", "passing").is_err());
    assert!(dev.set_health("web-1", "fine").is_err());
}

#[tokio::test]
async fn a_wiped_agent_has_forgotten_its_registrations() {
    let dev = ConsulDev::start().await.expect("starts");
    register(&dev, "web-1", "web", 1).await;
    dev.set_intention("a", "web", true).expect("set");
    dev.wipe_agent();
    assert_eq!(passing(&dev, "web").await, 0);
    let answer = put(&dev, "/v1/agent/check/pass/web-1-ttl", json!(null)).await;
    assert_eq!(answer.status, 404);
    let kept = get(&dev, "/v1/config/service-intentions/web").await;
    assert_eq!(kept.status, 200);
}

#[tokio::test]
async fn an_alias_check_follows_the_instance_it_names() {
    let dev = ConsulDev::start().await.expect("starts");
    let body = json!({
        "ID": "api-1", "Name": "api", "Port": 1, "Check": { "TTL": "1h", "Status": "passing" },
        "Connect": { "SidecarService": {} },
    });
    put(&dev, "/v1/agent/service/register", body).await;
    let alias = || async {
        let checks = get(&dev, "/v1/agent/checks").await.json();
        checks["service:api-1-sidecar-proxy:2"]["Status"].clone()
    };
    assert_eq!(alias().await, "passing");
    dev.set_health("api-1", "critical").expect("known");
    assert_eq!(alias().await, "critical");
}
