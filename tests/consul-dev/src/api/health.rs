//! `/v1/health/…`

use serde_json::{Value, json};

use super::{filtered, required};
use crate::http::blocking::Answer;
use crate::http::call::Call;
use crate::http::reply::Problem;
use crate::state::acl::Authorizer;
use crate::state::catalog::{connects_to, list};
use crate::state::{State, Topic};

const ENTRY: &[&str] = &["Node", "Service", "Checks"];
const CHECK: &[&str] = &[
    "Node",
    "CheckID",
    "Name",
    "Status",
    "Notes",
    "Output",
    "ServiceID",
    "ServiceName",
    "ServiceTags",
    "Type",
    "Definition",
    "PeerName",
];

/// What all instance reads refuse or pass over before they look.
pub(super) fn elsewhere(call: &Call) -> Result<bool, Problem> {
    let group = call.query("sameness-group").or_else(|| call.query("sg"));
    match (call.query("peer"), group) {
        (Some(_), Some(_)) => Err(Problem::bad_request(
            "peer-name and sameness-group are mutually exclusive",
        )),
        (_, Some(_)) => Err(Problem::internal(
            "sameness groups are not supported in consul CE",
        )),
        // No peer is known here, so every peer is an unknown one.
        (peer, None) => Ok(peer.is_some()),
    }
}

fn passing_only(call: &Call) -> Result<bool, Problem> {
    if !call.has("passing") {
        return Ok(false);
    }
    match call.query("passing") {
        None | Some("true" | "1" | "t" | "T" | "TRUE" | "True") => Ok(true),
        Some("false" | "0" | "f" | "F" | "FALSE" | "False") => Ok(false),
        Some(_) => Err(Problem::bad_request("Invalid value for ?passing")),
    }
}

pub(super) fn has_tags(call: &Call, service: &Value) -> bool {
    let tags = service["Tags"].as_array();
    call.all("tag").filter(|tag| !tag.is_empty()).all(|tag| {
        tags.is_some_and(|tags| {
            tags.iter().any(|own| {
                own.as_str()
                    .is_some_and(|own| own.eq_ignore_ascii_case(tag))
            })
        })
    })
}

pub(super) fn has_meta(call: &Call, node: &Value) -> bool {
    call.all("node-meta").all(|pair| {
        let (key, value) = pair.split_once(':').unwrap_or((pair, ""));
        node["Meta"][key] == value
    })
}

fn entries(
    state: &State,
    call: &Call,
    auth: &Authorizer,
    index: u64,
    matches: impl Fn(&Value) -> bool,
) -> Result<Answer, Problem> {
    let passing = passing_only(call)?;
    if elsewhere(call)? {
        return Ok(Answer::new(json!([]), 1));
    }
    let mut hidden = false;
    let mut found = Vec::new();
    for (node, service) in state.catalog.instances(matches) {
        let id = service["ID"].as_str().unwrap_or_default();
        let Some(node_json) = state.catalog.nodes.get(node) else {
            continue;
        };
        if !has_tags(call, service) || !has_meta(call, node_json) {
            continue;
        }
        let checks: Vec<Value> = state.catalog.checks_of(node, id).cloned().collect();
        if passing && checks.iter().any(|check| check["Status"] != "passing") {
            continue;
        }
        let name = service["Service"].as_str().unwrap_or_default();
        if !auth.service_read(name) || !auth.node_read(node) {
            hidden = true;
            continue;
        }
        found.push(json!({ "Node": node_json, "Service": service, "Checks": checks }));
    }
    let found = filtered(call, ENTRY, found)?;
    Ok(Answer::new(list(&Value::Array(found)), index).filtered(hidden && !auth.is_anonymous()))
}

/// `GET /v1/health/service/:name`
pub(crate) fn service(
    state: &mut State,
    call: &Call,
    auth: &Authorizer,
) -> Result<Answer, Problem> {
    let name = required(call, "service name")?;
    let index = state.service_index(name);
    entries(state, call, auth, index, |service| {
        service["Service"] == name
    })
}

/// `GET /v1/health/connect/:name`
pub(crate) fn connect(
    state: &mut State,
    call: &Call,
    auth: &Authorizer,
) -> Result<Answer, Problem> {
    let name = required(call, "service name")?;
    if !auth.service_read(name) {
        return Err(Problem::forbidden("Permission denied"));
    }
    let index = state.service_index(name);
    entries(state, call, auth, index, |service| {
        connects_to(service, name) || linked(state, service, name)
    })
}

/// Whether a terminating gateway stands for a service by its config entry.
fn linked(state: &State, service: &Value, name: &str) -> bool {
    if service["Kind"] != "terminating-gateway" {
        return false;
    }
    let gateway = service["Service"].as_str().unwrap_or_default();
    state
        .config
        .get("terminating-gateway", gateway)
        .and_then(|entry| entry["Services"].as_array())
        .is_some_and(|services| services.iter().any(|linked| linked["Name"] == name))
}

/// `GET /v1/health/ingress/:name`
pub(crate) fn ingress(
    state: &mut State,
    call: &Call,
    auth: &Authorizer,
) -> Result<Answer, Problem> {
    let name = required(call, "service name")?;
    if !auth.service_read(name) {
        return Err(Problem::forbidden("Permission denied"));
    }
    let serves = |service: &Value| {
        let gateway = service["Service"].as_str().unwrap_or_default();
        service["Kind"] == "ingress-gateway"
            && state
                .config
                .get("ingress-gateway", gateway)
                .and_then(|entry| entry["Listeners"].as_array())
                .is_some_and(|listeners| {
                    listeners
                        .iter()
                        .flat_map(|listener| listener["Services"].as_array().into_iter().flatten())
                        .any(|served| served["Name"] == name || served["Name"] == "*")
                })
    };
    let any = state.catalog.instances(serves).next().is_some();
    let index = if any {
        state.index_of(&[Topic::Services, Topic::Config])
    } else {
        1
    };
    entries(state, call, auth, index, serves)
}

fn check_list(
    state: &State,
    call: &Call,
    auth: &Authorizer,
    index: u64,
    matches: impl Fn(&str, &Value) -> bool,
) -> Result<Answer, Problem> {
    let mut hidden = false;
    let mut found = Vec::new();
    for ((node, _), check) in &state.catalog.checks {
        let node_json = state.catalog.nodes.get(node).unwrap_or(&Value::Null);
        if !matches(node, check) || !has_meta(call, node_json) {
            continue;
        }
        let service = check["ServiceName"].as_str().unwrap_or_default();
        let visible = auth.node_read(node) && (service.is_empty() || auth.service_read(service));
        if visible {
            found.push(check.clone());
        } else {
            hidden = true;
        }
    }
    let found = filtered(call, CHECK, found)?;
    Ok(Answer::new(Value::Array(found), index).filtered(hidden && !auth.is_anonymous()))
}

/// `GET /v1/health/checks/:service`
pub(crate) fn checks(state: &mut State, call: &Call, auth: &Authorizer) -> Result<Answer, Problem> {
    let name = required(call, "service name")?;
    let index = state.index_of(&[Topic::Services]);
    check_list(state, call, auth, index, |_, check| {
        check["ServiceName"] == name
    })
}

/// `GET /v1/health/node/:node`
pub(crate) fn node(state: &mut State, call: &Call, auth: &Authorizer) -> Result<Answer, Problem> {
    let name = required(call, "node name")?;
    let index = state.index_of(&[Topic::Services]);
    check_list(state, call, auth, index, |node, _| node == name)
}

/// `GET /v1/health/state/:state`
pub(crate) fn state(state: &mut State, call: &Call, auth: &Authorizer) -> Result<Answer, Problem> {
    let wanted = required(call, "check state")?;
    let index = state.index_of(&[Topic::Services]);
    check_list(state, call, auth, index, |_, check| {
        wanted == "any" || check["Status"] == wanted
    })
}
