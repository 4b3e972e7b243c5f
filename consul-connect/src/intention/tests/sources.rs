//! Whom an intention is about.

use super::*;

#[test]
fn names_are_compared_literally() {
    let set = api(&[rule("web", "api", "allow"), rule("w.b", "api", "deny")]);
    for other in ["Web", "web2", "we", "web.", "wxb"] {
        assert_eq!(answer(&set, &caller(other)), Answer::Nothing, "{other}");
    }
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
