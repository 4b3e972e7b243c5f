//! `/v1/connect/intentions…`

use serde_json::{Map, Value, json};

use super::{config_rules, filtered};
use crate::http::blocking::Answer;
use crate::http::call::Call;
use crate::http::reply::{Problem, Reply};
use crate::state::acl::{Authorizer, Level};
use crate::state::intentions::{Side, precedence};
use crate::state::{State, Topic};

const KIND: &str = "service-intentions";
const FIELDS: &[&str] = &[
    "ID",
    "Description",
    "SourceNS",
    "SourceName",
    "SourcePeer",
    "DestinationNS",
    "DestinationName",
    "SourceType",
    "Action",
    "Meta",
    "Precedence",
];

fn missing(key: &str) -> Problem {
    Problem::internal(format!("required query parameter '{key}' not set")).early()
}

/// `GET /v1/connect/intentions`
pub(crate) fn list(state: &mut State, call: &Call, auth: &Authorizer) -> Result<Answer, Problem> {
    let all = state.intentions();
    let total = all.len();
    let readable = |name: &Value| auth.service_read(name.as_str().unwrap_or_default());
    let found: Vec<Value> = all
        .into_iter()
        .filter(|intention| {
            readable(&intention["DestinationName"]) || readable(&intention["SourceName"])
        })
        .collect();
    let hidden = found.len() != total;
    let found = filtered(call, FIELDS, found)?;
    let index = state.index_of(&[Topic::Config]);
    Ok(Answer::new(Value::Array(found), index)
        .filtered(hidden && !auth.is_anonymous())
        .suppressed())
}

/// `web`, `default/web` or `default/default/web`; anything else is Enterprise or wrong.
fn local_name(name: &str) -> Result<&str, Problem> {
    if name.starts_with("peer:") {
        return Err(Problem::internal(format!(
            "name {name:?} is invalid: cannot specify a peer here"
        ))
        .early());
    }
    let parts: Vec<&str> = name.split('/').collect();
    match parts.as_slice() {
        [name] | ["default", name] | ["default", "default", name] => Ok(name),
        [namespace, _] => Err(Problem::internal(format!(
            "Invalid match entry namespace {namespace:?}: Namespaces is a Consul Enterprise feature"
        ))),
        [partition, _, _] => Err(Problem::internal(format!(
            "Invalid match entry partition {partition:?}: Partitions is a Consul Enterprise feature"
        ))),
        _ => Err(Problem::internal("can contain at most two '/'")),
    }
}

/// `GET /v1/connect/intentions/match`: keyed by the names as they were sent.
pub(crate) fn matching(
    state: &mut State,
    call: &Call,
    auth: &Authorizer,
) -> Result<Answer, Problem> {
    let side = match call.query("by") {
        None => return Err(missing("by")),
        Some("source") => Side::Source,
        Some("destination") => Side::Destination,
        Some(_) => {
            return Err(Problem::internal(
                "'by' parameter must be one of 'source' or 'destination'",
            )
            .early());
        }
    };
    let names: Vec<&str> = call.all("name").filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return Err(missing("name"));
    }
    let mut map = Map::new();
    for name in names {
        let local = local_name(name)?;
        if !auth.service_read(local) {
            return Err(Problem::forbidden(auth.refusal(
                "intention",
                Level::Read,
                local,
            )));
        }
        let found = state.matching(side, local);
        let value = if found.is_empty() {
            Value::Null
        } else {
            Value::Array(found)
        };
        map.insert(name.to_owned(), value);
    }
    let index = state.index_of(&[Topic::Config]);
    Ok(Answer::new(Value::Object(map), index).suppressed())
}

/// `GET /v1/connect/intentions/check`: ignores the default intention policy, as the real one does.
pub(crate) fn check(state: &mut State, call: &Call, auth: &Authorizer) -> Result<Reply, Problem> {
    let source = call.query("source").ok_or_else(|| missing("source"))?;
    let destination = call
        .query("destination")
        .ok_or_else(|| missing("destination"))?;
    if !auth.service_read(destination) {
        return Err(Problem::forbidden(auth.refusal(
            "service",
            Level::Read,
            destination,
        )));
    }
    let allowed = match state.deciding(source, destination) {
        Some(intention) => intention["Action"] == "allow",
        None => !state.facts.acl || state.facts.acl_default == "allow",
    };
    Ok(Reply::json(&json!({ "Allowed": allowed }), call.pretty()))
}

fn pair(call: &Call) -> Result<(&str, &str), Problem> {
    let source = call.query("source").ok_or_else(|| missing("source"))?;
    let destination = call
        .query("destination")
        .ok_or_else(|| missing("destination"))?;
    Ok((source, destination))
}

/// `GET /v1/connect/intentions/exact`
pub(crate) fn exact(state: &mut State, call: &Call, auth: &Authorizer) -> Result<Reply, Problem> {
    let (source, destination) = pair(call)?;
    let found = state
        .exact_intention(source, destination)
        .ok_or_else(|| Problem::not_found("Intention not found"))?;
    if !auth.service_read(destination) && !auth.service_read(source) {
        return Err(Problem::forbidden("Permission denied"));
    }
    Ok(Reply::json(&found, call.pretty()))
}

/// `PUT /v1/connect/intentions/exact`: one source of the destination's entry.
pub(crate) fn put_exact(
    state: &mut State,
    call: &Call,
    auth: &Authorizer,
) -> Result<Reply, Problem> {
    const DECODE: &str = "Request decode failed";
    let (source, destination) = pair(call)?;
    let body = call.json(DECODE)?;
    const KNOWN: &[&str] = &[
        "ID",
        "Description",
        "SourceNS",
        "SourceName",
        "DestinationNS",
        "DestinationName",
        "SourcePartition",
        "DestinationPartition",
        "SourcePeer",
        "SourceSamenessGroup",
        "SourceType",
        "Action",
        "Permissions",
        "Meta",
        "Precedence",
        "CreatedAt",
        "UpdatedAt",
        "Hash",
        "CreateIndex",
        "ModifyIndex",
        "JWT",
    ];
    for key in body
        .as_object()
        .into_iter()
        .flat_map(|object| object.keys())
    {
        if !KNOWN.contains(&key.as_str()) {
            return Err(Problem::bad_request(format!(
                "{DECODE}: json: unknown field {key:?}"
            )));
        }
    }
    if !auth.service_write(destination) {
        return Err(Problem::forbidden("Permission denied"));
    }
    let mut rule = json!({ "Name": source });
    for key in ["Action", "Permissions", "Description"] {
        if !body[key].is_null() {
            rule[key] = body[key].clone();
        }
    }
    let meta = &body["Meta"];
    upsert(state, destination, rule, meta)?;
    Ok(Reply::json(&json!(true), call.pretty()))
}

/// Puts one source into the entry of a destination, leaving the others.
pub(crate) fn upsert(
    state: &mut State,
    destination: &str,
    rule: Value,
    meta: &Value,
) -> Result<(), Problem> {
    let mut entry = state
        .config
        .get(KIND, destination)
        .cloned()
        .unwrap_or_else(|| json!({ "Kind": KIND, "Name": destination, "Sources": [] }));
    if meta.as_object().is_some_and(|meta| !meta.is_empty()) {
        entry["Meta"] = meta.clone();
    }
    let mut sources: Vec<Value> = entry["Sources"].as_array().cloned().unwrap_or_default();
    sources.retain(|old| old["Name"] != rule["Name"] || old["Peer"] != rule["Peer"]);
    let source = rule["Name"].as_str().unwrap_or_default();
    let mut rule = rule.clone();
    rule["Precedence"] = json!(precedence(source, destination));
    rule["Type"] = json!("consul");
    sources.push(rule);
    entry["Sources"] = Value::Array(sources);
    if let Some(object) = entry.as_object_mut() {
        for key in ["Hash", "CreateIndex", "ModifyIndex"] {
            object.remove(key);
        }
    }
    config_rules::validate(state, KIND, &entry).map_err(Problem::internal)?;
    let entry = config_rules::normalise(KIND, entry);
    state.force_entry(KIND, destination, entry);
    Ok(())
}

/// `DELETE /v1/connect/intentions/exact`: fine even if there is none.
pub(crate) fn delete_exact(
    state: &mut State,
    call: &Call,
    auth: &Authorizer,
) -> Result<Reply, Problem> {
    let (source, destination) = pair(call)?;
    if !auth.service_write(destination) {
        return Err(Problem::forbidden("Permission denied"));
    }
    remove(state, source, destination);
    Ok(Reply::json(&json!(true), call.pretty()))
}

/// Takes one source out of the entry of a destination; an entry without sources goes.
pub(crate) fn remove(state: &mut State, source: &str, destination: &str) -> bool {
    let Some(mut entry) = state.config.get(KIND, destination).cloned() else {
        return false;
    };
    let Some(sources) = entry["Sources"].as_array_mut() else {
        return false;
    };
    let before = sources.len();
    sources.retain(|old| old["Name"] != source || !old["Peer"].is_null());
    let (now, removed) = (sources.len(), sources.len() != before);
    if now == 0 {
        state.delete_entry(KIND, destination);
    } else if removed {
        if let Some(object) = entry.as_object_mut() {
            for key in ["Hash", "CreateIndex", "ModifyIndex"] {
                object.remove(key);
            }
        }
        state.put_entry(KIND, destination, entry);
    }
    removed
}
