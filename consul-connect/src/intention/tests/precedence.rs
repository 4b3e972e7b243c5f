//! Which intention decides.

use super::*;

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

#[test]
fn a_destination_is_ours_however_its_entry_is_spelled() {
    // Consul answers with the entry `Api` when it is asked about `api`.
    let set = api(&[rule("web", "Api", "deny"), rule("*", "*", "allow")]);
    assert_eq!(answer(&set, &caller("web")), Answer::Deny);
    assert!(set.findings().is_empty());
}
