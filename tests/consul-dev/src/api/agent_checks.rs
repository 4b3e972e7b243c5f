//! `/v1/agent/check/…` and the maintenance switches.

use serde_json::json;

use super::agent_register::{check_durations, check_problem, check_status, known};
use super::decode::{CHECK, check as check_body, refusal};
use super::required;
use crate::http::call::Call;
use crate::http::reply::{Problem, Reply};
use crate::state::State;
use crate::state::acl::{Authorizer, Level, Resource};
use crate::state::checks::{Owner, check_type};

const DECODE: &str = "Request decode failed";

fn may_write(state: &State, auth: &Authorizer, service: &str) -> Result<(), Problem> {
    if service.is_empty() {
        let node = &state.facts.node;
        if !auth.allows(Resource::Node, node, Level::Write) {
            return Err(Problem::forbidden(auth.refusal("node", Level::Write, node)));
        }
    } else if !auth.service_write(service) {
        return Err(Problem::forbidden(auth.refusal(
            "service",
            Level::Write,
            service,
        )));
    }
    Ok(())
}

/// `PUT /v1/agent/check/register`
pub(crate) fn register(
    state: &mut State,
    call: &Call,
    auth: &Authorizer,
) -> Result<Reply, Problem> {
    let body = call.json(DECODE)?;
    check_body(&body, CHECK).map_err(|wrong| refusal(wrong, DECODE))?;
    check_durations(&body)?;
    let text = |key: &str| body[key].as_str().unwrap_or_default();
    if text("Name").is_empty() {
        return Err(Problem::bad_request("Missing check name"));
    }
    check_status(&body)?;
    if check_type(&body) == "script" {
        return Err(Problem::internal(
            "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true",
        ));
    }
    if let Some(problem) = check_problem(&body) {
        return Err(Problem::bad_request(format!("Invalid check: {problem}")));
    }
    let service_id = text("ServiceID");
    let (service_name, tags) = match service_id {
        "" => (String::new(), json!([])),
        id => match state.agent.services.get(id) {
            Some(service) => (
                service["Service"].as_str().unwrap_or_default().to_owned(),
                service["Tags"].clone(),
            ),
            None => {
                return Err(Problem::internal(format!(
                    "ServiceID {id:?} does not exist"
                )));
            }
        },
    };
    may_write(state, auth, &service_name)?;
    let id = match (text("CheckID"), text("ID")) {
        ("", "") => text("Name"),
        ("", id) | (id, _) => id,
    };
    let owner = Owner {
        service_id,
        service_name: &service_name,
        tags,
        standalone: true,
    };
    state.add_local_check(id, &body, &owner);
    Ok(Reply::done())
}

/// Refuses what is not there, or not the caller's to touch.
fn touch(state: &State, auth: &Authorizer, id: &str) -> Result<(), Problem> {
    let Some(check) = state.agent.checks.get(id) else {
        return Err(Problem::not_found(format!(
            "Unknown check ID {id:?}. Ensure that the check ID is passed, not the check name."
        )));
    };
    may_write(
        state,
        auth,
        check.json["ServiceName"].as_str().unwrap_or_default(),
    )
}

/// `PUT /v1/agent/check/deregister/:id`
pub(crate) fn deregister(
    state: &mut State,
    call: &Call,
    auth: &Authorizer,
) -> Result<Reply, Problem> {
    let id = required(call, "check ID")?;
    touch(state, auth, id)?;
    state.remove_local_check(id);
    Ok(Reply::done())
}

fn set(
    state: &mut State,
    auth: &Authorizer,
    id: &str,
    status: &str,
    output: &str,
) -> Result<Reply, Problem> {
    touch(state, auth, id)?;
    if state
        .agent
        .checks
        .get(id)
        .is_some_and(|check| check.ttl.is_none())
    {
        return Err(Problem::internal(format!(
            "CheckID {id:?} does not have associated TTL"
        )));
    }
    state.set_check(id, status, output);
    Ok(Reply::done())
}

fn note(call: &Call) -> &str {
    call.query("note").unwrap_or_default()
}

/// `PUT /v1/agent/check/pass/:id`
pub(crate) fn pass(state: &mut State, call: &Call, auth: &Authorizer) -> Result<Reply, Problem> {
    set(state, auth, &call.rest, "passing", note(call))
}

/// `PUT /v1/agent/check/warn/:id`
pub(crate) fn warn(state: &mut State, call: &Call, auth: &Authorizer) -> Result<Reply, Problem> {
    set(state, auth, &call.rest, "warning", note(call))
}

/// `PUT /v1/agent/check/fail/:id`
pub(crate) fn fail(state: &mut State, call: &Call, auth: &Authorizer) -> Result<Reply, Problem> {
    set(state, auth, &call.rest, "critical", note(call))
}

/// `PUT /v1/agent/check/update/:id`
pub(crate) fn update(state: &mut State, call: &Call, auth: &Authorizer) -> Result<Reply, Problem> {
    let body = call.json(DECODE)?;
    let status = body["Status"].as_str().unwrap_or_default();
    if !matches!(status, "passing" | "warning" | "critical") {
        return Err(Problem::bad_request(format!(
            "Invalid check status: '{status}'"
        )));
    }
    let output: String = body["Output"]
        .as_str()
        .unwrap_or_default()
        .chars()
        .take(4096)
        .collect();
    set(state, auth, &call.rest, status, &output)
}

fn switch(call: &Call) -> Result<bool, Problem> {
    match call.query("enable") {
        None => Err(Problem::bad_request("Missing value for enable")),
        Some("true" | "1" | "t" | "T" | "TRUE" | "True") => Ok(true),
        Some("false" | "0" | "f" | "F" | "FALSE" | "False") => Ok(false),
        Some(value) => Err(Problem::bad_request(format!(
            "Invalid value for enable: {value:?}"
        ))),
    }
}

/// `PUT /v1/agent/service/maintenance/:id?enable=`
pub(crate) fn service_maintenance(
    state: &mut State,
    call: &Call,
    auth: &Authorizer,
) -> Result<Reply, Problem> {
    let id = required(call, "service ID")?;
    let on = switch(call)?;
    let service = known(state, id)?.clone();
    let name = service["Service"].as_str().unwrap_or_default();
    may_write(state, auth, name)?;
    let owner = Owner {
        service_id: id,
        service_name: name,
        tags: service["Tags"].clone(),
        standalone: false,
    };
    let check_id = format!("_service_maintenance:{id}");
    maintain(
        state,
        call,
        on,
        &check_id,
        "Service Maintenance Mode",
        &owner,
    );
    Ok(Reply::done())
}

/// `PUT /v1/agent/maintenance?enable=`
pub(crate) fn node_maintenance(
    state: &mut State,
    call: &Call,
    auth: &Authorizer,
) -> Result<Reply, Problem> {
    let on = switch(call)?;
    may_write(state, auth, "")?;
    let owner = Owner {
        service_id: "",
        service_name: "",
        tags: json!([]),
        standalone: false,
    };
    maintain(
        state,
        call,
        on,
        "_node_maintenance",
        "Node Maintenance Mode",
        &owner,
    );
    Ok(Reply::done())
}

fn maintain(state: &mut State, call: &Call, on: bool, id: &str, name: &str, owner: &Owner<'_>) {
    if !on {
        state.remove_local_check(id);
        return;
    }
    let reason = call.query("reason").unwrap_or(
        "Maintenance mode is enabled for this service, but no reason was provided. This is a default message.",
    );
    let definition = json!({
        "Name": name, "Notes": reason, "Status": "critical", "Type": "maintenance",
    });
    state.add_local_check(id, &definition, owner);
}
