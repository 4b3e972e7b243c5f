//! The intentions that are decided by.

use consul_api::intention::Intention;
use http::{Request, request::Parts};
use serde_json::{Value, json};

use crate::Failure;

pub(super) fn caller(number: usize) -> String {
    format!("caller-{number}")
}

/// So many callers, all allowed.
pub(super) fn connections(count: usize) -> Vec<Intention> {
    (0..count)
        .map(|number| {
            intention(json!({
                "SourceNS": "default", "SourceName": caller(number), "DestinationNS": "default",
                "DestinationName": "api", "SourceType": "consul", "Action": "allow",
            }))
        })
        .collect()
}

/// The same callers as the sources of an entry.
pub(super) fn sources(count: usize) -> Vec<Value> {
    let names = (0..count).map(caller);
    names
        .map(|name| json!({ "Name": name, "Action": "allow" }))
        .collect()
}

pub(super) fn entry(service: &str, sources: Vec<Value>) -> Value {
    json!({ "Kind": "service-intentions", "Name": service, "Sources": sources })
}

/// What is asked about: a name, a path, and whether it is allowed.
pub(super) const REQUESTS: [(&str, &str, bool); 3] = [
    ("the first matches", "/status", true),
    ("the last matches", "/v1/items/1234567", true),
    ("none matches", "/nothing/of/this", false),
];

/// Ten permissions for `web`.
pub(super) fn requests() -> Vec<Intention> {
    vec![intention(json!({
        "SourceName": "web",
        "DestinationName": "api",
        "Permissions": permissions("/v1/items/[0-9]+(/parts)?"),
    }))]
}

/// Ten of them: paths of each kind, headers, methods. The last one allows what matches `last`.
pub(super) fn permissions(last: &str) -> Vec<Value> {
    let mut permissions = vec![json!({ "Action": "allow", "HTTP": { "PathExact": "/status" } })];
    for area in ["admin", "internal", "debug", "metrics"] {
        permissions
            .push(json!({ "Action": "deny", "HTTP": { "PathPrefix": format!("/{area}/") } }));
    }
    for (name, value) in [("x-team", "blue"), ("x-stage", "test")] {
        permissions.push(
            json!({ "Action": "deny", "HTTP": { "Header": [{ "Name": name, "Exact": value }] } }),
        );
    }
    permissions.push(json!({ "Action": "deny", "HTTP": { "Methods": ["DELETE", "TRACE"] } }));
    permissions.push(json!({ "Action": "allow", "HTTP": { "PathRegex": "/v1/users/[0-9]+", "Methods": ["GET"] } }));
    permissions.push(json!({ "Action": "allow", "HTTP": { "PathRegex": last } }));
    permissions
}

/// A request as a browser behind a gateway makes it.
pub(super) fn head(path: &str) -> Result<Parts, Failure> {
    let request = Request::get(path)
        .header("host", "api.example")
        .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64)")
        .header("accept", "application/json")
        .header("accept-encoding", "gzip, br")
        .header("x-request-id", "4f1c3a9e-7d2b-4c53-9a8e-0b6f1d2e3c4a")
        .header(
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        )
        .header("x-stage", "production")
        .header("content-length", "0");
    Ok(request.body(())?.into_parts().0)
}

fn intention(value: Value) -> Intention {
    serde_json::from_value(value).expect("written here")
}
