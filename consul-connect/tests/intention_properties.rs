//! Every decision about intentions against the rules as Consul's documentation says them, written down once more without an index,
//! an order or a compiler. With `MESH_SCALE=full` each property asks a million questions, four of each set; otherwise a fiftieth.

#[path = "intention_properties/model.rs"]
mod model;
#[path = "intention_properties/requests.rs"]
mod requests;
#[path = "intention_properties/rules.rs"]
mod rules;

use consul_connect::{
    Decision, ServiceId, ServiceName, Verdict,
    intention::{Compiled, DefaultPolicy},
    jwt::Tokens,
};
use proptest::prelude::*;

use requests::{Request, any_request};
use rules::{Effect, Rule, any_effect, any_rule, any_rules};

/// The callers asked about; `nobody` is named by no rule.
const CALLERS: [&str; 4] = ["web", "Web", "db", "nobody"];

fn compile(rules: &[Rule]) -> Compiled {
    let wire: Vec<_> = rules.iter().map(Rule::to_wire).collect();
    Compiled::new(&ServiceName::try_from("api").expect("a name"), &wire)
}

fn caller(name: &str) -> ServiceId {
    let trust_domain = "11111111.consul".parse().expect("a trust domain");
    ServiceId::new(
        trust_domain,
        "dc1",
        ServiceName::try_from(name).expect("a name"),
    )
}

fn policy(allows: bool) -> DefaultPolicy {
    if allows {
        DefaultPolicy::Allow
    } else {
        DefaultPolicy::Deny
    }
}

/// Whether the request passes.
fn allowed(set: &Compiled, name: &str, request: &Request, default_allows: bool) -> bool {
    let head = request.to_head();
    set.request(
        &caller(name),
        &head,
        &Tokens::default(),
        policy(default_allows),
    )
    .map_or(default_allows, |decision| {
        matches!(decision, Decision::Allow(_))
    })
}

/// `full`, or a fiftieth of it.
fn cases(full: u32) -> ProptestConfig {
    ProptestConfig {
        cases: match std::env::var("MESH_SCALE").as_deref() {
            Err(std::env::VarError::NotPresent) | Ok("ci") => full / 50,
            Ok("full") => full,
            other => panic!("MESH_SCALE is `ci` or `full`, not {other:?}"),
        },
        // A failure is shown with what it took; nothing is written beside the sources.
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(1_000_000 / 4))]

    #[test]
    fn decides_as_the_model(rules in any_rules(), request in any_request(), default_allows: bool) {
        let set = compile(&rules);
        for name in CALLERS {
            prop_assert_eq!(
                allowed(&set, name, &request, default_allows),
                model::allows(&rules, name, &request, default_allows),
                "{}", name
            );
        }
    }

    #[test]
    fn the_order_of_the_rules_means_nothing(
        (rules, shuffled) in any_rules().prop_flat_map(|rules| (Just(rules.clone()), Just(rules).prop_shuffle())),
        request in any_request(), default_allows: bool,
    ) {
        let (set, shuffled) = (compile(&rules), compile(&shuffled));
        for name in CALLERS {
            prop_assert_eq!(
                allowed(&set, name, &request, default_allows),
                allowed(&shuffled, name, &request, default_allows),
                "{}", name
            );
        }
    }

    #[test]
    fn another_denial_never_lets_anybody_in(
        rules in any_rules(), added in any_rule(), at: prop::sample::Index, request in any_request(), default_allows: bool,
    ) {
        let before = compile(&rules);
        let mut more = rules.clone();
        more.insert(at.index(rules.len() + 1), Rule { effect: Effect::Deny, ..added });
        let after = compile(&more);
        for name in CALLERS {
            prop_assert!(
                allowed(&before, name, &request, default_allows) || !allowed(&after, name, &request, default_allows),
                "{}", name
            );
        }
    }

    #[test]
    fn another_permission_that_denies_never_lets_anybody_in(
        rules in any_rules(), to: prop::sample::Index, at: prop::sample::Index, added in rules::any_permission(),
        request in any_request(), default_allows: bool,
    ) {
        let before = compile(&rules);
        let mut more = rules.clone();
        let to = to.index(rules.len().max(1));
        if let Some(Rule { effect: Effect::Permissions(permissions), .. }) = more.get_mut(to) {
            permissions.insert(at.index(permissions.len() + 1), rules::Permission { allow: false, ..added });
        }
        let after = compile(&more);
        for name in CALLERS {
            prop_assert!(
                allowed(&before, name, &request, default_allows) || !allowed(&after, name, &request, default_allows),
                "{}", name
            );
        }
    }

    #[test]
    fn what_is_not_understood_denies_whom_it_would_have_decided_about(
        rules in any_rules(), to: prop::sample::Index, unknown in rules::any_unknown_effect(),
        request in any_request(), default_allows: bool,
    ) {
        let mut rules = rules;
        let to = to.index(rules.len().max(1));
        if let Some(rule) = rules.get_mut(to) {
            rule.effect = unknown;
        }
        let set = compile(&rules);
        for name in CALLERS {
            if model::deciding(&rules, name).is_some_and(|rule| !rule.effect.is_understood()) {
                prop_assert!(!allowed(&set, name, &request, default_allows), "{}", name);
            }
        }
    }

    #[test]
    fn an_effect_changes_nothing_for_whom_another_rule_decides(
        rules in any_rules(), to: prop::sample::Index, effect in any_effect(), request in any_request(),
    ) {
        let before = compile(&rules);
        let mut changed = rules.clone();
        let to = to.index(rules.len().max(1));
        if let Some(rule) = changed.get_mut(to) {
            rule.effect = effect;
        }
        let after = compile(&changed);
        for name in CALLERS {
            if model::deciding(&rules, name).is_none_or(|rule| *rule != rules[to]) {
                prop_assert_eq!(
                    allowed(&before, name, &request, false),
                    allowed(&after, name, &request, false),
                    "{}", name
                );
            }
        }
    }

    #[test]
    fn what_is_said_about_a_connection_holds_for_its_requests(
        rules in any_rules(), request in any_request(), default_allows: bool,
    ) {
        let set = compile(&rules);
        for name in CALLERS {
            let connection = set.connection(&caller(name), policy(default_allows));
            let may = allowed(&set, name, &request, default_allows);
            match connection {
                Some(Verdict::Allow(_)) => prop_assert!(may, "{}", name),
                Some(Verdict::Deny(_)) => prop_assert!(!may, "{}", name),
                None => prop_assert_eq!(may, default_allows, "{}", name),
                Some(_) => {}
            }
        }
    }
}
