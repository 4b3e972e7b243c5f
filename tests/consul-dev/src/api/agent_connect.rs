//! `/v1/agent/connect/…`: leafs and the deprecated authorize call.

use serde_json::json;

use crate::go;
use crate::http::blocking::Answer;
use crate::http::call::Call;
use crate::http::reply::{Problem, Reply};
use crate::state::State;
use crate::state::acl::{Authorizer, Level};

/// `GET /v1/agent/connect/ca/leaf/:service`. A cached leaf is given to any caller, key included, as the real agent does.
pub(crate) fn leaf(state: &mut State, call: &Call, auth: &Authorizer) -> Result<Answer, Problem> {
    let service = call.rest.clone();
    if service.is_empty() {
        return Err(Problem::internal(
            "URI must be either service, agent, server, or kind",
        ));
    }
    if !state.leafs.cache.contains_key(&service) {
        if auth.is_unknown() {
            return Err(Problem::unknown_token());
        }
        if !auth.service_write(&service) {
            return Err(Problem::forbidden(auth.refusal(
                "service",
                Level::Write,
                &service,
            )));
        }
    }
    let uri = state.service_uri(&service);
    let leaf = state
        .leaf(&service)
        .map_err(|error| Problem::internal(error.to_string()))?;
    let value = json!({
        "SerialNumber": leaf.issued.serial,
        "CertPEM": leaf.issued.chain_pem,
        "PrivateKeyPEM": leaf.key_pem,
        "Service": service,
        "ServiceURI": uri,
        "ValidAfter": go::rfc3339(leaf.issued.not_before),
        "ValidBefore": go::rfc3339(leaf.issued.not_after),
        "CreateIndex": leaf.index,
        "ModifyIndex": leaf.index,
    });
    Ok(Answer::new(value, leaf.index))
}

/// The parts of a service's SPIFFE path, percent-decoded as the real one does after matching.
struct Source {
    partition: String,
    namespace: String,
    service: String,
}

fn source_of(uri: &str) -> Result<Source, Problem> {
    let invalid =
        |what: &str| Problem::bad_request(format!("ClientCertURI not a valid {what} identifier"));
    let (scheme, rest) = uri.split_once("://").ok_or_else(|| invalid("Connect"))?;
    if !scheme.eq_ignore_ascii_case("spiffe") {
        return Err(invalid("Connect"));
    }
    let path = rest.split_once('/').map_or("", |(_, path)| path);
    let decode = |text: &str| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8_lossy()
            .into_owned()
    };
    let segments: Vec<&str> = path.split('/').collect();
    let (partition, namespace, service) = match segments.as_slice() {
        ["ns", ns, "dc", _, "svc", svc] => ("default", *ns, *svc),
        ["ap", ap, "ns", ns, "dc", _, "svc", svc] => (*ap, *ns, *svc),
        ["agent", "client", "dc", _, "id", _]
        | ["agent", "server", "dc", _]
        | ["gateway", "mesh", "dc", _] => return Err(invalid("Service")),
        [""] if rest.contains('.') => return Err(invalid("Service")),
        _ => return Err(invalid("Connect")),
    };
    Ok(Source {
        partition: decode(partition).to_lowercase(),
        namespace: decode(namespace),
        service: decode(service),
    })
}

/// `POST /v1/agent/connect/authorize`
pub(crate) fn authorize(
    state: &mut State,
    call: &Call,
    auth: &Authorizer,
) -> Result<Reply, Problem> {
    const DECODE: &str = "Request decode failed";
    let body = call.json(DECODE)?;
    if let Some(object) = body.as_object() {
        for key in object.keys() {
            if !["Target", "ClientCertURI", "ClientCertSerial"].contains(&key.as_str()) {
                return Err(Problem::bad_request(format!(
                    "{DECODE}: json: unknown field {key:?}"
                )));
            }
        }
    }
    let text = |key: &str| body[key].as_str().unwrap_or_default();
    let target = text("Target");
    if target.is_empty() {
        return Err(Problem::bad_request("Target service must be specified"));
    }
    let source = source_of(text("ClientCertURI"))?;
    if auth.is_unknown() {
        return Err(Problem::forbidden(
            "Could not resolve token to authorizer: ACL not found",
        ));
    }
    if !auth.service_write(target) {
        return Err(Problem::forbidden(auth.refusal(
            "service",
            Level::Write,
            target,
        )));
    }
    if source.partition != "default" {
        return Err(Problem::bad_request(format!(
            "Mismatched partitions: {:?} != \"default\"",
            source.partition
        )));
    }
    let deciding = (source.namespace == "default")
        .then(|| state.deciding(&source.service, target))
        .flatten();
    let (allowed, reason) = match deciding {
        None => {
            let (allowed, reason) = state.default_decision();
            (allowed, reason.to_owned())
        }
        Some(intention) => {
            let pair = format!(
                "default/{} => default/{}",
                intention["SourceName"].as_str().unwrap_or_default(),
                intention["DestinationName"].as_str().unwrap_or_default()
            );
            let precedence = &intention["Precedence"];
            match intention["Permissions"].as_array() {
                Some(permissions) => (
                    false,
                    format!(
                        "Matched L7 intention: {pair} (Precedence: {precedence}, Permissions: {})",
                        permissions.len()
                    ),
                ),
                None => {
                    let action = intention["Action"].as_str().unwrap_or_default();
                    (
                        action == "allow",
                        format!(
                            "Matched L4 intention: {pair} (Precedence: {precedence}, Action: {})",
                            action.to_uppercase()
                        ),
                    )
                }
            }
        }
    };
    let value = json!({ "Authorized": allowed, "Reason": reason });
    let reply = Reply::json(&value, call.pretty());
    // The agent keeps watching the intentions of a target once it was asked about.
    Ok(if state.agent.authorized.insert(target.to_owned()) {
        reply.with("X-Cache", "MISS")
    } else {
        reply.with("X-Cache", "HIT").with("Age", "0")
    })
}
