//! Deciding takes no memory: not about a connection, whatever the number of intentions, nor about a request by its path, its
//! headers and its method. Only a token is worth some.

use std::alloc::System;

use consul_api::intention::Intention;
use consul_connect::{
    Decision, ServiceId, Verdict,
    intention::{Compiled, DefaultPolicy},
    jwt::Tokens,
};
use http::{Request, request::Parts};
use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn compiled(intentions: impl IntoIterator<Item = Value>) -> Compiled {
    let intentions: Vec<Intention> = intentions
        .into_iter()
        .map(|one| serde_json::from_value(one).expect("an intention"))
        .collect();
    Compiled::new(&"api".parse().expect("a name"), &intentions)
}

fn caller(name: &str) -> ServiceId {
    let domain = "11111111-2222-3333-4444-555555555555.consul".parse();
    ServiceId::new(
        domain.expect("a domain"),
        "dc1",
        name.parse().expect("a name"),
    )
}

fn head(path: &str) -> Parts {
    let request = Request::get(path)
        .header("x-team", "blue")
        .header("x-team", "green")
        .header("user-agent", "curl/8");
    request.body(()).expect("a request").into_parts().0
}

/// One test, because the allocator counts for the whole process.
#[test]
fn a_decision_takes_no_memory() {
    let callers = (0..10_000).map(|number| {
        let action = if number % 2 == 0 { "allow" } else { "deny" };
        json!({ "SourceName": format!("caller-{number}"), "DestinationName": "api", "Action": action })
    });
    let connections = compiled(callers);
    let requests = compiled([json!({
        "SourceName": "web", "DestinationName": "api", "Permissions": [
            { "Action": "deny", "HTTP": { "PathPrefix": "/admin" } },
            { "Action": "deny", "HTTP": { "Header": [{ "Name": "x-team", "Contains": "RED", "IgnoreCase": true }] } },
            { "Action": "deny", "HTTP": { "Header": [{ "Name": "user-agent", "Regex": "(wget|python).*" }] } },
            { "Action": "allow", "HTTP": { "PathRegex": "/v[0-9]+/items/[^/]+", "Methods": ["GET", "HEAD"] } },
        ],
    })]);
    let (allowed, denied, unnamed) = (caller("caller-9998"), caller("caller-9999"), caller("web"));
    let (item, admin, other) = (head("/v1/items/17?x=1"), head("/admin/x"), head("/else"));
    let tokens = Tokens::default();

    let region = Region::new(ALLOCATOR);
    for default in [DefaultPolicy::Allow, DefaultPolicy::Deny] {
        for _ in 0..100 {
            assert!(matches!(
                connections.connection(&allowed, default),
                Some(Verdict::Allow(_))
            ));
            assert!(matches!(
                connections.connection(&denied, default),
                Some(Verdict::Deny(_))
            ));
            assert!(connections.connection(&unnamed, default).is_none());
            let decide = |head| requests.request(&unnamed, head, &tokens, default);
            assert!(matches!(decide(&item), Some(Decision::Allow(_))));
            assert!(matches!(decide(&admin), Some(Decision::Deny(_))));
            let by_default = matches!(decide(&other), Some(Decision::Allow(_)));
            assert_eq!(by_default, default == DefaultPolicy::Allow);
        }
    }
    let change = region.change();
    assert_eq!(
        (change.allocations, change.reallocations),
        (0, 0),
        "{change:?}"
    );
}
