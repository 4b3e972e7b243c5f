//! `/v1/peering/:name` and `/v1/peerings`: reading. Peerings are made by the handle alone: there is no other cluster.

use serde_json::Value;

use crate::http::blocking::Answer;
use crate::http::call::Call;
use crate::http::reply::Problem;
use crate::state::acl::{Authorizer, Level, Resource};
use crate::state::{State, Topic};

fn may_read(auth: &Authorizer) -> Result<(), Problem> {
    if auth.allows(Resource::Peering, "", Level::Read) {
        return Ok(());
    }
    Err(Problem::forbidden(auth.refusal("peering", Level::Read, "")))
}

/// `GET /v1/peering/:name`
pub(crate) fn read(state: &mut State, call: &Call, auth: &Authorizer) -> Result<Answer, Problem> {
    let name = call.rest.as_str();
    if name.is_empty() {
        return Err(Problem::bad_request("Must specify a name to fetch."));
    }
    may_read(auth)?;
    let peering = state
        .peerings
        .get(name)
        .ok_or_else(|| Problem::not_found(format!("Peering not found for {name:?}")))?;
    let index = peering["ModifyIndex"].as_u64().unwrap_or_default();
    Ok(Answer::new(peering.clone(), index))
}

/// `GET /v1/peerings`
pub(crate) fn list(state: &mut State, _call: &Call, auth: &Authorizer) -> Result<Answer, Problem> {
    may_read(auth)?;
    let all = state.peerings.values().cloned().collect();
    let index = state.index_of(&[Topic::Peerings]);
    Ok(Answer::new(Value::Array(all), index))
}
