//! `/v1/acl/…`: login, logout and the own token.

use serde_json::{Value, json};

use crate::http::blocking::Answer;
use crate::http::call::Call;
use crate::http::reply::{Problem, Reply};
use crate::state::acl::{Authorizer, Level, Resource};
use crate::state::{State, Topic};

fn enabled(state: &State) -> Result<(), Problem> {
    if state.facts.acl {
        Ok(())
    } else {
        Err(Problem::unauthorized("ACL support disabled"))
    }
}

/// `POST /v1/acl/login`
pub(crate) fn login(state: &mut State, call: &Call, _auth: &Authorizer) -> Result<Reply, Problem> {
    const DECODE: &str = "Failed to decode request body";
    enabled(state)?;
    let body = call.json(DECODE)?;
    for key in body
        .as_object()
        .into_iter()
        .flat_map(|object| object.keys())
    {
        match key.as_str() {
            "AuthMethod" | "BearerToken" | "Meta" => {}
            "Namespace" => {
                return Err(Problem::bad_request(format!(
                    "{DECODE}: json: unknown field \"Namespace\" - Namespaces are a Consul Enterprise feature"
                )));
            }
            key => {
                return Err(Problem::bad_request(format!(
                    "{DECODE}: json: unknown field {key:?}"
                )));
            }
        }
    }
    let text = |key: &str| body[key].as_str().unwrap_or_default();
    let (name, bearer) = (text("AuthMethod"), text("BearerToken"));
    let method = state.acl.methods.get(name).ok_or_else(|| {
        Problem::forbidden(format!("ACL not found: auth method {name:?} not found"))
    })?;
    let policy = method.bearers.get(bearer).cloned().ok_or_else(|| {
        Problem::internal("no known key successfully validated the token signature")
    })?;
    let description = match body["Meta"].as_object() {
        Some(meta) if !meta.is_empty() => {
            format!("token created via login: {}", Value::Object(meta.clone()))
        }
        _ => "token created via login".to_owned(),
    };
    let name = name.to_owned();
    let stored = state.create_token(policy, &description, None, Some(&name));
    Ok(Reply::json(&stored.json, call.pretty()))
}

/// `POST /v1/acl/logout`
pub(crate) fn logout(state: &mut State, call: &Call, auth: &Authorizer) -> Result<Reply, Problem> {
    enabled(state)?;
    let secret = call.secret();
    if secret.is_empty() {
        return Err(Problem::unauthorized("Supplied token does not exist"));
    }
    if auth.is_unknown() {
        return Err(Problem::unknown_token());
    }
    if state
        .acl
        .find(secret)
        .is_some_and(|stored| !stored.from_login)
    {
        return Err(Problem::forbidden(
            "Permission denied: token wasn't created via login",
        ));
    }
    state.delete_token(secret);
    Ok(Reply::json(&json!(true), call.pretty()))
}

/// `GET /v1/acl/token/self`
pub(crate) fn token_self(
    state: &mut State,
    call: &Call,
    _auth: &Authorizer,
) -> Result<Answer, Problem> {
    enabled(state)?;
    let lookup = match call.secret() {
        "" => "anonymous",
        secret => secret,
    };
    let stored = state
        .acl
        .find(lookup)
        .ok_or_else(|| Problem::forbidden("token does not exist: ACL not found"))?;
    Ok(Answer::new(
        stored.json.clone(),
        state.index_of(&[Topic::Acl]),
    ))
}

/// `POST /v1/internal/acl/authorize`
pub(crate) fn authorize(
    state: &mut State,
    call: &Call,
    auth: &Authorizer,
) -> Result<Reply, Problem> {
    enabled(state)?;
    let mut body = call.json("Failed to decode request body")?;
    for item in body.as_array_mut().into_iter().flatten() {
        let resource = Resource::from_name(item["Resource"].as_str().unwrap_or_default());
        let segment = item["Segment"].as_str().unwrap_or_default().to_owned();
        let level = match item["Access"].as_str() {
            Some("write") => Level::Write,
            _ => Level::Read,
        };
        if !item.is_object() {
            return Err(Problem::bad_request(
                "Failed to decode request body: json: cannot unmarshal into structs.ACLAuthorizationRequest",
            ));
        }
        item["Allow"] =
            json!(resource.is_some_and(|resource| auth.allows(resource, &segment, level)));
    }
    Ok(Reply::json(&body, call.pretty()))
}
