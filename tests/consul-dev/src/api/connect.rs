//! `/v1/connect/ca/…`

use serde_json::{Value, json};

use crate::ca::KeyKind;
use crate::go;
use crate::http::blocking::Answer;
use crate::http::call::Call;
use crate::http::reply::{Problem, Reply};
use crate::state::acl::{Authorizer, Level, Resource};
use crate::state::{State, Topic};

/// `GET /v1/connect/ca/roots` and `GET /v1/agent/connect/ca/roots`
pub(crate) fn roots(
    state: &mut State,
    _call: &Call,
    _auth: &Authorizer,
) -> Result<Answer, Problem> {
    let index = state.index_of(&[Topic::Roots]);
    Ok(Answer::new(state.ca.roots_json(), index))
}

/// `GET /v1/connect/ca/roots?pem=true`
pub(crate) fn roots_pem(
    state: &mut State,
    _call: &Call,
    _auth: &Authorizer,
) -> Result<Reply, Problem> {
    let reply = Reply::text(http::StatusCode::OK, state.ca.roots_pem());
    Ok(reply.content_type(Some("application/pem-certificate-chain")))
}

fn operator(auth: &Authorizer) -> Result<(), Problem> {
    if auth.allows(Resource::Operator, "", Level::Write) {
        Ok(())
    } else {
        Err(Problem::forbidden(auth.refusal(
            "operator",
            Level::Write,
            "",
        )))
    }
}

/// `GET /v1/connect/ca/configuration`
pub(crate) fn configuration(
    state: &mut State,
    call: &Call,
    auth: &Authorizer,
) -> Result<Reply, Problem> {
    operator(auth)?;
    let value = json!({
        "Provider": "consul", "Config": state.ca_config.config, "State": null,
        "ForceWithoutCrossSigning": false, "CreateIndex": 9,
        "ModifyIndex": state.ca_config.modify_index,
    });
    Ok(Reply::json(&value, call.pretty()))
}

/// `PUT /v1/connect/ca/configuration`: a changed key type rotates the root; a changed lifetime does not.
pub(crate) fn configure(
    state: &mut State,
    call: &Call,
    auth: &Authorizer,
) -> Result<Reply, Problem> {
    let body = call.json("Request decode failed")?;
    operator(auth)?;
    let provider = body["Provider"].as_str().unwrap_or_default();
    if provider != "consul" {
        return Err(Problem::internal(format!(
            "could not initialize provider: unknown CA provider {provider:?}"
        )));
    }
    let config = &body["Config"];
    let wanted = KeyKind::from_wire(
        config["PrivateKeyType"].as_str().unwrap_or_default(),
        config["PrivateKeyBits"].as_u64().unwrap_or(0),
    )
    .ok_or_else(|| {
        Problem::internal("could not initialize provider: unsupported key type or bits")
    })?;
    if !config["LeafCertTTL"].is_null() {
        let ttl = go::duration_of(&config["LeafCertTTL"]).map_err(Problem::bad_request)?;
        state.ca.leaf_ttl = ttl;
    }
    if state.active_key_kind() != wanted {
        let cross_sign = body["ForceWithoutCrossSigning"] != true;
        state
            .rotate(wanted, cross_sign)
            .map_err(|error| Problem::internal(error.to_string()))?;
    }
    state.ca_config.config = match config {
        Value::Object(_) => config.clone(),
        _ => json!({}),
    };
    state.ca_config.modify_index = state.bump(&[]);
    Ok(Reply::done())
}
