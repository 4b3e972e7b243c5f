//! `/v1/status/…`: no token needed.

use serde_json::json;

use crate::http::call::Call;
use crate::http::reply::{Problem, Reply};
use crate::state::State;
use crate::state::acl::Authorizer;

const SERVER: &str = "127.0.0.1:8300";

fn local(state: &State, call: &Call) -> Result<(), Problem> {
    if call.foreign_datacenter(&state.facts.datacenter) {
        return Err(Problem::internal("No path to datacenter"));
    }
    Ok(())
}

/// `GET /v1/status/leader`
pub(crate) fn leader(state: &mut State, call: &Call, _auth: &Authorizer) -> Result<Reply, Problem> {
    local(state, call)?;
    Ok(Reply::json(&json!(SERVER), call.pretty()))
}

/// `GET /v1/status/peers`
pub(crate) fn peers(state: &mut State, call: &Call, _auth: &Authorizer) -> Result<Reply, Problem> {
    local(state, call)?;
    Ok(Reply::json(&json!([SERVER]), call.pretty()))
}
