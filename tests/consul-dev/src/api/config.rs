//! `/v1/config…`

use serde_json::{Value, json};

use super::config_rules::{self, KINDS};
use crate::http::blocking::Answer;
use crate::http::call::Call;
use crate::http::reply::{Problem, Reply};
use crate::state::acl::{Authorizer, Level, Resource};
use crate::state::{State, Topic};

const DECODE: &str = "Request decoding failed";

fn known(kind: &str) -> bool {
    KINDS.contains(&kind)
}

/// What a kind's reads and writes need: a resource, its name in refusals, and whether it goes by the entry's name.
fn permission(kind: &str, level: Level) -> Option<(Resource, &'static str, bool)> {
    match kind {
        // Every caller may read these.
        "mesh" | "proxy-defaults" if level == Level::Read => None,
        "exported-services"
        | "mesh"
        | "proxy-defaults"
        | "jwt-provider"
        | "http-route"
        | "tcp-route"
        | "api-gateway"
        | "inline-certificate"
        | "file-system-certificate"
        | "ingress-gateway"
        | "terminating-gateway" => Some((Resource::Mesh, "mesh", false)),
        "service-intentions" => Some((Resource::Service, "intention", true)),
        _ => Some((Resource::Service, "service", true)),
    }
}

fn authorize(auth: &Authorizer, kind: &str, name: &str, level: Level) -> Result<(), Problem> {
    let Some((resource, shown, named)) = permission(kind, level) else {
        return Ok(());
    };
    // Sidecars verify tokens, so writers of any service may read the providers.
    if kind == "jwt-provider" && level == Level::Read && auth.any_service_write() {
        return Ok(());
    }
    let segment = if named { name } else { "" };
    if auth.allows(resource, segment, level) {
        return Ok(());
    }
    let text = auth.refusal(shown, level, segment);
    Err(Problem::forbidden(text))
}

/// `GET /v1/config/:kind` and `GET /v1/config/:kind/:name`
pub(crate) fn read(state: &mut State, call: &Call, auth: &Authorizer) -> Result<Answer, Problem> {
    let (kind, name) = match call.rest.split_once('/') {
        Some((kind, name)) => (kind, name),
        None => (call.rest.as_str(), ""),
    };
    if !known(kind) {
        return Err(Problem::internal(format!(
            "invalid config entry kind: {kind}"
        )));
    }
    let index = state.index_of(&[Topic::Config]);
    if name.is_empty() {
        let all: Vec<(&str, &Value)> = state.config.list(kind).collect();
        let found: Vec<Value> = all
            .iter()
            .filter(|(name, _)| authorize(auth, kind, name, Level::Read).is_ok())
            .map(|(_, entry)| (*entry).clone())
            .collect();
        let hidden = found.len() != all.len();
        let answer = Answer::new(Value::Array(found), index).suppressed();
        return Ok(answer.filtered(hidden && !auth.is_anonymous()));
    }
    authorize(auth, kind, name, Level::Read)?;
    match state.config.get(kind, name) {
        Some(entry) => Ok(Answer::new(entry.clone(), index).suppressed()),
        None => {
            let text = format!("Config entry not found for {kind:?} / {name:?}");
            Ok(Answer::missing(text, index).suppressed())
        }
    }
}

/// `PUT /v1/config[?cas=]`
pub(crate) fn put(state: &mut State, call: &Call, auth: &Authorizer) -> Result<Reply, Problem> {
    let body = call.json(DECODE)?;
    let kind = body["Kind"].as_str().or_else(|| body["kind"].as_str());
    let Some(kind) = kind.map(str::to_owned) else {
        return Err(Problem::bad_request(format!(
            "{DECODE}: Payload does not contain a kind/Kind key at the top level"
        )));
    };
    if !known(&kind) {
        return Err(Problem::bad_request(format!(
            "{DECODE}: invalid config entry kind: {kind}"
        )));
    }
    config_rules::check_keys(&kind, &body)
        .map_err(|error| Problem::bad_request(format!("{DECODE}: {error}")))?;
    let entry = config_rules::normalise(&kind, body);
    let name = config_rules::name_of(&kind, &entry).to_owned();
    authorize(auth, &kind, &name, Level::Write)?;
    config_rules::validate(state, &kind, &entry).map_err(Problem::internal)?;
    if let Some(cas) = call.query("cas") {
        let cas: u64 = cas.parse().map_err(|_syntax| {
            Problem::bad_request(format!(
                "strconv.ParseUint: parsing {cas:?}: invalid syntax"
            ))
        })?;
        if state.config.modify_index(&kind, &name) != cas {
            return Ok(Reply::json(&json!(false), call.pretty()));
        }
    }
    state.put_entry(&kind, &name, entry);
    Ok(Reply::json(&json!(true), call.pretty()))
}

/// `DELETE /v1/config/:kind/:name[?cas=]`
pub(crate) fn delete(state: &mut State, call: &Call, auth: &Authorizer) -> Result<Reply, Problem> {
    let Some((kind, name)) = call
        .rest
        .split_once('/')
        .filter(|(_, name)| !name.is_empty())
    else {
        return Err(Problem::not_found(
            "Must provide both a kind and name to delete",
        ));
    };
    if !known(kind) {
        return Err(Problem::internal(format!(
            "invalid config entry kind: {kind}"
        )));
    }
    authorize(auth, kind, name, Level::Write)?;
    if let Some(cas) = call.query("cas") {
        let current = state.config.modify_index(kind, name);
        if cas.parse() != Ok(current) || current == 0 {
            return Ok(Reply::json(&json!(false), call.pretty()));
        }
        config_rules::validate_removal(state, kind, name).map_err(Problem::internal)?;
        state.delete_entry(kind, name);
        return Ok(Reply::json(&json!(true), call.pretty()));
    }
    config_rules::validate_removal(state, kind, name).map_err(Problem::internal)?;
    state.delete_entry(kind, name);
    Ok(Reply::json(&json!({}), call.pretty()))
}
