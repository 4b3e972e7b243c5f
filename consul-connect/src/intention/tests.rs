//! What a compiled set of intentions decides.

mod permissions;
mod precedence;
mod properties;
mod sources;
mod unknown;

use consul_api::intention as wire;
use serde_json::json;

use super::{CallerId, Compiled, DefaultPolicy};
use crate::jwt::Tokens;
use crate::{ClusterPeer, Decision, Roots, ServiceId, ServiceName, Verdict, test_util::TestCa};

fn name(name: &str) -> ServiceName {
    name.parse().expect("a service name")
}

fn caller(service: &str) -> ServiceId {
    ServiceId::new(
        "11111111.consul".parse().expect("a trust domain"),
        "dc1",
        name(service),
    )
}

fn intention(json: serde_json::Value) -> wire::Intention {
    serde_json::from_value(json).expect("an intention")
}

fn rule(source: &str, destination: &str, action: &str) -> wire::Intention {
    intention(json!({
        "SourceNS": "default", "SourceName": source, "DestinationNS": "default", "DestinationName": destination,
        "SourceType": "consul", "Action": action,
    }))
}

fn api(intentions: &[wire::Intention]) -> Compiled {
    Compiled::new(&name("api"), intentions)
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Allow,
    Deny,
    PerRequest,
    Nothing,
}

/// About a connection, where the default denies.
fn answer<'a>(set: &Compiled, caller: impl Into<CallerId<'a>>) -> Answer {
    match set.connection(caller, DefaultPolicy::Deny) {
        Some(Verdict::Allow(_)) => Answer::Allow,
        Some(Verdict::Deny(_)) => Answer::Deny,
        Some(Verdict::PerRequest) => Answer::PerRequest,
        None => Answer::Nothing,
    }
}

/// About a request without a token.
fn request(
    set: &Compiled,
    service: &str,
    target: &str,
    default: DefaultPolicy,
) -> Option<Decision> {
    let (head, ()) = http::Request::get(target)
        .body(())
        .expect("a request")
        .into_parts();
    set.request(&caller(service), &head, &Tokens::default(), default)
}

fn denial(compiled: &Compiled, service: &str) -> (String, &'static str) {
    match compiled.connection(&caller(service), DefaultPolicy::Deny) {
        Some(Verdict::Deny(reason)) => (reason.to_string(), reason.code()),
        other => panic!("expected a denial by a rule, got {other:?}"),
    }
}

fn cluster_peer(name: &str, trust_domain: &str) -> ClusterPeer {
    let roots = Roots::from_pem([TestCa::new(trust_domain).root_pem()], None);
    ClusterPeer::new(name, roots.expect("roots"))
}
