//! Consul's documented rules about sources, written down as they are said and without an index.

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
                "" => is_group(rule) || or_default(&rule.source_partition) == caller.partition(),
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
