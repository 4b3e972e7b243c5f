//! The header in which a token's claims are forwarded is ours to write: no rule and no application sees what a caller wrote there.

use std::time::Duration;

use consul_api::{Client, Config};
use consul_connect::{
    Decision, Intentions, IntentionsConfig, ServiceId, ServiceName, TrustDomain,
    intention::DefaultPolicy,
};
use consul_dev::{ConsulDev, Fault, FaultRule};
use http::request::Parts;
use serde_json::{Value, json};
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(30);
const ENTRY: &str = "/v1/config/jwt-provider/okta";

fn name(name: &str) -> ServiceName {
    name.parse().expect("a service name")
}

/// An entry without a key in it, which changes nothing of what is ours to write.
fn okta() -> Value {
    json!({
        "Kind": "jwt-provider", "Name": "okta", "Issuer": "https://issuer",
        "JSONWebKeySet": { "Local": { "JWKS": "eyJrZXlzIjpbXX0=" } },
        "Forwarding": { "HeaderName": "X-Claims" },
    })
}

/// Intentions of `api` by which `web` may log in with a token, and do the rest with claims.
async fn intentions_of(dev: &ConsulDev) -> (Intentions, ServiceId) {
    let http = json!({ "Kind": "service-defaults", "Name": "api", "Protocol": "http" });
    dev.put_config(&http).expect("a valid entry");
    let jwt = json!({ "Providers": [{ "Name": "okta" }] });
    dev.put_config(&json!({
        "Kind": "service-intentions", "Name": "api", "Sources": [
            { "Name": "web", "Permissions": [
                { "Action": "allow", "HTTP": { "PathExact": "/login" }, "JWT": jwt },
                { "Action": "allow", "HTTP": { "PathExact": "/public" } },
                { "Action": "allow", "HTTP": { "Header": [{ "Name": "x-claims", "Present": true }] } },
            ] },
        ],
    }))
    .expect("a valid entry");
    let own: TrustDomain = dev.trust_domain().parse().expect("a trust domain");
    let client = Client::new(Config::new(dev.http_addr()).expect("an address"));
    let config = IntentionsConfig::default().default_policy(DefaultPolicy::Deny);
    let client = client.expect("a client");
    let intentions = Intentions::watch(&client, name("api"), own.clone(), config);
    (intentions, ServiceId::new(own, "dc1", name("web")))
}

/// A request that claims something by itself.
fn forged(path: &str) -> Parts {
    let request = http::Request::get(path).header("x-claims", "forged");
    request.body(()).expect("a request").into_parts().0
}

/// What the application sees of the claims, or why it sees nothing.
fn seen(intentions: &Intentions, web: &ServiceId, path: &str) -> Result<bool, &'static str> {
    let mut head = forged(path);
    match intentions.decide_request(web, &head) {
        Decision::Allow(permit) => {
            permit.edits().apply(&mut head);
            Ok(head.headers.contains_key("x-claims"))
        }
        Decision::Deny(reason) => Err(reason.code()),
        other => panic!("{other:?}"),
    }
}

async fn until(intentions: &Intentions, done: impl Fn() -> bool) {
    let mut changes = consul_connect::Authorize::changes(intentions);
    timeout(LONG, async {
        while !done() {
            changes.changed().await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("not within {LONG:?}: {}", intentions.status()));
}

#[tokio::test]
async fn no_rule_and_no_application_sees_what_the_caller_wrote() {
    let dev = ConsulDev::start().await.expect("a Consul");
    dev.put_config(&okta()).expect("a valid entry");
    let (intentions, web) = intentions_of(&dev).await;
    intentions.ready().await.expect("readable");
    assert_eq!(seen(&intentions, &web, "/public"), Ok(false));
    assert_eq!(seen(&intentions, &web, "/orders"), Err("no_permission"));
    let explained = intentions.explain(&web, Some(&forged("/orders")));
    assert!(!explained.verdict.is_allow(), "{explained}");
}

#[tokio::test]
async fn it_stays_ours_when_the_entry_cannot_be_carried_out_any_more() {
    let dev = ConsulDev::start().await.expect("a Consul");
    dev.put_config(&okta()).expect("a valid entry");
    let (intentions, web) = intentions_of(&dev).await;
    intentions.ready().await.expect("readable");
    let mut faulty = okta();
    faulty["Locations"] = json!([{ "Header": { "Name": "a b" } }]);
    dev.put_config(&faulty).expect("what Consul takes");
    let fault = || intentions.status().token_providers[0].fault.clone();
    until(&intentions, || {
        fault().is_some_and(|why| why.contains("a b"))
    })
    .await;
    assert_eq!(seen(&intentions, &web, "/public"), Ok(false));
    assert_eq!(seen(&intentions, &web, "/orders"), Err("no_permission"));
}

#[tokio::test]
async fn before_consul_has_told_which_header_it_is_nobody_is_let_in() {
    let dev = ConsulDev::start().await.expect("a Consul");
    dev.put_config(&okta()).expect("a valid entry");
    dev.fault(FaultRule::new(
        ENTRY,
        Fault::status(403, "Permission denied"),
    ));
    let (intentions, web) = intentions_of(&dev).await;
    intentions.ready().await.expect("readable");
    assert_eq!(seen(&intentions, &web, "/public"), Err("jwt_provider"));
    dev.clear_faults();
    until(&intentions, || {
        seen(&intentions, &web, "/public") == Ok(false)
    })
    .await;
}
