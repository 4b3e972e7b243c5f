//! `/v1/kv/…`, without sessions and transactions.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::http::blocking::Answer;
use crate::http::call::Call;
use crate::http::reply::{Problem, Reply};
use crate::state::acl::{Authorizer, Level, Resource};
use crate::state::{State, Topic};

/// `GET /v1/kv/:key[?recurse|keys|raw]`
pub(crate) fn get(state: &mut State, call: &Call, auth: &Authorizer) -> Result<Answer, Problem> {
    let key = call.rest.as_str();
    let index = state.index_of(&[Topic::Kv]);
    if call.has("recurse") || call.has("keys") {
        let found: Vec<Value> = state
            .kv
            .iter()
            .filter(|(name, _)| {
                name.starts_with(key) && auth.allows(Resource::Key, name, Level::Read)
            })
            .map(|(name, value)| {
                if call.has("keys") {
                    json!(name)
                } else {
                    value.clone()
                }
            })
            .collect();
        if found.is_empty() {
            return Ok(Answer::missing(String::new(), index));
        }
        return Ok(Answer::new(Value::Array(found), index));
    }
    if key.is_empty() {
        return Err(Problem::bad_request("Missing key name"));
    }
    if !auth.allows(Resource::Key, key, Level::Read) {
        return Err(Problem::forbidden(auth.refusal("key", Level::Read, key)));
    }
    let Some(entry) = state.kv.get(key) else {
        return Ok(Answer::missing(String::new(), index));
    };
    let own = entry["ModifyIndex"].as_u64().unwrap_or(index);
    if call.has("raw") {
        let bytes = STANDARD
            .decode(entry["Value"].as_str().unwrap_or_default())
            .unwrap_or_default();
        return Ok(Answer::new(json!(String::from_utf8_lossy(&bytes)), own));
    }
    Ok(Answer::new(json!([entry]), own))
}

fn may_write(auth: &Authorizer, key: &str) -> Result<(), Problem> {
    if key.is_empty() {
        return Err(Problem::bad_request("Missing key name"));
    }
    if !auth.allows(Resource::Key, key, Level::Write) {
        return Err(Problem::forbidden(auth.refusal("key", Level::Write, key)));
    }
    Ok(())
}

fn cas_fails(state: &State, call: &Call, key: &str) -> Result<bool, Problem> {
    let Some(cas) = call.query("cas") else {
        return Ok(false);
    };
    let cas: u64 = cas.parse().map_err(|_syntax| {
        Problem::internal(format!(
            "strconv.ParseUint: parsing {cas:?}: invalid syntax"
        ))
    })?;
    let current = state
        .kv
        .get(key)
        .and_then(|entry| entry["ModifyIndex"].as_u64());
    Ok(current.unwrap_or(0) != cas)
}

/// `PUT /v1/kv/:key[?cas=&flags=]`
pub(crate) fn put(state: &mut State, call: &Call, auth: &Authorizer) -> Result<Reply, Problem> {
    let key = call.rest.as_str();
    may_write(auth, key)?;
    let flags: u64 = call
        .query("flags")
        .map_or(Ok(0), str::parse)
        .map_err(|_syntax| Problem::bad_request("Invalid flags"))?;
    if call.body.len() > 512 * 1024 {
        return Err(Problem::too_large(format!(
            "Request body({} bytes) too large, max size: 524288 bytes.",
            call.body.len()
        )));
    }
    if cas_fails(state, call, key)? {
        return Ok(Reply::json(&json!(false), call.pretty()));
    }
    let created = state
        .kv
        .get(key)
        .and_then(|entry| entry["CreateIndex"].as_u64());
    let index = state.bump(&[Topic::Kv]);
    let value = if call.body.is_empty() {
        Value::Null
    } else {
        json!(STANDARD.encode(&call.body))
    };
    state.kv.insert(
        key.to_owned(),
        json!({
            "LockIndex": 0, "Key": key, "Flags": flags, "Value": value,
            "CreateIndex": created.unwrap_or(index), "ModifyIndex": index,
        }),
    );
    Ok(Reply::json(&json!(true), call.pretty()))
}

/// `DELETE /v1/kv/:key[?recurse&cas=]`
pub(crate) fn delete(state: &mut State, call: &Call, auth: &Authorizer) -> Result<Reply, Problem> {
    let key = call.rest.as_str();
    let before = state.kv.len();
    if call.has("recurse") {
        state.kv.retain(|name, _| {
            !(name.starts_with(key) && auth.allows(Resource::Key, name, Level::Write))
        });
    } else {
        may_write(auth, key)?;
        if cas_fails(state, call, key)? {
            return Ok(Reply::json(&json!(false), call.pretty()));
        }
        state.kv.remove(key);
    }
    if state.kv.len() != before {
        state.bump(&[Topic::Kv]);
    }
    Ok(Reply::json(&json!(true), call.pretty()))
}
