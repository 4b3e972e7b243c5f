//! `/v1/agent/…` reads: the agent's own view.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{filter, required};
use crate::go;
use crate::http::call::Call;
use crate::http::reply::{Problem, Reply};
use crate::state::acl::{Authorizer, Level, Resource};
use crate::state::catalog::{LocalCheck, content_hash, derived_addresses};
use crate::state::{Shared, State};

/// `GET /v1/agent/self`, trimmed to what programs read.
pub(crate) fn self_(state: &mut State, call: &Call, auth: &Authorizer) -> Result<Reply, Problem> {
    let facts = &state.facts;
    if !auth.allows(Resource::Agent, &facts.node, Level::Read) {
        return Err(Problem::forbidden(auth.refusal(
            "agent",
            Level::Read,
            &facts.node,
        )));
    }
    let acl_default = if facts.acl {
        facts.acl_default
    } else {
        "allow"
    };
    let intention_default = match facts.intention_default {
        None => "",
        Some(true) => "allow",
        Some(false) => "deny",
    };
    let address = "127.0.0.1";
    let value = json!({
        "Config": {
            "Datacenter": facts.datacenter, "PrimaryDatacenter": facts.datacenter,
            "NodeName": facts.node, "NodeID": facts.node_id, "Revision": "", "Server": true,
            "Version": crate::VERSION, "BuildDate": "1970-01-01T00:00:01Z", "BindAddr": address,
        },
        "Coord": { "Adjustment": 0, "Error": 1.5, "Height": 1e-05, "Vec": [0, 0, 0, 0, 0, 0, 0, 0] },
        "DebugConfig": {
            "ACLsEnabled": facts.acl,
            "ACLResolverSettings": {
                "ACLDefaultPolicy": acl_default, "ACLDownPolicy": "extend-cache",
                "ACLPolicyTTL": "30s", "ACLRoleTTL": "0s", "ACLTokenTTL": "30s",
                "ACLsEnabled": facts.acl, "Datacenter": facts.datacenter,
                "EnterpriseMeta": {}, "NodeName": facts.node,
            },
            "DefaultIntentionPolicy": intention_default, "ConnectEnabled": true,
            "PeeringEnabled": true, "PrimaryDatacenter": facts.datacenter,
            "Datacenter": facts.datacenter, "ServerMode": true, "GRPCPort": facts.grpc_port,
            "GRPCTLSPort": -1, "HTTPPort": facts.http_port, "HTTPUseCache": true,
            "UseStreamingBackend": true, "RPCConfig": { "EnableStreaming": true },
            "Version": crate::VERSION,
        },
        "Member": {
            "Name": facts.node, "Addr": address, "Port": 8301, "Status": 1,
            "Tags": {
                "acls": if facts.acl { "1" } else { "0" }, "build": format!("{}:", crate::VERSION),
                "dc": facts.datacenter, "grpc_port": facts.grpc_port.to_string(),
                "id": facts.node_id, "port": "8300", "raft_vsn": "3", "role": "consul",
                "segment": "", "vsn": "2", "vsn_max": "3", "vsn_min": "2",
            },
            "ProtocolCur": 2, "ProtocolMax": 5, "ProtocolMin": 1,
            "DelegateCur": 4, "DelegateMax": 5, "DelegateMin": 2,
        },
        "Meta": { "consul-network-segment": "", "consul-version": crate::VERSION },
        "Stats": {
            "agent": {
                "check_monitors": "0",
                "check_ttls": state.agent.checks.values().filter(|check| check.ttl.is_some()).count().to_string(),
                "checks": state.agent.checks.len().to_string(),
                "services": state.agent.services.len().to_string(),
            },
        },
        "xDS": {
            "SupportedProxies": { "envoy": ["1.35.8", "1.34.12", "1.33.14"] },
            "Port": facts.grpc_port,
            "Ports": { "Plaintext": facts.grpc_port, "TLS": -1 },
        },
    });
    Ok(Reply::json(&value, call.pretty()))
}

/// An instance as the agent shows it.
fn shown(state: &State, service: &Value) -> Value {
    let mut value = service.clone();
    value["Datacenter"] = json!(state.facts.datacenter);
    let tagged = derived_addresses(service);
    if !tagged.is_empty() {
        value["TaggedAddresses"] = Value::Object(tagged);
    }
    value
}

fn visible<'a>(
    state: &'a State,
    auth: &'a Authorizer,
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    state
        .agent
        .services
        .iter()
        .filter(|(_, service)| auth.service_read(service["Service"].as_str().unwrap_or_default()))
}

fn with_filter_mark(reply: Reply, auth: &Authorizer, filtered: bool) -> Reply {
    if filtered && !auth.is_anonymous() {
        reply.with("X-Consul-Results-Filtered-By-Acls", "true")
    } else {
        reply
    }
}

/// `GET /v1/agent/services`
pub(crate) fn services(
    state: &mut State,
    call: &Call,
    auth: &Authorizer,
) -> Result<Reply, Problem> {
    let mut map: Map<String, Value> = visible(state, auth)
        .map(|(id, service)| (id.clone(), shown(state, service)))
        .collect();
    let filtered = map.len() != state.agent.services.len();
    keep(
        call,
        &[
            "ID",
            "Service",
            "Tags",
            "Meta",
            "Port",
            "Address",
            "Kind",
            "Proxy",
            "Connect",
            "Weights",
            "TaggedAddresses",
            "Datacenter",
        ],
        &mut map,
    )?;
    let reply = Reply::json(&Value::Object(map), call.pretty());
    Ok(with_filter_mark(reply, auth, filtered))
}

fn keep(call: &Call, fields: &[&str], map: &mut Map<String, Value>) -> Result<(), Problem> {
    if let Some(text) = call.query("filter") {
        let filter = filter(text, fields)?;
        map.retain(|_, value| filter.matches(value));
    }
    Ok(())
}

fn check_visible(state: &State, auth: &Authorizer, check: &LocalCheck) -> bool {
    match check.json["ServiceName"].as_str() {
        None | Some("") => auth.node_read(&state.facts.node),
        Some(name) => auth.service_read(name),
    }
}

/// `GET /v1/agent/checks`
pub(crate) fn checks(state: &mut State, call: &Call, auth: &Authorizer) -> Result<Reply, Problem> {
    let mut map: Map<String, Value> = state
        .agent
        .checks
        .iter()
        .filter(|(_, check)| check_visible(state, auth, check))
        .map(|(id, check)| (id.clone(), check.json.clone()))
        .collect();
    let filtered = map.len() != state.agent.checks.len();
    keep(
        call,
        &[
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
        ],
        &mut map,
    )?;
    let reply = Reply::json(&Value::Object(map), call.pretty());
    Ok(with_filter_mark(reply, auth, filtered))
}

/// `GET /v1/agent/service/:id?hash=&wait=`: blocks while the content hash is the one given.
pub(crate) async fn service_by_hash(shared: &Shared, call: &Call) -> Reply {
    let mut changed = shared.subscribe();
    let wait = match call.query("wait").map(go::parse_duration) {
        None => Duration::from_secs(600),
        Some(Some(wait)) => wait,
        Some(None) => return Problem::bad_request("Invalid wait time").into(),
    };
    if let Err(problem) = call.refuse_tenancy() {
        return problem.into();
    }
    let until = Instant::now() + wait;
    loop {
        let found = shared.with(|state| one_service(state, call));
        let (value, hash) = match found {
            Ok(found) => found,
            Err(problem) => return problem.into(),
        };
        let same = call.query("hash") == Some(hash.as_str());
        if !same || Instant::now() >= until {
            return Reply::json(&value, call.pretty()).with("X-Consul-Contenthash", hash);
        }
        tokio::select! {
            moved = changed.changed() => if moved.is_err() {
                return Problem::internal("the server is stopping").into();
            },
            () = tokio::time::sleep_until(until) => {}
        }
    }
}

fn one_service(state: &State, call: &Call) -> Result<(Value, String), Problem> {
    let auth = state
        .authorizer(call.secret())
        .map_err(|_unknown| Problem::unknown_token())?;
    let id = required(call, "service ID")?;
    let service = state
        .agent
        .services
        .get(id)
        .ok_or_else(|| Problem::not_found(format!("unknown service ID: {id}")))?;
    let name = service["Service"].as_str().unwrap_or_default();
    if !auth.service_read(name) {
        return Err(Problem::forbidden(auth.refusal(
            "service",
            Level::Read,
            name,
        )));
    }
    let mut value = shown(state, service);
    let hash = content_hash(&value);
    value["ContentHash"] = json!(hash);
    Ok((value, hash))
}

/// The worst status of an instance and its checks as the health endpoints show them.
fn health_of(state: &State, id: &str, service: &Value) -> (Value, &'static str) {
    let own = |check: &&LocalCheck| check.service() == id;
    let node = |check: &&LocalCheck| check.service().is_empty();
    let checks: Vec<&LocalCheck> = state
        .agent
        .checks
        .values()
        .filter(own)
        .chain(state.agent.checks.values().filter(node))
        .collect();
    let has = |status: &str| checks.iter().any(|check| check.json["Status"] == status);
    let maintenance = checks.iter().any(|check| {
        let id = check.json["CheckID"].as_str().unwrap_or_default();
        id.starts_with("_service_maintenance") || id == "_node_maintenance"
    });
    let status = if maintenance {
        "maintenance"
    } else if has("critical") {
        "critical"
    } else if has("warning") {
        "warning"
    } else {
        "passing"
    };
    let value = json!({
        "AggregatedStatus": status,
        "Service": shown(state, service),
        "Checks": checks.iter().map(|check| expanded(&check.json)).collect::<Vec<_>>(),
    });
    (value, status)
}

fn expanded(check: &Value) -> Value {
    let mut value = check.clone();
    value["Definition"] = json!({
        "Body": "", "DeregisterCriticalServiceAfter": "0s", "GRPC": "", "GRPCUseTLS": false,
        "HTTP": "", "Header": null, "Interval": "0s", "Method": "", "OSService": "", "TCP": "",
        "TCPUseTLS": false, "TLSServerName": "", "TLSSkipVerify": false, "Timeout": "0s", "UDP": "",
    });
    value["Type"] = json!("");
    if value["ServiceTags"].as_array().is_some_and(Vec::is_empty) {
        value["ServiceTags"] = Value::Null;
    }
    if let Some(object) = value.as_object_mut() {
        object.remove("Interval");
        object.remove("Timeout");
    }
    value
}

fn code(status: &str) -> StatusCode {
    match status {
        "passing" => StatusCode::OK,
        "warning" => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn health_reply(call: &Call, value: &Value, reason: &str, status: StatusCode) -> Reply {
    let reply = if call.query("format") == Some("text") {
        Reply::text(status, reason).content_type(Some("text/plain"))
    } else {
        Reply::json(value, call.pretty()).status(status)
    };
    reply.with("X-Consul-Reason", reason)
}

/// `GET /v1/agent/health/service/id/:id`
pub(crate) fn health_by_id(
    state: &mut State,
    call: &Call,
    auth: &Authorizer,
) -> Result<Reply, Problem> {
    let id = required(call, "serviceID")?;
    let Some(service) = state.agent.services.get(id) else {
        let reason = format!("ServiceId {id} not found");
        let value = json!({ "AggregatedStatus": "critical", "Checks": null, "Service": null });
        return Ok(health_reply(call, &value, &reason, StatusCode::NOT_FOUND));
    };
    let name = service["Service"].as_str().unwrap_or_default();
    if !auth.service_read(name) {
        return Err(Problem::forbidden(auth.refusal(
            "service",
            Level::Read,
            name,
        )));
    }
    let (value, status) = health_of(state, id, service);
    Ok(health_reply(call, &value, status, code(status)))
}

/// `GET /v1/agent/health/service/name/:name`
pub(crate) fn health_by_name(
    state: &mut State,
    call: &Call,
    auth: &Authorizer,
) -> Result<Reply, Problem> {
    let name = required(call, "service Name")?;
    if !auth.service_read(name) {
        return Err(Problem::forbidden(auth.refusal(
            "service",
            Level::Read,
            name,
        )));
    }
    let found: Vec<(Value, &str)> = state
        .agent
        .services
        .iter()
        .filter(|(_, service)| service["Service"] == name)
        .map(|(id, service)| health_of(state, id, service))
        .collect();
    let worst = ["maintenance", "critical", "warning", "passing"]
        .into_iter()
        .find(|status| found.iter().any(|(_, found)| found == status));
    let values = Value::Array(found.iter().map(|(value, _)| value.clone()).collect());
    let Some(status) = worst else {
        let reason = format!("ServiceName {name} Not Found");
        return Ok(health_reply(call, &values, &reason, StatusCode::NOT_FOUND));
    };
    Ok(health_reply(call, &values, status, code(status)))
}
