//! What the servers fill in and rewrite before they store an entry.

use serde_json::{Map, Value, json};

use crate::go;
use crate::state::intentions::precedence;

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
