//! What a config entry may contain, what the servers refuse, and what they fill in.

mod keys;
mod normalise;

use serde_json::Value;

pub(crate) use keys::check_keys;
pub(crate) use normalise::{name_of, normalise};

use crate::state::State;
use crate::state::config::is_http_like;

/// The kinds the Community Edition knows.
pub(crate) const KINDS: &[&str] = &[
    "service-defaults",
    "proxy-defaults",
    "service-router",
    "service-splitter",
    "service-resolver",
    "ingress-gateway",
    "terminating-gateway",
    "service-intentions",
    "mesh",
    "exported-services",
    "sameness-group",
    "api-gateway",
    "file-system-certificate",
    "inline-certificate",
    "http-route",
    "tcp-route",
    "jwt-provider",
];

/// One problem in the form of a list of problems.
fn one_error(text: &str) -> String {
    format!("1 error occurred:\n\t* {text}\n\n")
}

/// What the servers refuse, in their words.
pub(crate) fn validate(state: &State, kind: &str, entry: &Value) -> Result<(), String> {
    let name = entry["Name"].as_str().unwrap_or_default();
    if let Some(meta) = entry["Meta"].as_object() {
        for (key, value) in meta {
            if value.as_str().is_some_and(|value| value.len() > 512) {
                return Err(one_error(&format!(
                    "Meta value for key {key:?} exceeds maximum length 512"
                )));
            }
        }
    }
    match kind {
        "service-intentions" => validate_intentions(state, name, entry),
        "sameness-group" => Err("sameness-groups are an enterprise-only feature".to_owned()),
        "service-defaults" => validate_defaults(state, name, entry),
        "proxy-defaults" if name != "global" => Err(format!(
            "invalid name ({name:?}), only \"global\" is supported"
        )),
        "service-router" | "service-splitter" => {
            let protocol = state.protocol(name);
            if is_http_like(&protocol) {
                Ok(())
            } else {
                Err(format!(
                    "discovery chain {name:?} uses a protocol {protocol:?} that does not permit advanced routing or splitting behavior"
                ))
            }
        }
        "jwt-provider" => validate_provider(name, entry),
        _ if name.is_empty() && kind != "mesh" => Err("Name is required".to_owned()),
        _ => Ok(()),
    }
}

fn validate_provider(name: &str, entry: &Value) -> Result<(), String> {
    if name.is_empty() {
        return Err("Name is required".to_owned());
    }
    match (
        &entry["JSONWebKeySet"]["Local"],
        &entry["JSONWebKeySet"]["Remote"],
    ) {
        _ if entry["JSONWebKeySet"].is_null() => Err("JSONWebKeySet is required".to_owned()),
        (Value::Null, Value::Null) | (Value::Object(_), Value::Object(_)) => {
            Err("must specify exactly one of Local or Remote JSON Web key set".to_owned())
        }
        _ => Ok(()),
    }
}

fn validate_defaults(state: &State, name: &str, entry: &Value) -> Result<(), String> {
    if name.is_empty() {
        return Err("Name is required".to_owned());
    }
    if !entry["RateLimits"].is_null() {
        return Err(one_error(
            "invalid rate_limits config. Rate limiting is a consul enterprise feature",
        ));
    }
    let inherited = || {
        state
            .config
            .get("proxy-defaults", "global")
            .and_then(|entry| entry["Config"]["protocol"].as_str())
            .unwrap_or("tcp")
    };
    let protocol = entry["Protocol"].as_str().unwrap_or_else(inherited);
    permissions_fit(state, name, protocol)?;
    advanced_fits(state, name, protocol)
}

/// A service with L7 rules must stay HTTP-like.
fn permissions_fit(state: &State, name: &str, protocol: &str) -> Result<(), String> {
    let has = state
        .config
        .get("service-intentions", name)
        .is_some_and(has_permissions);
    if has && !is_http_like(protocol) {
        return Err(incompatible(name, protocol));
    }
    Ok(())
}

fn advanced_fits(state: &State, name: &str, protocol: &str) -> Result<(), String> {
    let advanced = ["service-router", "service-splitter"]
        .iter()
        .any(|kind| state.config.get(kind, name).is_some());
    if advanced && !is_http_like(protocol) {
        return Err(format!(
            "discovery chain {name:?} uses a protocol {protocol:?} that does not permit advanced routing or splitting behavior"
        ));
    }
    Ok(())
}

fn has_permissions(entry: &Value) -> bool {
    entry["Sources"].as_array().is_some_and(|sources| {
        sources
            .iter()
            .any(|source| source["Permissions"].is_array())
    })
}

fn incompatible(name: &str, protocol: &str) -> String {
    format!(
        "service {name:?} has protocol {protocol:?}, which is incompatible with L7 intentions permissions"
    )
}

/// Removing the entry that makes a service HTTP-like is refused while L7 rules need it.
pub(crate) fn validate_removal(state: &State, kind: &str, name: &str) -> Result<(), String> {
    if kind == "service-defaults" && state.config.get(kind, name).is_some() {
        let inherited = state
            .config
            .get("proxy-defaults", "global")
            .and_then(|entry| entry["Config"]["protocol"].as_str())
            .unwrap_or("tcp");
        permissions_fit(state, name, inherited)?;
        advanced_fits(state, name, inherited)?;
    }
    Ok(())
}

fn providers(holder: &Value) -> impl Iterator<Item = &str> {
    holder["JWT"]["Providers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|provider| provider["Name"].as_str())
}

const PARTIAL_WILDCARD: &str = "wildcard character '*' cannot be used with partial values";

fn validate_intentions(state: &State, name: &str, entry: &Value) -> Result<(), String> {
    if name.is_empty() {
        return Err("Name is required".to_owned());
    }
    let sources = entry["Sources"].as_array().map_or(&[][..], Vec::as_slice);
    if sources.is_empty() {
        return Err("At least one source is required".to_owned());
    }
    if name.contains('*') && name != "*" {
        return Err(format!("Name: {PARTIAL_WILDCARD}"));
    }
    let mut seen = Vec::new();
    let mut named: Vec<&str> = providers(entry).collect();
    for (at, source) in sources.iter().enumerate() {
        let at = format!("Sources[{at}]");
        validate_source(name, &at, source)?;
        let key = (source["Name"].clone(), source["Peer"].clone());
        if seen.contains(&key) {
            return Err(format!("{at} defines {} more than once", source["Name"]));
        }
        seen.push(key);
        let permissions = source["Permissions"].as_array();
        named.extend(permissions.into_iter().flatten().flat_map(providers));
    }
    for provider in named {
        if state.config.get("jwt-provider", provider).is_none() {
            return Err(one_error(&format!(
                "Referenced JWT Provider does not exist. Provider Name: {provider}"
            )));
        }
    }
    let protocol = state.protocol(name);
    if has_permissions(entry) && !is_http_like(&protocol) {
        return Err(incompatible(name, &protocol));
    }
    Ok(())
}

fn validate_source(destination: &str, at: &str, source: &Value) -> Result<(), String> {
    let text = |key: &str| source[key].as_str().unwrap_or_default();
    if !text("SamenessGroup").is_empty() {
        return Err(format!(
            "{at}.SamenessGroup: Sameness groups are a Consul Enterprise feature. "
        ));
    }
    let name = text("Name");
    if name.is_empty() {
        return Err(format!("{at}.Name is required"));
    }
    if name.contains('*') && name != "*" {
        return Err(format!("{at}.Name: {PARTIAL_WILDCARD}"));
    }
    if text("Description").len() > 512 {
        return Err(format!("{at}.Description exceeds maximum length 512"));
    }
    let action = text("Action");
    let permissions = source["Permissions"].as_array();
    match (action, permissions) {
        ("allow" | "deny", None) => Ok(()),
        ("", None) => Err(format!("{at}.Action must be set to 'allow' or 'deny'")),
        (_, None) => Err(format!("{at}.Action must be set to 'allow' or 'deny'")),
        ("", Some(_)) if destination == "*" => Err(format!(
            "{at}.Permissions cannot be specified on intentions with wildcarded destinations"
        )),
        ("", Some(permissions)) => {
            permissions
                .iter()
                .enumerate()
                .try_for_each(|(n, permission)| {
                    validate_permission(&format!("{at}.Permissions[{n}]"), permission)
                })
        }
        (_, Some(_)) => Err(format!(
            "{at}.Action must be omitted if Permissions are specified"
        )),
    }
}

fn validate_permission(at: &str, permission: &Value) -> Result<(), String> {
    if !matches!(permission["Action"].as_str(), Some("allow" | "deny")) {
        return Err(format!("{at}.Action must be set to 'allow' or 'deny'"));
    }
    let http = &permission["HTTP"];
    if http.is_null() {
        return Err(format!("{at}.HTTP is required"));
    }
    let set = |key: &str| http[key].as_str().is_some_and(|text| !text.is_empty());
    let paths = ["PathExact", "PathPrefix", "PathRegex"]
        .iter()
        .filter(|key| set(key))
        .count();
    if paths > 1 {
        return Err(format!(
            "{at}.HTTP should only contain at most one of PathExact, PathPrefix, or PathRegex"
        ));
    }
    for key in ["PathExact", "PathPrefix"] {
        if set(key) && !http[key].as_str().is_some_and(|path| path.starts_with('/')) {
            return Err(format!(
                "{at}.HTTP.{key} doesn't start with '/': {}",
                http[key]
            ));
        }
    }
    let headers = http["Header"].as_array().map_or(&[][..], Vec::as_slice);
    for (n, header) in headers.iter().enumerate() {
        validate_header(&format!("{at}.HTTP.Header[{n}]"), header)?;
    }
    let methods = http["Methods"].as_array().map_or(&[][..], Vec::as_slice);
    let mut seen: Vec<&str> = Vec::new();
    for method in methods.iter().filter_map(Value::as_str) {
        let known = [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE",
        ];
        if !known.contains(&method) {
            return Err(format!(
                "{at}.HTTP.Methods contains an invalid method {method:?}"
            ));
        }
        if seen.contains(&method) {
            return Err(format!(
                "{at}.HTTP.Methods contains {method:?} more than once"
            ));
        }
        seen.push(method);
    }
    if paths == 0 && headers.is_empty() && methods.is_empty() {
        return Err(format!("{at}.HTTP should not be empty"));
    }
    Ok(())
}

fn validate_header(at: &str, header: &Value) -> Result<(), String> {
    if header["Name"].as_str().unwrap_or_default().is_empty() {
        return Err(format!("{at} missing required Name field"));
    }
    let mut set: Vec<&str> = ["Exact", "Prefix", "Suffix", "Contains", "Regex"]
        .into_iter()
        .filter(|key| header[key].as_str().is_some_and(|text| !text.is_empty()))
        .collect();
    if header["Present"] == true {
        set.push("Present");
    }
    match set.as_slice() {
        [_] => {}
        _ => {
            return Err(format!(
                "{at} should only contain one of Present, Exact, Prefix, Suffix, Contains, or Regex"
            ));
        }
    }
    if header["IgnoreCase"] == true && matches!(set.as_slice(), ["Regex" | "Present"]) {
        return Err(format!(
            "{at} should set one of Exact, Prefix, Suffix, or Contains when using IgnoreCase"
        ));
    }
    Ok(())
}
