//! Intentions about requests.

use super::*;
use crate::intention::compiled::Destination;

fn with_permissions(source: &str, permissions: serde_json::Value) -> wire::Intention {
    intention(json!({
        "SourceName": source, "DestinationName": "api", "Permissions": permissions,
    }))
}

#[test]
fn permissions_leave_a_connection_to_its_requests() {
    let l7 = with_permissions(
        "web",
        json!([{"Action": "allow", "HTTP": {"PathPrefix": "/"}}]),
    );
    let set = api(&[l7, rule("*", "api", "allow")]);
    assert_eq!(answer(&set, &caller("web")), Answer::PerRequest);
    assert_eq!(
        answer(&set, &caller("db")),
        Answer::Allow,
        "others are not touched"
    );
}

#[test]
fn the_first_permission_that_matches_decides_and_is_named() {
    let l7 = with_permissions(
        "web",
        json!([
            {"Action": "deny", "HTTP": {"PathPrefix": "/admin"}},
            {"Action": "allow", "HTTP": {"PathPrefix": "/"}},
        ]),
    );
    let set = api(&[l7]);
    match request(&set, "web", "/orders", DefaultPolicy::Deny) {
        Some(Decision::Allow(permit)) => {
            let rule = permit.rule().expect("a rule").to_string();
            assert_eq!(rule, "web => api (precedence 9, permission 1)");
        }
        other => panic!("allowed: {other:?}"),
    }
    match request(&set, "web", "/admin/x?y=/orders", DefaultPolicy::Allow) {
        Some(Decision::Deny(reason)) => {
            assert_eq!(reason.code(), "intention");
            assert_eq!(reason.rule().and_then(|rule| rule.permission), Some(0));
        }
        other => panic!("denied: {other:?}"),
    }
}

#[test]
fn where_no_permission_matches_the_default_decides_and_no_lower_intention() {
    let l7 = with_permissions(
        "web",
        json!([{"Action": "allow", "HTTP": {"PathExact": "/orders"}}]),
    );
    let set = api(&[l7, rule("*", "api", "allow")]);
    match request(&set, "web", "/other", DefaultPolicy::Deny) {
        Some(Decision::Deny(reason)) => {
            assert_eq!(reason.code(), "no_permission");
            let text = reason.to_string();
            assert!(text.contains("web => api (precedence 9)"), "{text}");
        }
        other => panic!("denied: {other:?}"),
    }
    let allowed = request(&set, "web", "/other", DefaultPolicy::Allow);
    assert!(allowed.is_some_and(|decision| decision.is_allow()));
    assert!(request(&set, "db", "/other", DefaultPolicy::Deny).is_some_and(|d| d.is_allow()));
}

#[test]
fn permissions_that_cannot_be_carried_out_deny_the_caller_and_say_which() {
    for (permissions, word) in [
        (
            json!([{"Action": "allow", "HTTP": {"PathRegex": "("}}]),
            "PathRegex",
        ),
        (
            json!([{"Action": "allow", "HTTP": {"PathPrefix": "/", "Novelty": 1}}]),
            "Novelty",
        ),
        (
            json!([{"Action": "audit", "HTTP": {"PathPrefix": "/"}}]),
            "audit",
        ),
        (
            json!([{"Action": "allow", "HTTP": {"PathPrefix": "/"}, "JWT": {"Providers": []}}]),
            "provider",
        ),
    ] {
        let set = api(&[
            with_permissions("web", permissions),
            rule("*", "api", "allow"),
        ]);
        let (text, code) = denial(&set, "web");
        assert!(text.contains(word), "{text}");
        assert_eq!(code, "intention_unknown");
        assert!(set.findings()[0].denies);
    }
    let mut both = with_permissions(
        "web",
        json!([{"Action": "allow", "HTTP": {"PathPrefix": "/"}}]),
    );
    both.action = Some("allow".to_owned());
    assert!(denial(&api(&[both]), "web").0.contains("both"));
}

#[test]
fn permissions_deny_where_consul_says_that_there_are_no_requests() {
    let l7 = with_permissions(
        "web",
        json!([{"Action": "allow", "HTTP": {"PathPrefix": "/"}}]),
    );
    let tcp = Destination {
        service: name("api"),
        namespace: Some("default".to_owned()),
        has_requests: false,
    };
    let set = Compiled::about(&tcp, &[l7, rule("db", "api", "allow")]);
    assert!(denial(&set, "web").0.contains("tcp"));
    assert_eq!(answer(&set, &caller("db")), Answer::Allow);
}

#[test]
fn a_required_token_makes_a_permission_depend_on_the_request_and_a_denial_stay_one() {
    let jwt = json!({"Providers": [{"Name": "okta"}]});
    let mut allow = rule("web", "api", "allow");
    allow.jwt = Some(serde_json::from_value(jwt.clone()).expect("a requirement"));
    let mut deny = rule("db", "api", "deny");
    deny.jwt = Some(serde_json::from_value(jwt).expect("a requirement"));
    let set = api(&[allow, deny]);
    assert_eq!(set.token_providers().collect::<Vec<_>>(), ["okta"]);
    assert_eq!(answer(&set, &caller("web")), Answer::PerRequest);
    // Consul's proxies enforce nothing here where the default allows.
    for default in [DefaultPolicy::Allow, DefaultPolicy::Deny] {
        match request(&set, "web", "/", default) {
            Some(Decision::Deny(reason)) => {
                let text = reason.to_string();
                assert!(
                    text.contains("`okta`") && text.contains("web => api"),
                    "{text}"
                );
            }
            other => panic!("denied: {other:?}"),
        }
    }
    assert_eq!(denial(&set, "db").1, "intention");
}

#[test]
fn a_provider_is_known_from_what_cannot_be_carried_out_too() {
    let jwt = |name: &str| json!({"Providers": [{"Name": name}]});
    let mut faulty = with_permissions(
        "web",
        json!([{"Action": "allow", "HTTP": {"PathRegex": "("}, "JWT": jwt("a")}]),
    );
    faulty.jwt = Some(serde_json::from_value(jwt("b")).expect("a requirement"));
    let mut denied = rule("db", "api", "deny");
    denied.jwt = Some(serde_json::from_value(jwt("c")).expect("a requirement"));
    let l7 = with_permissions(
        "shop",
        json!([{"Action": "allow", "HTTP": {"PathPrefix": "/"}, "JWT": jwt("d")}]),
    );
    let tcp = Destination {
        service: name("api"),
        namespace: None,
        has_requests: false,
    };
    let set = Compiled::about(&tcp, &[faulty, denied, l7]);
    assert_eq!(
        set.token_providers().collect::<Vec<_>>(),
        ["a", "b", "c", "d"]
    );
}
