//! What holds whatever is sent.

use consul_api::intention as wire;
use proptest::prelude::*;

use super::{Expressions, Permissions, head, matches};

/// Text that a matcher might meet in a value, with what separates values in it.
fn text() -> impl Strategy<Value = String> {
    proptest::string::string_regex("[abAB ,;=]{1,6}").expect("an expression")
}

fn is_hit(kind: &str, text: &str, ignore_case: bool, value: &str) -> bool {
    let fold = |s: &str| {
        if ignore_case {
            s.to_ascii_lowercase()
        } else {
            s.to_owned()
        }
    };
    let (text, value) = (fold(text), fold(value));
    match kind {
        "Exact" => value == text,
        "Prefix" => value.starts_with(&text),
        "Suffix" => value.ends_with(&text),
        _ => value.contains(&text),
    }
}

proptest! {
    /// The naive reading of the rules about headers.
    #[test]
    fn a_header_matches_as_the_rules_read(
        kind in prop::sample::select(vec!["Exact", "Prefix", "Suffix", "Contains"]),
        name in prop::sample::select(vec!["x-a", "accept"]),
        text in text(),
        ignore_case: bool,
        invert: bool,
        values in prop::collection::vec("[abAB ,;=]{0,6}", 0..4),
    ) {
        let values: Vec<&str> = values.iter().map(|value| value.trim()).collect();
        let headers: Vec<(&str, &str)> = values.iter().map(|value| (name, *value)).collect();
        let http = format!(
            r#"{{"Header":[{{"Name":"{name}","{kind}":"{text}","IgnoreCase":{ignore_case},"Invert":{invert}}}]}}"#
        );
        let joined: Vec<&str> = values.iter().copied().filter(|value| !value.is_empty()).collect();
        let joined = joined.join(",");
        let hit = if name == "accept" {
            is_hit(kind, &text, ignore_case, &joined)
        } else {
            values.iter().any(|value| is_hit(kind, &text, ignore_case, value))
        };
        let expected = !values.is_empty() && hit != invert;
        prop_assert_eq!(matches(&http, &head("GET", "/", &headers)), expected);
    }

    /// Nothing that Consul could send makes it panic, and what it cannot carry out it refuses.
    #[test]
    fn any_json_compiles_or_is_refused(json in "(\\{|\\[|\\}|\\]|,|:|\"HTTP\"|\"Header\"|\"Regex\"|\"[a-z(]{0,3}\"|true|null){0,12}") {
        if let Ok(wire) = serde_json::from_str::<Vec<wire::Permission>>(&json)
            && let Ok(compiled) = Permissions::compile(&wire, &mut Expressions::default())
        {
            prop_assert_eq!(compiled.iter().len(), wire.len());
        }
    }

    /// A permission more behind the others changes nothing for whom one of them was about.
    #[test]
    fn a_later_permission_changes_nothing_before_it(
        prefixes in prop::collection::vec("/[ab]{0,2}", 1..5),
        path in "/[ab]{0,3}",
    ) {
        let permission = |prefix: &String| {
            let json = format!(r#"{{"Action":"deny","HTTP":{{"PathPrefix":"{prefix}"}}}}"#);
            serde_json::from_str::<wire::Permission>(&json).expect("a permission")
        };
        let all: Vec<_> = prefixes.iter().map(permission).collect();
        let request = head("GET", &path, &[]);
        let place = |wire: &[wire::Permission]| {
            let compiled = Permissions::compile(wire, &mut Expressions::default()).expect("valid");
            compiled.first(&request).map(|(index, _)| index)
        };
        let expected = prefixes.iter().position(|prefix| path.starts_with(prefix.as_str()));
        prop_assert_eq!(place(&all), expected);
        let shorter = place(&all[..all.len() - 1]);
        prop_assert!(shorter.is_none() || shorter == expected);
    }
}
