//! `/v1/agent/service/register` and `deregister`.

use serde_json::{Map, Value, json};

use super::decode::{SERVICE, check as check_body, refusal};
use super::required;
use crate::go;
use crate::http::call::Call;
use crate::http::reply::{Problem, Reply};
use crate::state::State;
use crate::state::acl::{Authorizer, Level};
use crate::state::catalog::list;
use crate::state::checks::{Owner, check_type};

const DECODE: &str = "Request decode failed";
const SIDECAR_PORTS: std::ops::RangeInclusive<u64> = 21_000..=21_255;

/// `PUT /v1/agent/service/register`
pub(crate) fn register(
    state: &mut State,
    call: &Call,
    auth: &Authorizer,
) -> Result<Reply, Problem> {
    let body = call.json(DECODE)?;
    check_body(&body, SERVICE).map_err(|wrong| refusal(wrong, DECODE))?;
    let name = text(&body, "Name").to_owned();
    if name.is_empty() {
        return Err(Problem::bad_request("Missing service name"));
    }
    let id = match text(&body, "ID") {
        "" => name.clone(),
        id => id.to_owned(),
    };
    let checks = checks_of(&body);
    validate(&body, &checks)?;
    authorize(state, auth, &name, &id)?;
    let sidecar = sidecar(state, &body, &id, &name)?;
    let service = agent_shape(&body, &id, &name);
    let replace = call.has("replace-existing-checks");
    store(state, service, &checks, replace);
    if let Some((service, checks)) = sidecar {
        store(state, service, &checks, replace);
    }
    Ok(Reply::done())
}

fn authorize(state: &State, auth: &Authorizer, name: &str, id: &str) -> Result<(), Problem> {
    let refused = |name: &str| Problem::forbidden(auth.refusal("service", Level::Write, name));
    if !auth.service_write(name) {
        return Err(refused(name));
    }
    // Taking over an instance of another service needs write on that one too.
    if let Some(old) = state.agent.services.get(id) {
        let old = old["Service"].as_str().unwrap_or_default();
        if !auth.service_write(old) {
            return Err(refused(old));
        }
    }
    Ok(())
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn checks_of(body: &Value) -> Vec<Value> {
    let mut checks: Vec<Value> = body["Checks"].as_array().cloned().unwrap_or_default();
    if body["Check"].is_object() {
        checks.insert(0, body["Check"].clone());
    }
    checks
}

/// What makes a check definition unusable, in the agent's words.
pub(super) fn check_problem(check: &Value) -> Option<String> {
    let duration = |key: &str| go::duration_of(&check[key]).unwrap_or_default();
    let (ttl, interval) = (duration("TTL"), duration("Interval"));
    let kind = check_type(check);
    if kind == "alias" {
        return None;
    }
    if !interval.is_zero() && !ttl.is_zero() {
        return Some("Interval and TTL cannot both be specified".to_owned());
    }
    if matches!(kind, "" | "ttl") && ttl.is_zero() {
        return Some("TTL must be > 0 for TTL checks".to_owned());
    }
    if !matches!(kind, "ttl" | "") && interval.is_zero() {
        return Some(
            "Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks"
                .to_owned(),
        );
    }
    None
}

/// Refuses durations Go cannot read; they fail while the body is decoded.
pub(super) fn check_durations(check: &Value) -> Result<(), Problem> {
    for key in [
        "TTL",
        "Interval",
        "Timeout",
        "DeregisterCriticalServiceAfter",
    ] {
        go::duration_of(&check[key])
            .map_err(|error| Problem::bad_request(format!("{DECODE}: {error}")))?;
    }
    Ok(())
}

pub(super) fn check_status(check: &Value) -> Result<(), Problem> {
    match text(check, "Status") {
        "" | "passing" | "warning" | "critical" => Ok(()),
        _ => Err(Problem::bad_request(
            "Status for checks must 'passing', 'warning', 'critical'",
        )),
    }
}

fn validate(body: &Value, checks: &[Value]) -> Result<(), Problem> {
    for check in checks {
        check_durations(check)?;
    }
    for check in checks {
        check_status(check)?;
    }
    if matches!(text(body, "Address"), "0.0.0.0" | "::" | "[::]") {
        return Err(Problem::bad_request("Invalid service address"));
    }
    if let Some(meta) = body["Meta"].as_object() {
        validate_meta(meta)?;
    }
    let failed = |reason: &str| {
        Problem::bad_request(format!(
            "Validation failed: 1 error occurred:\n\t* {reason}\n\n"
        ))
    };
    let kind = text(body, "Kind");
    let port = body["Port"].as_i64().unwrap_or(0);
    let native = body["Connect"]["Native"] == true;
    if native && port == 0 && text(body, "SocketPath").is_empty() {
        return Err(failed(
            "Port or SocketPath must be set for a Connect native service.",
        ));
    }
    if port != 0
        && body["Ports"]
            .as_array()
            .is_some_and(|ports| !ports.is_empty())
    {
        return Err(failed("Cannot set both Port and Ports"));
    }
    if kind == "connect-proxy" {
        let destination = body["Proxy"]["DestinationServiceName"]
            .as_str()
            .unwrap_or_default();
        if destination.trim().is_empty() {
            return Err(failed(
                "Proxy.DestinationServiceName must be non-empty for Connect proxy services",
            ));
        }
        if destination == "*" {
            return Err(failed(
                "Proxy.DestinationServiceName must not be a wildcard for Connect proxy services",
            ));
        }
        if port == 0 && text(body, "SocketPath").is_empty() {
            return Err(failed("Port or SocketPath must be set for a connect-proxy"));
        }
        if native {
            return Err(failed(
                "A Proxy cannot also be Connect Native, only typical services",
            ));
        }
    }
    let weights = &body["Weights"];
    if weights.is_object() {
        let problem = |text: &str| Problem::bad_request(format!("Invalid Weights: {text}"));
        if weights["Passing"].as_i64().unwrap_or(0) < 1 {
            return Err(problem("Passing must be greater than 0"));
        }
        if weights["Warning"].as_i64().unwrap_or(0) < 0 {
            return Err(problem("Warning must be greater or equal than 0"));
        }
    }
    for check in checks {
        if check_type(check) == "script" {
            return Err(Problem::internal(
                "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true",
            ));
        }
        if let Some(problem) = check_problem(check) {
            return Err(Problem::bad_request(format!("Invalid check: {problem}")));
        }
    }
    Ok(())
}

fn validate_meta(meta: &Map<String, Value>) -> Result<(), Problem> {
    for (key, value) in meta {
        let value = value.as_str().unwrap_or_default();
        let why = if key.is_empty() {
            "Key cannot be blank"
        } else if key.len() > 128 {
            "Key is too long (limit: 128 characters)"
        } else if value.len() > 512 {
            "Value is too long (limit: 512 characters)"
        } else if key.starts_with("consul-") {
            "Key prefix 'consul-' is reserved for internal use"
        } else {
            continue;
        };
        return Err(Problem::bad_request(format!(
            "Invalid Service Meta: Couldn't load metadata pair ('{key}', '{value}'): {why}"
        )));
    }
    Ok(())
}

/// A registration as the agent keeps and shows it.
fn agent_shape(body: &Value, id: &str, name: &str) -> Value {
    let mut service = json!({
        "ID": id, "Service": name, "Tags": list(&body["Tags"]),
        "Meta": body["Meta"].as_object().cloned().unwrap_or_default(),
        "Port": body["Port"].as_i64().unwrap_or(0),
        "Address": text(body, "Address"),
        "Weights": match &body["Weights"] {
            Value::Object(weights) => Value::Object(weights.clone()),
            _ => json!({ "Passing": 1, "Warning": 1 }),
        },
        "EnableTagOverride": body["EnableTagOverride"].as_bool().unwrap_or(false),
    });
    for key in ["Kind", "SocketPath"] {
        if !text(body, key).is_empty() {
            service[key] = body[key].clone();
        }
    }
    for key in ["TaggedAddresses", "Locality", "Ports"] {
        if !body[key].is_null() {
            service[key] = body[key].clone();
        }
    }
    if let Some(ports) = service["Ports"].as_array_mut() {
        for port in ports {
            port["Default"] = json!(port["Default"] == true);
        }
    } else if let Some(object) = service.as_object_mut() {
        object.remove("Ports");
    }
    let default_port = body["Ports"]
        .as_array()
        .and_then(|ports| ports.iter().find(|port| port["Default"] == true));
    if let Some(port) = default_port {
        service["Port"] = port["Port"].clone();
    }
    if body["Connect"]["Native"] == true {
        service["Connect"] = json!({ "Native": true });
    }
    if !text(body, "Kind").is_empty() {
        let mut proxy = body["Proxy"].as_object().cloned().unwrap_or_default();
        proxy.entry("MeshGateway").or_insert(json!({}));
        proxy.entry("Expose").or_insert(json!({}));
        service["Proxy"] = Value::Object(proxy);
    }
    service
}

/// Stores an instance with its checks, which get ids `service:<id>` or `service:<id>:<n>`.
fn store(state: &mut State, service: Value, checks: &[Value], replace: bool) {
    let id = text(&service, "ID").to_owned();
    let name = text(&service, "Service").to_owned();
    let tags = service["Tags"].clone();
    state.register_local(service);
    let mut kept = Vec::new();
    for (at, check) in checks.iter().enumerate() {
        let check_id = match (text(check, "CheckID"), text(check, "ID"), checks.len()) {
            ("", "", 1) => format!("service:{id}"),
            ("", "", _) => format!("service:{id}:{}", at + 1),
            ("", given, _) | (given, _, _) => given.to_owned(),
        };
        let owner = Owner {
            service_id: &id,
            service_name: &name,
            tags: tags.clone(),
            standalone: false,
        };
        state.add_local_check(&check_id, check, &owner);
        kept.push(check_id);
    }
    if replace {
        let gone: Vec<String> = state
            .agent
            .checks
            .iter()
            .filter(|(check_id, check)| check.service() == id && !kept.contains(check_id))
            .map(|(check_id, _)| check_id.clone())
            .collect();
        for check_id in gone {
            state.remove_local_check(&check_id);
        }
    }
}

/// The sidecar of a `Connect.SidecarService` block with what the agent fills in, and its two checks.
fn sidecar(
    state: &State,
    body: &Value,
    id: &str,
    name: &str,
) -> Result<Option<(Value, Vec<Value>)>, Problem> {
    let given = &body["Connect"]["SidecarService"];
    if !given.is_object() {
        return Ok(None);
    }
    let sidecar_id = format!("{id}-sidecar-proxy");
    let taken = |port: u64| {
        state
            .agent
            .services
            .iter()
            .any(|(other, service)| *other != sidecar_id && service["Port"] == port)
    };
    let old_port = state
        .agent
        .services
        .get(&sidecar_id)
        .and_then(|service| service["Port"].as_u64());
    let port = given["Port"]
        .as_u64()
        .filter(|port| *port != 0)
        .or(old_port)
        .or_else(|| SIDECAR_PORTS.clone().find(|port| !taken(*port)))
        .ok_or_else(|| {
            Problem::bad_request("Invalid SidecarService: none left of [21000, 21255]")
        })?;
    let mut definition = given.clone();
    definition["Kind"] = json!("connect-proxy");
    definition["Port"] = json!(port);
    for key in ["Tags", "Meta", "Address"] {
        if definition[key].is_null() {
            definition[key] = body[key].clone();
        }
    }
    let proxy = &mut definition["Proxy"];
    proxy["DestinationServiceName"] = json!(name);
    proxy["DestinationServiceID"] = json!(id);
    if proxy["LocalServiceAddress"].is_null() {
        proxy["LocalServiceAddress"] = json!("127.0.0.1");
    }
    let local_port = body["Port"].as_u64().unwrap_or(0);
    if proxy["LocalServicePort"].is_null() && local_port != 0 {
        proxy["LocalServicePort"] = json!(local_port);
    }
    let protocol = state.protocol(name);
    if state.config.get("service-defaults", name).is_some() || protocol != "tcp" {
        proxy["Config"]["protocol"] = json!(protocol);
    }
    let sidecar_name = match text(given, "Name") {
        "" => format!("{name}-sidecar-proxy"),
        given => given.to_owned(),
    };
    let mut checks = checks_of(given);
    if checks.is_empty() {
        let address = match text(&definition, "Address") {
            "" => "127.0.0.1",
            address => address,
        };
        checks = vec![
            json!({
                "Name": "Connect Sidecar Listening", "TCP": format!("{address}:{port}"),
                "Interval": "10s",
            }),
            json!({ "Name": format!("Connect Sidecar Aliasing {id}"), "AliasService": id }),
        ];
    }
    let service = agent_shape(&definition, &sidecar_id, &sidecar_name);
    Ok(Some((service, checks)))
}

/// `PUT /v1/agent/service/deregister/:id`
pub(crate) fn deregister(
    state: &mut State,
    call: &Call,
    auth: &Authorizer,
) -> Result<Reply, Problem> {
    let id = required(call, "service ID")?;
    let service = known(state, id)?;
    let name = text(service, "Service");
    if !auth.service_write(name) {
        return Err(Problem::forbidden(auth.refusal(
            "service",
            Level::Write,
            name,
        )));
    }
    state.deregister_local(id);
    // The sidecar was registered with its service and leaves with it.
    state.deregister_local(&format!("{id}-sidecar-proxy"));
    Ok(Reply::done())
}

/// The instance, or the agent's 404.
pub(super) fn known<'a>(state: &'a State, id: &str) -> Result<&'a Value, Problem> {
    state.agent.services.get(id).ok_or_else(|| {
        Problem::not_found(format!(
            "Unknown service ID {id:?}. Ensure that the service ID is passed, not the service name."
        ))
    })
}
