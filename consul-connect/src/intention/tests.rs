//! The compiled set against a literal model of Consul's documented rules.

use std::sync::OnceLock;

use consul_api::intention as wire;
use proptest::prelude::*;
use serde_json::json;

use super::compiled::Destination;
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

#[test]
fn an_exact_source_goes_before_a_wildcard_and_an_exact_destination_before_both() {
    let set = api(&[
        rule("*", "api", "deny"),
        rule("web", "api", "allow"),
        rule("web", "*", "deny"),
    ]);
    assert_eq!(answer(&set, &caller("web")), Answer::Allow);
    assert_eq!(answer(&set, &caller("other")), Answer::Deny);
    // Envoy's configuration would let the more specific source through here; Consul's documentation does not.
    let set = api(&[rule("web", "*", "allow"), rule("*", "api", "deny")]);
    assert_eq!(answer(&set, &caller("web")), Answer::Deny);
}

#[test]
fn names_are_compared_literally() {
    let set = api(&[rule("web", "api", "allow"), rule("w.b", "api", "deny")]);
    for other in ["Web", "web2", "we", "web.", "wxb"] {
        assert_eq!(answer(&set, &caller(other)), Answer::Nothing, "{other}");
    }
}

#[test]
fn nothing_said_about_a_caller_leaves_it_to_the_default() {
    assert_eq!(answer(&api(&[]), &caller("web")), Answer::Nothing);
    assert_eq!(
        answer(&api(&[rule("db", "api", "deny")]), &caller("web")),
        Answer::Nothing
    );
}

#[test]
fn a_reason_names_the_rule_and_its_precedence() {
    let set = api(&[rule("web", "api", "deny")]);
    let Some(Verdict::Deny(reason)) = set.connection(&caller("web"), DefaultPolicy::Deny) else {
        panic!("denied")
    };
    assert_eq!(
        reason.to_string(),
        "the intention web => api (precedence 9) denies it"
    );
    assert_eq!(reason.code(), "intention");
    let rule = reason.rule().expect("a rule");
    assert_eq!(
        (
            rule.source.as_str(),
            rule.destination.as_str(),
            rule.precedence
        ),
        ("web", "api", 9)
    );
}

#[test]
fn a_precedence_sent_by_the_server_decides_nothing() {
    let mut allow = rule("*", "api", "allow");
    allow.precedence = 9;
    let mut deny = rule("web", "api", "deny");
    deny.precedence = 1;
    assert_eq!(answer(&api(&[allow, deny]), &caller("web")), Answer::Deny);
}

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
        namespace: "default".to_owned(),
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
fn where_the_default_allows_a_lower_denial_that_names_the_caller_stands() {
    let set = api(&[rule("*", "api", "allow"), rule("web", "*", "deny")]);
    assert_eq!(answer(&set, &caller("web")), Answer::Allow);
    assert!(matches!(
        set.connection(&caller("web"), DefaultPolicy::Allow),
        Some(Verdict::Deny(_))
    ));
    assert!(request(&set, "web", "/", DefaultPolicy::Allow).is_some_and(|d| !d.is_allow()));
    assert!(request(&set, "db", "/", DefaultPolicy::Allow).is_some_and(|d| d.is_allow()));
}

#[test]
fn what_is_not_understood_denies() {
    let unknown: Vec<(serde_json::Value, &str)> = vec![
        (
            json!({"SourceName": "web", "DestinationName": "api", "Action": "audit"}),
            "\"audit\"",
        ),
        (
            json!({"SourceName": "web", "DestinationName": "api", "Action": "Allow"}),
            "\"Allow\"",
        ),
        (
            json!({"SourceName": "web", "DestinationName": "api"}),
            "neither",
        ),
        (
            json!({"SourceName": "web", "DestinationName": "api", "Action": "allow", "SourceType": "spire"}),
            "\"spire\"",
        ),
        (
            json!({"SourceName": "web", "DestinationName": "api", "Action": "allow", "SourceSamenessGroup": "all"}),
            "sameness group",
        ),
        (
            json!({"DestinationName": "api", "Action": "allow"}),
            "no source",
        ),
        (
            json!({"SourceName": "web", "SourcePartition": "*", "DestinationName": "api", "Action": "allow"}),
            "partition",
        ),
    ];
    for (unknown, word) in unknown {
        let set = api(&[intention(unknown), rule("*", "api", "allow")]);
        let (text, code) = denial(&set, "web");
        assert!(text.contains(word), "{text}");
        assert_eq!(code, "intention_unknown");
        assert!(
            set.findings()
                .iter()
                .any(|finding| finding.denies && finding.text.contains(word))
        );
    }
}

#[test]
fn an_unknown_key_of_an_entry_is_reported_and_the_entry_evaluated() {
    let mut allow = rule("web", "api", "allow");
    allow.extra.insert(
        "Novelty".to_owned(),
        serde_json::from_value(json!(true)).expect("json"),
    );
    let set = api(&[allow]);
    assert_eq!(answer(&set, &caller("web")), Answer::Allow);
    let [finding] = set.findings() else {
        panic!("one finding: {:?}", set.findings())
    };
    assert!(
        !finding.denies && finding.text.contains("`Novelty`"),
        "{finding:?}"
    );
}

fn cluster_peer(name: &str, trust_domain: &str) -> ClusterPeer {
    let roots = Roots::from_pem([TestCa::new(trust_domain).root_pem()], None);
    ClusterPeer::new(name, roots.expect("roots"))
}

fn from_east(mut rule: wire::Intention) -> wire::Intention {
    rule.source_peer = "east".to_owned();
    rule
}

#[test]
fn a_rule_about_a_cluster_peer_never_matches_a_caller_of_ours() {
    let set = api(&[
        from_east(rule("web", "api", "allow")),
        from_east(rule("*", "api", "deny")),
    ]);
    assert_eq!(answer(&set, &caller("web")), Answer::Nothing);
    assert_eq!(set.cluster_peers().collect::<Vec<_>>(), ["east", "east"]);
}

#[test]
fn a_caller_of_a_cluster_peer_is_matched_by_rules_about_that_peer_alone() {
    let (east, west) = (
        cluster_peer("east", "22222222.consul"),
        cluster_peer("west", "33333333.consul"),
    );
    let set = api(&[
        rule("web", "api", "deny"),
        rule("*", "api", "deny"),
        from_east(rule("web", "api", "allow")),
        from_east(rule("*", "api", "deny")),
    ]);
    let (web, db) = (caller("web"), caller("db"));
    assert_eq!(answer(&set, CallerId::of(&east, &web)), Answer::Allow);
    assert_eq!(answer(&set, CallerId::of(&east, &db)), Answer::Deny);
    assert_eq!(answer(&set, CallerId::of(&west, &web)), Answer::Nothing);
    assert_eq!(answer(&set, &web), Answer::Deny);
}

#[test]
fn a_cluster_peers_caller_is_of_the_partition_that_it_exports_from() {
    let east = cluster_peer("east", "22222222.consul").with_partition("shop");
    let set = api(&[from_east(rule("web", "api", "allow"))]);
    let of = |partition| caller("web").with_partition(partition);
    assert_eq!(
        answer(&set, CallerId::of(&east, &of("shop"))),
        Answer::Allow
    );
    for other in ["default", "Shop", "*"] {
        assert_eq!(
            answer(&set, CallerId::of(&east, &of(other))),
            Answer::Nothing
        );
    }
}

#[test]
fn the_members_of_a_sameness_group_are_matched_where_they_are() {
    let east = cluster_peer("east", "22222222.consul");
    let mut peer = from_east(rule("web", "api", "allow"));
    let mut partition = rule("web", "api", "allow");
    partition.source_partition = "west".to_owned();
    peer.source_sameness_group = "all".to_owned();
    partition.source_sameness_group = "all".to_owned();
    let set = api(&[peer, partition]);
    let web = caller("web");
    assert_eq!(answer(&set, CallerId::of(&east, &web)), Answer::Allow);
    assert_eq!(
        answer(&set, &caller("web").with_partition("west")),
        Answer::Allow
    );
    assert_eq!(answer(&set, &web), Answer::Nothing);
}

#[test]
fn partition_and_namespace_must_be_the_callers() {
    let mut other = rule("web", "api", "allow");
    other.source_partition = "west".to_owned();
    let set = api(&[other]);
    assert_eq!(answer(&set, &caller("web")), Answer::Nothing);
    assert_eq!(
        answer(&set, &caller("web").with_partition("west")),
        Answer::Allow
    );
    assert_eq!(
        answer(&set, &caller("web").with_partition("West")),
        Answer::Nothing
    );

    let set = api(&[rule("*", "api", "allow")]);
    assert_eq!(
        answer(&set, &caller("web").with_namespace("team")),
        Answer::Nothing
    );
    let mut everywhere = rule("*", "api", "allow");
    everywhere.source_ns = "*".to_owned();
    assert_eq!(
        answer(&api(&[everywhere]), &caller("web").with_namespace("team")),
        Answer::Allow
    );
}

#[test]
fn the_callers_datacenter_is_not_looked_at() {
    let elsewhere = ServiceId::new(
        "11111111.consul".parse().expect("a trust domain"),
        "dc9",
        name("web"),
    );
    assert_eq!(
        answer(&api(&[rule("web", "api", "allow")]), &elsewhere),
        Answer::Allow
    );
}

#[test]
fn an_intention_about_another_destination_is_left_out_and_reported() {
    let set = api(&[rule("web", "billing", "allow")]);
    assert_eq!(answer(&set, &caller("web")), Answer::Nothing);
    assert!(set.is_empty());
    assert_eq!(set.findings().len(), 1);
}

#[test]
fn the_reply_of_a_real_consul_is_read() {
    let reply: Vec<wire::Intention> = serde_json::from_value(json!([
        {"SourceNS": "default", "SourceName": "admin", "DestinationNS": "default", "DestinationName": "api",
         "SourceType": "consul", "Action": "allow", "Meta": {"owner": "lab"}, "Precedence": 9, "CreateIndex": 78, "ModifyIndex": 86},
        {"SourceNS": "default", "SourceName": "bad", "DestinationNS": "default", "DestinationName": "api",
         "SourceType": "consul", "Action": "deny", "Precedence": 9, "CreateIndex": 78, "ModifyIndex": 86},
        {"SourceNS": "default", "SourceName": "*", "DestinationNS": "default", "DestinationName": "api",
         "SourceType": "consul", "Action": "deny", "Precedence": 8, "CreateIndex": 78, "ModifyIndex": 86},
        {"SourceNS": "default", "SourceName": "monitor", "DestinationNS": "default", "DestinationName": "*",
         "SourceType": "consul", "Action": "allow", "Precedence": 6, "CreateIndex": 78, "ModifyIndex": 86},
        {"SourceNS": "default", "SourceName": "*", "DestinationNS": "default", "DestinationName": "*",
         "SourceType": "consul", "Action": "deny", "Precedence": 5, "CreateIndex": 78, "ModifyIndex": 86},
    ]))
    .expect("a reply");
    let set = api(&reply);
    assert_eq!(
        set.len(),
        4,
        "of the two rules about `*` the lower one can never decide"
    );
    assert_eq!(answer(&set, &caller("admin")), Answer::Allow);
    for denied in ["bad", "monitor", "anybody"] {
        assert_eq!(answer(&set, &caller(denied)), Answer::Deny, "{denied}");
    }
    assert!(set.findings().is_empty());
}

/// Consul's documented rules, written down as they are said and without an index.
mod model {
    use consul_api::intention::Intention;

    use super::Answer;
    use crate::ServiceId;

    fn or_default(value: &str) -> &str {
        if value.is_empty() { "default" } else { value }
    }

    fn fits(pattern: &str, value: &str) -> bool {
        pattern == "*" || pattern == value
    }

    fn unreadable(rule: &Intention) -> bool {
        rule.source_name.is_empty() || (rule.source_partition == "*" && rule.source_peer.is_empty())
    }

    /// A group that nobody resolved.
    fn is_group(rule: &Intention) -> bool {
        !rule.source_sameness_group.is_empty()
            && rule.source_peer.is_empty()
            && rule.source_partition.is_empty()
    }

    fn matches(rule: &Intention, (caller, peer): (&ServiceId, &str)) -> bool {
        unreadable(rule)
            || (rule.source_peer == peer
                && fits(or_default(&rule.source_ns), caller.namespace())
                && fits(&rule.source_name, caller.service().as_str())
                && match peer {
                    "" => {
                        is_group(rule) || or_default(&rule.source_partition) == caller.partition()
                    }
                    _ => caller.partition() == "default",
                })
    }

    fn exact(namespace: &str, name: &str) -> i32 {
        match (or_default(namespace), name) {
            ("*", _) => 0,
            (_, "*") => 1,
            _ => 2,
        }
    }

    fn precedence(rule: &Intention) -> i32 {
        let highest = [3, 6, 9][exact(&rule.destination_ns, &rule.destination_name) as usize];
        highest - (2 - exact(&rule.source_ns, &rule.source_name))
    }

    fn allows(rule: &Intention) -> bool {
        !unreadable(rule)
            && ["", "consul"].contains(&rule.source_type.as_str())
            && !is_group(rule)
            && rule.permissions.as_ref().is_none_or(Vec::is_empty)
            && rule.jwt.is_none()
            && rule.action.as_deref() == Some("allow")
    }

    /// `caller` with the cluster peer it is of, or nothing.
    pub(super) fn decide(rules: &[Intention], service: &str, caller: (&ServiceId, &str)) -> Answer {
        let matching: Vec<&Intention> = rules
            .iter()
            .filter(|rule| {
                fits(or_default(&rule.destination_ns), "default")
                    && fits(&rule.destination_name, service)
            })
            .filter(|rule| matches(rule, caller))
            .collect();
        if matching.iter().any(|rule| unreadable(rule)) {
            return Answer::Deny;
        }
        let Some(highest) = matching.iter().map(|rule| precedence(rule)).max() else {
            return Answer::Nothing;
        };
        let mut deciding = matching.iter().filter(|rule| precedence(rule) == highest);
        if deciding.all(|rule| allows(rule)) {
            Answer::Allow
        } else {
            Answer::Deny
        }
    }
}

fn any_of(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(words).prop_map(str::to_owned)
}

const NAMES: &[&str] = &["web", "Web", "db", "*", "we*"];

prop_compose! {
    fn any_intention()(
        source in any_of(NAMES), source_ns in any_of(&["", "default", "default", "team", "*"]),
        partition in any_of(&["", "", "", "default", "west"]),
        peer in any_of(&["", "", "", "", "east"]),
        destination in any_of(&["api", "api", "*", "other"]), destination_ns in any_of(&["", "default", "*", "team"]),
        action in prop::option::weighted(0.95, any_of(&["allow", "allow", "allow", "deny", "deny", "audit"])),
        oddity in 0..40_u8,
    ) -> wire::Intention {
        let mut rule = wire::Intention::default();
        rule.source_name = source;
        rule.source_ns = source_ns;
        rule.source_partition = partition;
        rule.source_peer = peer;
        rule.destination_name = destination;
        rule.destination_ns = destination_ns;
        rule.action = action;
        match oddity {
            0 => rule.permissions = Some(vec![wire::Permission::default()]),
            1 => rule.jwt = Some(wire::JwtRequirement::default()),
            2 => rule.source_type = "spire".to_owned(),
            3 => rule.source_sameness_group = "all".to_owned(),
            4 => rule.source_name = String::new(),
            5 => rule.source_partition = "*".to_owned(),
            6 => rule.permissions = Some(Vec::new()),
            _ => rule.source_type = "consul".to_owned(),
        }
        rule
    }
}

prop_compose! {
    fn any_caller()(
        service in any_of(&["web", "Web", "db", "unnamed"]), namespace in any_of(&["default", "default", "team"]),
        partition in any_of(&["default", "default", "west"]),
    ) -> ServiceId {
        caller(&service).with_namespace(&namespace).with_partition(&partition)
    }
}

static EAST: OnceLock<ClusterPeer> = OnceLock::new();

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn the_compiled_set_decides_as_the_model(rules in prop::collection::vec(any_intention(), 0..12), caller in any_caller()) {
        let set = api(&rules);
        prop_assert_eq!(answer(&set, &caller), model::decide(&rules, "api", (&caller, "")));
        let east = EAST.get_or_init(|| cluster_peer("east", "22222222.consul"));
        let of_east = CallerId::of(east, &caller);
        prop_assert_eq!(answer(&set, of_east), model::decide(&rules, "api", (&caller, "east")));
    }

    #[test]
    fn the_order_of_a_reply_means_nothing(
        (rules, shuffled) in prop::collection::vec(any_intention(), 0..12)
            .prop_flat_map(|rules| (Just(rules.clone()), Just(rules).prop_shuffle())),
        caller in any_caller(),
    ) {
        prop_assert_eq!(answer(&api(&rules), &caller), answer(&api(&shuffled), &caller));
    }

    #[test]
    fn adding_a_denial_never_lets_anybody_in(
        rules in prop::collection::vec(any_intention(), 0..12), mut added in any_intention(),
        at in any::<prop::sample::Index>(), caller in any_caller(), default_allows in any::<bool>(),
    ) {
        added.action = Some("deny".to_owned());
        let allowed = |rules: &[wire::Intention]| match answer(&api(rules), &caller) {
            Answer::Allow => true,
            Answer::Deny | Answer::PerRequest => false,
            Answer::Nothing => default_allows,
        };
        let before = allowed(&rules);
        let mut after = rules.clone();
        after.insert(at.index(rules.len() + 1), added);
        prop_assert!(before || !allowed(&after));
    }

    #[test]
    fn adding_what_is_not_understood_never_lets_anybody_in(
        rules in prop::collection::vec(any_intention(), 0..12), mut added in any_intention(), word in "[a-zA-Z]{1,8}",
        caller in any_caller(), default_allows in any::<bool>(),
    ) {
        prop_assume!(word != "allow");
        added.action = Some(word);
        let allowed = |rules: &[wire::Intention]| match answer(&api(rules), &caller) {
            Answer::Allow => true,
            Answer::Deny | Answer::PerRequest => false,
            Answer::Nothing => default_allows,
        };
        let before = allowed(&rules);
        let mut after = rules;
        after.push(added);
        prop_assert!(before || !allowed(&after));
    }
}
