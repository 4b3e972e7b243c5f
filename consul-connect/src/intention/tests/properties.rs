//! The compiled set against a literal model: who is whom, in every namespace, partition and cluster peer.

mod model;

use std::sync::OnceLock;

use proptest::prelude::*;

use super::*;

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
