//! Consul's rules, as they are said.

use super::{
    requests::Request,
    rules::{EXPRESSIONS, Effect, Header, Matcher, Path, Permission, Rule},
};

/// The rule with the highest precedence of those whose source is the caller. Rules about other clusters are about nobody here.
pub(crate) fn deciding<'a>(rules: &'a [Rule], caller: &str) -> Option<&'a Rule> {
    rules
        .iter()
        .filter(|rule| rule.peer.is_none() && (rule.source == "*" || rule.source == caller))
        .max_by_key(|rule| precedence(rule))
}

/// The table of the documentation, of which one namespace has four lines.
fn precedence(rule: &Rule) -> u8 {
    match (rule.destination, rule.source) {
        ("*", "*") => 5,
        ("*", _) => 6,
        (_, "*") => 8,
        (_, _) => 9,
    }
}

pub(crate) fn allows(
    rules: &[Rule],
    caller: &str,
    request: &Request,
    default_allows: bool,
) -> bool {
    let Some(rule) = deciding(rules, caller) else {
        return default_allows;
    };
    let allowed = match &rule.effect {
        Effect::Allow => true,
        Effect::Deny | Effect::Unknown(_) => false,
        Effect::Permissions(permissions) => permissions
            .iter()
            .find(|permission| is_about(permission, request))
            .map_or(default_allows, |permission| permission.allow),
    };
    // Where the default allows, Consul's proxies carry out a denial of this caller by name below an intention about any caller.
    let named: Vec<Rule> = rules
        .iter()
        .filter(|rule| rule.source == caller)
        .cloned()
        .collect();
    let denied_by_name = deciding(&named, caller)
        .is_some_and(|rule| matches!(rule.effect, Effect::Deny | Effect::Unknown(_)));
    allowed && !(default_allows && rule.source == "*" && denied_by_name)
}

fn is_about(permission: &Permission, request: &Request) -> bool {
    let path = match permission.path {
        None => true,
        Some(Path::Exact(path)) => request.path == path,
        Some(Path::Prefix(prefix)) => request.path.starts_with(prefix),
        Some(Path::Regex(index)) => EXPRESSIONS[index].1(request.path),
    };
    let method = permission.methods.is_empty() || permission.methods.contains(&request.method);
    path && method
        && permission
            .headers
            .iter()
            .all(|header| holds(header, request))
}

fn holds(header: &Header, request: &Request) -> bool {
    let name = header.name.to_lowercase();
    let mut values: Vec<String> = request
        .headers
        .iter()
        .filter(|(given, _)| *given == name)
        .map(|(_, value)| (*value).to_owned())
        .collect();
    let present = !values.is_empty();
    if name == "accept" && present {
        values.retain(|value| !value.is_empty());
        values = vec![values.join(",")];
    }
    let hit = |value: &String| {
        let fold = |text: &str| match header.ignore_case {
            true => text.to_ascii_lowercase(),
            false => text.to_owned(),
        };
        let value = fold(value);
        match header.matcher {
            Matcher::Present => true,
            Matcher::Exact(text) => value == fold(text),
            Matcher::Prefix(text) => value.starts_with(&fold(text)),
            Matcher::Suffix(text) => value.ends_with(&fold(text)),
            Matcher::Contains(text) => value.contains(&fold(text)),
        }
    };
    match header.matcher {
        Matcher::Present => present != header.invert,
        _ => present && values.iter().any(hit) != header.invert,
    }
}
