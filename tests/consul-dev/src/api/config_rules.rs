//! What a config entry may contain, what the servers refuse, and what they fill in.

use serde_json::{Map, Value, json};

use super::decode::{Kind, Wrong, check};
use crate::go;
use crate::state::State;
use crate::state::config::is_http_like;
use crate::state::intentions::precedence;

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

const PROVIDERS: &[(&str, Kind)] = &[(
    "Providers",
    Kind::List(&[
        ("Name", Kind::Any),
        (
            "VerifyClaims",
            Kind::List(&[("Path", Kind::Any), ("Value", Kind::Any)]),
        ),
    ]),
)];

const PERMISSION: &[(&str, Kind)] = &[
    ("Action", Kind::Any),
    (
        "HTTP",
        Kind::Object(&[
            ("PathExact", Kind::Any),
            ("PathPrefix", Kind::Any),
            ("PathRegex", Kind::Any),
            (
                "Header",
                Kind::List(&[
                    ("Name", Kind::Any),
                    ("Present", Kind::Any),
                    ("Exact", Kind::Any),
                    ("Prefix", Kind::Any),
                    ("Suffix", Kind::Any),
                    ("Contains", Kind::Any),
                    ("Regex", Kind::Any),
                    ("Invert", Kind::Any),
                    ("IgnoreCase", Kind::Any),
                ]),
            ),
            ("Methods", Kind::Any),
        ]),
    ),
    ("JWT", Kind::Object(PROVIDERS)),
];

const INTENTIONS: &[(&str, Kind)] = &[
    ("Kind", Kind::Any),
    ("Name", Kind::Any),
    ("Meta", Kind::Any),
    ("JWT", Kind::Object(PROVIDERS)),
    (
        "Sources",
        Kind::List(&[
            ("Name", Kind::Any),
            ("Peer", Kind::Any),
            ("SamenessGroup", Kind::Any),
            ("Action", Kind::Any),
            ("Permissions", Kind::List(PERMISSION)),
            ("Precedence", Kind::Any),
            ("Type", Kind::Any),
            ("Description", Kind::Any),
            ("LegacyID", Kind::Any),
            ("LegacyMeta", Kind::Any),
            ("LegacyCreateTime", Kind::Any),
            ("LegacyUpdateTime", Kind::Any),
        ]),
    ),
    ("CreateIndex", Kind::Any),
    ("ModifyIndex", Kind::Any),
    ("Hash", Kind::Any),
];

const TLS: &[(&str, Kind)] = &[
    ("TLSMinVersion", Kind::Any),
    ("TLSMaxVersion", Kind::Any),
    ("CipherSuites", Kind::Any),
];

const MESH: &[(&str, Kind)] = &[
    ("Kind", Kind::Any),
    (
        "TransparentProxy",
        Kind::Object(&[("MeshDestinationsOnly", Kind::Any)]),
    ),
    ("AllowEnablingPermissiveMutualTLS", Kind::Any),
    (
        "TLS",
        Kind::Object(&[
            ("Incoming", Kind::Object(TLS)),
            ("Outgoing", Kind::Object(TLS)),
        ]),
    ),
    (
        "HTTP",
        Kind::Object(&[
            ("SanitizeXForwardedClientCert", Kind::Any),
            (
                "Incoming",
                Kind::Object(&[(
                    "RequestNormalization",
                    Kind::Object(&[
                        ("InsecureDisablePathNormalization", Kind::Any),
                        ("MergeSlashes", Kind::Any),
                        ("PathWithEscapedSlashesAction", Kind::Any),
                        ("HeadersWithUnderscoresAction", Kind::Any),
                    ]),
                )]),
            ),
        ]),
    ),
    (
        "Peering",
        Kind::Object(&[("PeerThroughMeshGateways", Kind::Any)]),
    ),
    ("ValidateClusters", Kind::Any),
    ("Meta", Kind::Any),
    ("CreateIndex", Kind::Any),
    ("ModifyIndex", Kind::Any),
    ("Hash", Kind::Any),
];

const SERVICE_DEFAULTS: &[(&str, Kind)] = &[
    ("Kind", Kind::Any),
    ("Name", Kind::Any),
    ("Protocol", Kind::Any),
    ("Mode", Kind::Any),
    ("TransparentProxy", Kind::Any),
    ("MutualTLSMode", Kind::Any),
    ("MeshGateway", Kind::Object(&[("Mode", Kind::Any)])),
    ("Expose", Kind::Any),
    ("ExternalSNI", Kind::Any),
    (
        "UpstreamConfig",
        Kind::Object(&[("Defaults", Kind::Any), ("Overrides", Kind::Any)]),
    ),
    (
        "Destination",
        Kind::Object(&[("Addresses", Kind::Any), ("Port", Kind::Any)]),
    ),
    ("MaxInboundConnections", Kind::Any),
    ("LocalConnectTimeoutMs", Kind::Any),
    ("LocalRequestTimeoutMs", Kind::Any),
    ("BalanceInboundConnections", Kind::Any),
    ("MaxRequestHeadersKB", Kind::Any),
    ("RateLimits", Kind::Any),
    ("EnvoyExtensions", Kind::Any),
    ("Meta", Kind::Any),
    ("CreateIndex", Kind::Any),
    ("ModifyIndex", Kind::Any),
    ("Hash", Kind::Any),
];

const PROXY_DEFAULTS: &[(&str, Kind)] = &[
    ("Kind", Kind::Any),
    ("Name", Kind::Any),
    ("Config", Kind::Any),
    ("Mode", Kind::Any),
    ("TransparentProxy", Kind::Any),
    ("MutualTLSMode", Kind::Any),
    ("MeshGateway", Kind::Object(&[("Mode", Kind::Any)])),
    ("Expose", Kind::Any),
    ("AccessLogs", Kind::Any),
    ("EnvoyExtensions", Kind::Any),
    ("FailoverPolicy", Kind::Any),
    ("PrioritizeByLocality", Kind::Any),
    ("Meta", Kind::Any),
    ("CreateIndex", Kind::Any),
    ("ModifyIndex", Kind::Any),
    ("Hash", Kind::Any),
];

const JWT_PROVIDER: &[(&str, Kind)] = &[
    ("Kind", Kind::Any),
    ("Name", Kind::Any),
    (
        "JSONWebKeySet",
        Kind::Object(&[("Local", Kind::Any), ("Remote", Kind::Any)]),
    ),
    ("Issuer", Kind::Any),
    ("Audiences", Kind::Any),
    ("Locations", Kind::Any),
    ("Forwarding", Kind::Any),
    ("ClockSkewSeconds", Kind::Any),
    ("CacheConfig", Kind::Any),
    ("Meta", Kind::Any),
    ("CreateIndex", Kind::Any),
    ("ModifyIndex", Kind::Any),
    ("Hash", Kind::Any),
];

/// Refuses keys the kind does not have. Kinds without a table here are taken as they are.
pub(crate) fn check_keys(kind: &str, body: &Value) -> Result<(), String> {
    let fields = match kind {
        "service-intentions" => INTENTIONS,
        "mesh" => MESH,
        "service-defaults" => SERVICE_DEFAULTS,
        "proxy-defaults" => PROXY_DEFAULTS,
        "jwt-provider" => JWT_PROVIDER,
        _ => return tenancy(body),
    };
    match check(body, fields) {
        Ok(()) => Ok(()),
        Err(Wrong::Unknown(path)) => {
            let last = path.rsplit('.').next().unwrap_or_default();
            let why = match last {
                "Namespace" | "SourceNS" => ", namespaces are a consul enterprise feature",
                _ => "",
            };
            Err(one_error(&format!("invalid config key {path:?}{why}")))
        }
        Err(Wrong::Type {
            found,
            path,
            expected,
        }) => Err(one_error(&format!(
            "'{path}' expected type '{expected}', got unconvertible type '{found}'"
        ))),
    }
}

fn tenancy(body: &Value) -> Result<(), String> {
    match (&body["Namespace"], &body["Partition"]) {
        (Value::Null, Value::Null) => Ok(()),
        (Value::Null, _) => Err(one_error("invalid config key \"Partition\"")),
        _ => Err(one_error(
            "invalid config key \"Namespace\", namespaces are a consul enterprise feature",
        )),
    }
}

fn one_error(text: &str) -> String {
    format!("1 error occurred:\n\t* {text}\n\n")
}

/// What the servers store: defaults filled in, names and methods in their canonical form.
pub(crate) fn normalise(kind: &str, mut entry: Value) -> Value {
    let Some(object) = entry.as_object_mut() else {
        return entry;
    };
    object.insert("Kind".to_owned(), json!(kind));
    object.remove("kind");
    for key in ["Hash", "CreateIndex", "ModifyIndex"] {
        object.remove(key);
    }
    drop_empty(object);
    match kind {
        "mesh" => mesh(object),
        "proxy-defaults" | "service-defaults" => {
            for key in ["Expose", "MeshGateway", "TransparentProxy"] {
                object.entry(key).or_insert(json!({}));
            }
            if kind == "proxy-defaults" {
                object.entry("AccessLogs").or_insert(json!({}));
            }
            if let Some(Value::String(protocol)) = object.get_mut("Protocol") {
                *protocol = protocol.to_lowercase();
            }
        }
        "jwt-provider" => {
            object.entry("ClockSkewSeconds").or_insert(json!(30));
        }
        "service-intentions" => intentions(object),
        _ => {}
    }
    for key in ["ConnectTimeout", "RequestTimeout", "IdleTimeout"] {
        durations(&mut entry, key);
    }
    entry
}

/// The one mesh entry shows no name, and some switches even when they are off.
fn mesh(entry: &mut Map<String, Value>) {
    fn fill(value: &mut Value, defaults: &[(&str, Value)]) {
        if let Some(object) = value.as_object_mut() {
            for (key, default) in defaults {
                object.entry(*key).or_insert_with(|| default.clone());
            }
        }
    }
    entry.remove("Name");
    let proxy = entry.entry("TransparentProxy").or_insert(json!({}));
    fill(proxy, &[("MeshDestinationsOnly", json!(false))]);
    if let Some(peering) = entry.get_mut("Peering") {
        fill(peering, &[("PeerThroughMeshGateways", json!(false))]);
    }
    if let Some(http) = entry.get_mut("HTTP") {
        fill(http, &[("SanitizeXForwardedClientCert", json!(false))]);
        if let Some(rules) = http.pointer_mut("/Incoming/RequestNormalization") {
            fill(
                rules,
                &[
                    ("InsecureDisablePathNormalization", json!(false)),
                    ("MergeSlashes", json!(false)),
                    ("PathWithEscapedSlashesAction", json!("")),
                    ("HeadersWithUnderscoresAction", json!("")),
                ],
            );
        }
    }
}

/// The name an entry is stored under.
pub(crate) fn name_of<'a>(kind: &'a str, entry: &'a Value) -> &'a str {
    match kind {
        "mesh" => "mesh",
        _ => entry["Name"].as_str().unwrap_or_default(),
    }
}

/// Empty strings and lists are not stored.
fn drop_empty(object: &mut Map<String, Value>) {
    object.retain(|_, value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        _ => true,
    });
}

fn intentions(entry: &mut Map<String, Value>) {
    let destination = entry
        .get("Name")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let Some(Value::Array(sources)) = entry.get_mut("Sources") else {
        return;
    };
    for source in sources.iter_mut() {
        let Some(source) = source.as_object_mut() else {
            continue;
        };
        drop_empty(source);
        let name = source
            .get("Name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let number = precedence(name, &destination);
        source.insert("Precedence".to_owned(), json!(number));
        source.insert("Type".to_owned(), json!("consul"));
        let Some(Value::Array(permissions)) = source.get_mut("Permissions") else {
            continue;
        };
        if permissions.is_empty() {
            source.remove("Permissions");
            continue;
        }
        for permission in permissions {
            let methods = permission["HTTP"]
                .get_mut("Methods")
                .and_then(Value::as_array_mut);
            for method in methods.into_iter().flatten() {
                if let Value::String(method) = method {
                    *method = method.to_uppercase();
                }
            }
            let headers = permission["HTTP"]
                .get_mut("Header")
                .and_then(Value::as_array_mut);
            for header in headers.into_iter().flatten() {
                if let Some(header) = header.as_object_mut() {
                    drop_empty(header);
                    header.retain(|_, value| *value != false);
                }
            }
        }
    } // Sorted by precedence only; sources of the same one stay as they were written.
    sources.sort_by_key(|source| std::cmp::Reverse(source["Precedence"].as_u64()));
}

/// Durations come back in Go's form, wherever they are.
fn durations(value: &mut Value, key: &str) {
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                match inner {
                    Value::String(text) if name == key => {
                        if let Some(duration) = go::parse_duration(text) {
                            *text = go::format_duration(duration);
                        }
                    }
                    inner => durations(inner, key),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                durations(item, key);
            }
        }
        _ => {}
    }
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
        .is_some_and(|entry| has_permissions(entry));
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
