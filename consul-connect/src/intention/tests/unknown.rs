//! What this version does not know.

use super::*;

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
