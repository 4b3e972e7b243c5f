//! Intentions: order, precedence, what an entry says of each source, and what is refused.

#[path = "support/http.rs"]
mod support;

use consul_dev::ConsulDev;
use serde_json::{Value, json};
use support::get;

async fn matching(dev: &ConsulDev, name: &str) -> Vec<(String, String, u64)> {
    let path = format!("/v1/connect/intentions/match?by=destination&name={name}");
    let all = get(dev, &path).await.json();
    all[name]
        .as_array()
        .into_iter()
        .flatten()
        .map(|intention| {
            let text = |key: &str| intention[key].as_str().unwrap_or("L7").to_owned();
            (
                text("SourceName"),
                text("Action"),
                intention["Precedence"].as_u64().unwrap_or(0),
            )
        })
        .collect()
}

#[tokio::test]
async fn exact_names_come_before_wildcards_and_peers_after_local_ones() {
    let dev = ConsulDev::start().await.expect("starts");
    dev.set_intention("*", "*", false).expect("set");
    dev.set_intention("monitor", "*", true).expect("set");
    dev.set_intention("*", "web", false).expect("set");
    dev.set_intention("zoo", "web", true).expect("set");
    dev.set_intention("api", "web", true).expect("set");
    let peer = json!({ "Name": "api", "Peer": "east", "Action": "deny" });
    dev.upsert_intention("web", &peer).expect("set");
    let own = |text: &str| text.to_owned();
    assert_eq!(
        matching(&dev, "web").await,
        [
            (own("api"), own("allow"), 9),
            (own("zoo"), own("allow"), 9),
            (own("api"), own("deny"), 9),
            (own("*"), own("deny"), 8),
            (own("monitor"), own("allow"), 6),
            (own("*"), own("deny"), 5),
        ]
    );
    assert!(dev.delete_intention("zoo", "web"));
    assert!(!dev.delete_intention("zoo", "web"));
    assert_eq!(matching(&dev, "web").await.len(), 5);
}

#[tokio::test]
async fn nothing_that_matches_is_null_not_an_empty_list() {
    let dev = ConsulDev::start().await.expect("starts");
    let answer = get(&dev, "/v1/connect/intentions/match?by=destination&name=web").await;
    assert_eq!(answer.body, r#"{"web":null}"#);
}

#[tokio::test]
async fn an_entrys_jwt_is_repeated_for_each_of_its_sources() {
    let dev = ConsulDev::start().await.expect("starts");
    dev.set_protocol("web", "http").expect("set");
    dev.put_config(&json!({
        "Kind": "jwt-provider", "Name": "okta", "Issuer": "i",
        "JSONWebKeySet": { "Local": { "JWKS": "e30=" } },
    }))
    .expect("set");
    dev.put_config(&json!({
        "Kind": "service-intentions", "Name": "web", "JWT": { "Providers": [{ "Name": "okta" }] },
        "Sources": [
            { "Name": "a", "Action": "allow" },
            { "Name": "b", "Permissions": [{ "Action": "allow", "HTTP": { "Methods": ["get"] } }] },
        ],
    }))
    .expect("set");
    dev.set_intention("*", "*", false).expect("set");
    let all = get(&dev, "/v1/connect/intentions/match?by=destination&name=web")
        .await
        .json();
    let jwt: Vec<bool> = all["web"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|intention| intention["JWT"].is_object())
        .collect();
    assert_eq!(jwt, [true, true, false]);
    let l7 = &all["web"][1];
    assert_eq!(l7["Permissions"][0]["HTTP"]["Methods"], json!(["GET"]));
    assert_eq!(l7["Action"], Value::Null);
}

#[tokio::test]
async fn consul_refuses_what_it_would_refuse() {
    let dev = ConsulDev::start().await.expect("starts");
    let rule = json!({ "Name": "a", "Permissions": [{ "Action": "allow", "HTTP": { "PathPrefix": "/" } }] });
    let refused = dev.upsert_intention("web", &rule).expect_err("tcp");
    assert_eq!(
        refused.to_string(),
        "refused: service \"web\" has protocol \"tcp\", which is incompatible with L7 intentions permissions"
    );
    dev.set_protocol("web", "grpc").expect("set");
    dev.upsert_intention("web", &rule).expect("now it fits");
    assert!(
        dev.set_protocol("web", "tcp").is_err(),
        "the rule needs the protocol"
    );
    assert!(dev.set_intention("a*", "web", true).is_err());
}
