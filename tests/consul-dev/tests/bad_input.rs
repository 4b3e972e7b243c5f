//! No body, however wrong, takes a connection down: every request gets a reply.

#[path = "support/http.rs"]
mod support;

use consul_dev::ConsulDev;
use serde_json::{Value, json};
use support::try_call;

/// Every value with one part of it replaced by `junk`.
fn mutations(value: &Value, junk: &Value) -> Vec<Value> {
    let mut found = vec![junk.clone()];
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                for mutated in mutations(inner, junk) {
                    let mut copy = map.clone();
                    copy.insert(key.clone(), mutated);
                    found.push(Value::Object(copy));
                }
            }
        }
        Value::Array(items) => {
            for (at, inner) in items.iter().enumerate() {
                for mutated in mutations(inner, junk) {
                    let mut copy = items.clone();
                    copy[at] = mutated;
                    found.push(Value::Array(copy));
                }
            }
        }
        _ => {}
    }
    found
}

fn valid() -> Vec<(&'static str, &'static str, Value)> {
    let check = json!({ "CheckID": "c", "Name": "n", "TTL": "1h", "Status": "passing" });
    let permission = json!({
        "Action": "allow",
        "HTTP": { "PathPrefix": "/", "Methods": ["GET"], "Header": [{ "Name": "a", "Present": true }] },
        "JWT": { "Providers": [{ "Name": "okta", "VerifyClaims": [{ "Path": ["a"], "Value": "b" }] }] },
    });
    let config = |entry: Value| ("PUT", "/v1/config", entry);
    vec![
        (
            "PUT",
            "/v1/agent/service/register",
            json!({
                "ID": "a", "Name": "a", "Port": 1, "Tags": ["t"], "Meta": { "k": "v" },
                "Weights": { "Passing": 1, "Warning": 1 }, "Check": check, "Checks": [check],
                "TaggedAddresses": { "lan": { "Address": "a", "Port": 1 } },
                "Connect": { "SidecarService": { "Port": 2, "Proxy": {
                    "Config": { "a": 1 }, "Upstreams": [{ "DestinationName": "b" }], "Expose": { "Paths": [{ "Path": "/" }] },
                } } },
            }),
        ),
        (
            "PUT",
            "/v1/agent/service/register",
            json!({ "Name": "m", "Ports": [{ "Name": "p", "Port": 1, "Default": true }] }),
        ),
        ("PUT", "/v1/agent/check/register", check),
        (
            "PUT",
            "/v1/agent/check/update/c",
            json!({ "Status": "passing", "Output": "o" }),
        ),
        (
            "PUT",
            "/v1/catalog/register",
            json!({
                "Node": "n", "Address": "a", "NodeMeta": { "k": "v" }, "TaggedAddresses": { "lan": "a" },
                "Service": { "ID": "s", "Service": "s", "Port": 1, "Tags": ["t"], "Connect": { "Native": true },
                             "Proxy": { "Config": {} }, "TaggedAddresses": { "lan": { "Address": "a", "Port": 1 } } },
                "Check": { "CheckID": "c", "Name": "c", "Status": "passing", "ServiceID": "s", "Definition": { "TCP": "a" } },
                "Checks": [{ "CheckID": "d", "Status": "passing" }],
            }),
        ),
        (
            "PUT",
            "/v1/catalog/deregister",
            json!({ "Node": "n", "ServiceID": "s" }),
        ),
        (
            "POST",
            "/v1/agent/connect/authorize",
            json!({ "Target": "a", "ClientCertURI": "spiffe://x/ns/default/dc/dc1/svc/b", "ClientCertSerial": "1" }),
        ),
        config(
            json!({ "Kind": "service-defaults", "Name": "a", "Protocol": "http", "MeshGateway": { "Mode": "local" },
                       "UpstreamConfig": { "Overrides": [{ "Name": "b" }] }, "Meta": { "k": "v" } }),
        ),
        config(
            json!({ "Kind": "proxy-defaults", "Name": "global", "Config": { "protocol": "http" }, "MeshGateway": {} }),
        ),
        config(
            json!({ "Kind": "jwt-provider", "Name": "okta", "JSONWebKeySet": { "Local": { "JWKS": "e30=" } } }),
        ),
        config(
            json!({ "Kind": "service-intentions", "Name": "a", "JWT": { "Providers": [{ "Name": "okta" }] },
                       "Sources": [{ "Name": "b", "Permissions": [permission] }, { "Name": "c", "Action": "allow" }] }),
        ),
        config(
            json!({ "Kind": "mesh", "TLS": { "Incoming": { "CipherSuites": ["a"] } }, "Peering": {},
                       "TransparentProxy": {}, "HTTP": { "Incoming": { "RequestNormalization": { "MergeSlashes": true } } } }),
        ),
        config(
            json!({ "Kind": "service-resolver", "Name": "a", "DefaultSubset": "v", "ConnectTimeout": "1s",
                       "Subsets": { "v": { "Filter": "x" } }, "LoadBalancer": { "Policy": "random" } }),
        ),
        config(json!({ "Kind": "service-resolver", "Name": "r", "Redirect": { "Service": "a" } })),
        config(
            json!({ "Kind": "terminating-gateway", "Name": "t", "Services": [{ "Name": "a" }] }),
        ),
        config(
            json!({ "Kind": "ingress-gateway", "Name": "i", "Listeners": [{ "Services": [{ "Name": "a" }] }] }),
        ),
        (
            "PUT",
            "/v1/connect/intentions/exact?source=b&destination=a",
            json!({ "Action": "allow", "Description": "d", "Meta": { "k": "v" } }),
        ),
        (
            "PUT",
            "/v1/connect/ca/configuration",
            json!({ "Provider": "consul", "Config": { "LeafCertTTL": "1h" } }),
        ),
        (
            "POST",
            "/v1/discovery-chain/a",
            json!({ "OverrideProtocol": "http", "OverrideConnectTimeout": "1s", "OverrideMeshGateway": { "Mode": "local" } }),
        ),
        (
            "POST",
            "/v1/internal/acl/authorize",
            json!([{ "Resource": "service", "Access": "read", "Segment": "a" }]),
        ),
        (
            "POST",
            "/v1/acl/login",
            json!({ "AuthMethod": "a", "BearerToken": "b", "Meta": { "k": "v" } }),
        ),
    ]
}

const READS: &[&str] = &[
    "/v1/agent/services",
    "/v1/agent/checks",
    "/v1/health/service/a",
    "/v1/health/connect/a",
    "/v1/health/ingress/a",
    "/v1/health/state/any",
    "/v1/catalog/services",
    "/v1/catalog/service/s",
    "/v1/catalog/node/n",
    "/v1/connect/intentions",
    "/v1/connect/intentions/match?by=destination&name=a",
    "/v1/discovery-chain/a",
    "/v1/discovery-chain/r",
];

#[tokio::test]
async fn every_wrong_body_gets_a_reply_and_reads_go_on() {
    let dev = ConsulDev::builder()
        .acl(true)
        .start()
        .await
        .expect("starts");
    let token = dev.management_token().to_owned();
    let junk = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1.5e300),
        json!("x*"),
        json!([1, null]),
        json!({ "a": [] }),
    ];
    let mut sent = 0;
    for (method, path, body) in valid() {
        for junk in &junk {
            for mutated in mutations(&body, junk) {
                let text = mutated.to_string();
                let reply = try_call(&dev, method, path, &token, text.clone()).await;
                assert!(reply.is_ok(), "{method} {path} {text}: {reply:?}");
                sent += 1;
            }
        }
        let reply = try_call(&dev, method, path, &token, body.to_string()).await;
        assert!(reply.is_ok());
        for read in READS {
            let reply = try_call(&dev, "GET", read, &token, String::new()).await;
            assert!(reply.is_ok(), "{read} after {path}: {reply:?}");
        }
    }
    println!("{sent} wrong bodies");
}

#[tokio::test]
async fn every_wrong_path_and_query_gets_a_reply() {
    let dev = ConsulDev::start().await.expect("starts");
    let paths = [
        "/",
        "/v1",
        "/v1/",
        "//",
        "/v1/kv/",
        "/v1/kv/%00",
        "/v1/kv/%zz",
        "/v1/config/",
        "/v1/config//",
        "/v1/config/mesh/",
        "/v1/health/service/%C3%B6",
        "/v1/health/service/a%2Fb",
        "/v1/agent/connect/ca/leaf/%C3%B6",
        "/v1/catalog/node/%",
        "/v1/agent/connect/ca/leaf/a?index=18446744073709551616",
        "/v1/health/service/a?wait=1e400s",
        "/v1/health/service/a?wait=..s",
        "/v1/health/service/a?index=5&wait=0.0000000001s",
        "/v1/health/service/a?filter=%22",
        "/v1/health/service/a?filter=((((",
        "/v1/health/service/a?filter=%C3%B6+==+1",
        "/v1/health/service/a?filter=Service[",
        "/v1/health/service/a?filter=not",
        "/v1/health/service/a?tag&node-meta&node-meta=:",
        "/v1/connect/intentions/match?by=destination&name=a/b/c/d",
        "/v1/connect/intentions/exact?source=&destination=",
        "/v1/agent/service/?hash=&wait=-1s",
    ];
    for path in paths {
        for method in ["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH"] {
            let reply = try_call(&dev, method, path, "", "{".to_owned()).await;
            assert!(reply.is_ok(), "{method} {path}: {reply:?}");
        }
    }
}
