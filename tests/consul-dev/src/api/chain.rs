//! `/v1/discovery-chain/:service`: the default chain, redirects and subsets. Routers, splitters and failover are
//! refused with a text that says so rather than answered wrongly.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::required;
use crate::go;
use crate::http::blocking::Answer;
use crate::http::call::Call;
use crate::http::reply::Problem;
use crate::state::acl::{Authorizer, Level};
use crate::state::config::hash_of;
use crate::state::{State, Topic};

/// `GET` and `POST /v1/discovery-chain/:service`
pub(crate) fn read(state: &mut State, call: &Call, auth: &Authorizer) -> Result<Answer, Problem> {
    const DECODE: &str = "Request decoding failed";
    let service = required(call, "chain name")?;
    let overrides = if call.method == http::Method::POST && !call.body.is_empty() {
        call.json(DECODE)?
    } else {
        Value::Null
    };
    if !auth.service_read(service) {
        return Err(Problem::forbidden(auth.refusal(
            "service",
            Level::Read,
            service,
        )));
    }
    let chain = compile(state, service, &overrides)?;
    let index = state.index_of(&[Topic::Config, Topic::Roots, Topic::Services]);
    Ok(Answer::new(json!({ "Chain": chain }), index).suppressed())
}

/// Where a service resolves to after redirects.
struct Resolved {
    service: String,
    subset: String,
    entry: Value,
    redirected: bool,
}

fn resolve(state: &State, service: &str) -> Result<Resolved, Problem> {
    let mut at = Resolved {
        service: service.to_owned(),
        subset: String::new(),
        entry: Value::Null,
        redirected: false,
    };
    for _ in 0..16 {
        at.entry = state
            .config
            .get("service-resolver", &at.service)
            .cloned()
            .unwrap_or(Value::Null);
        let redirect = &at.entry["Redirect"];
        if redirect.is_null() {
            if at.subset.is_empty() {
                at.subset = text(&at.entry, "DefaultSubset").to_owned();
            }
            return Ok(at);
        }
        if !text(redirect, "Service").is_empty() {
            at.service = text(redirect, "Service").to_owned();
        }
        at.subset = text(redirect, "ServiceSubset").to_owned();
        at.redirected = true;
    }
    Err(Problem::internal(format!(
        "detected circular resolver redirect for service {service:?}"
    )))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn compile(state: &State, service: &str, overrides: &Value) -> Result<Value, Problem> {
    for kind in ["service-router", "service-splitter"] {
        if state.config.get(kind, service).is_some() {
            return Err(Problem::internal(format!(
                "this development server does not compile chains with a {kind}"
            )));
        }
    }
    let resolved = resolve(state, service)?;
    if !resolved.entry["Failover"].is_null() {
        return Err(Problem::internal(
            "this development server does not compile chains with failover",
        ));
    }
    let dc = &state.facts.datacenter;
    let trust_domain = &state.ca.trust_domain;
    let wanted = match &overrides["OverrideConnectTimeout"] {
        Value::Null => &resolved.entry["ConnectTimeout"],
        given => given,
    };
    let connect_timeout = match go::duration_of(wanted).map_err(Problem::bad_request)? {
        Duration::ZERO => "5s".to_owned(),
        duration => go::format_duration(duration),
    };
    let (name, subset) = (&resolved.service, &resolved.subset);
    let (prefix, subset_json) = if subset.is_empty() {
        (String::new(), json!({}))
    } else {
        let definition = &resolved.entry["Subsets"][subset.as_str()];
        if definition.is_null() {
            return Err(Problem::internal(format!(
                "service {name:?} does not have a subset named {subset:?}"
            )));
        }
        (format!("{subset}."), definition.clone())
    };
    let id = format!("{prefix}{name}.default.default.{dc}");
    let sni = match state
        .config
        .get("service-defaults", name)
        .map(|entry| text(entry, "ExternalSNI"))
    {
        Some(external) if !external.is_empty() => external.to_owned(),
        _ => format!("{prefix}{name}.default.{dc}.internal.{trust_domain}"),
    };
    let mut resolver = json!({ "ConnectTimeout": connect_timeout, "Target": id });
    let default = resolved.entry.is_null();
    if default {
        resolver["Default"] = json!(true);
    }
    let request_timeout = go::duration_of(&resolved.entry["RequestTimeout"]).unwrap_or_default();
    if !request_timeout.is_zero() {
        resolver["RequestTimeout"] = json!(request_timeout.as_nanos() as u64);
    }
    let mut target = json!({
        "ID": id, "Service": name, "Namespace": "default", "Partition": "default",
        "Datacenter": dc, "MeshGateway": gateway_mode(state, name, overrides),
        "Subset": subset_json, "TransparentProxy": {}, "ConnectTimeout": connect_timeout,
        "SNI": sni, "Name": sni,
    });
    if !subset.is_empty() {
        target["ServiceSubset"] = json!(subset);
    }
    let mut node = json!({ "Type": "resolver", "Name": id, "Resolver": resolver });
    if !resolved.entry["LoadBalancer"].is_null() {
        node["LoadBalancer"] = resolved.entry["LoadBalancer"].clone();
    }
    let node_name = format!("resolver:{id}");
    let protocol = match text(overrides, "OverrideProtocol") {
        "" => state.protocol(name),
        given => given.to_lowercase(),
    };
    let virtual_ip = state.catalog.virtual_ip(service);
    let mut chain = json!({
        "ServiceName": service, "Namespace": "default", "Partition": "default", "Datacenter": dc,
        "Protocol": protocol, "StartNode": node_name,
        "Nodes": single(&node_name, node), "Targets": single(&id, target),
        "AutoVirtualIPs": virtual_ip.as_ref().map(|ip| json!([ip])),
        "ManualVirtualIPs": virtual_ip.as_ref().map(|_| json!([])),
    });
    if default && !resolved.redirected {
        chain["Default"] = json!(true);
    }
    if let Some(meta) = state
        .config
        .get("service-defaults", service)
        .map(|entry| &entry["Meta"])
        && meta.is_object()
    {
        chain["ServiceMeta"] = meta.clone();
    }
    if customised(overrides) {
        chain["CustomizationHash"] = json!(format!("{:08x}", hash_of(overrides) as u32));
    }
    Ok(chain)
}

fn gateway_mode(state: &State, service: &str, overrides: &Value) -> Value {
    let own = state.config.get("service-defaults", service);
    let global = state.config.get("proxy-defaults", "global");
    [
        Some(&overrides["OverrideMeshGateway"]),
        own.map(|entry| &entry["MeshGateway"]),
        global.map(|entry| &entry["MeshGateway"]),
    ]
    .into_iter()
    .flatten()
    .find(|gateway| !text(gateway, "Mode").is_empty())
    .cloned()
    .unwrap_or_else(|| json!({}))
}

fn customised(overrides: &Value) -> bool {
    !text(&overrides["OverrideMeshGateway"], "Mode").is_empty()
        || !text(overrides, "OverrideProtocol").is_empty()
        || !overrides["OverrideConnectTimeout"].is_null()
}

fn single(key: &str, value: Value) -> Value {
    let mut map = Map::new();
    map.insert(key.to_owned(), value);
    Value::Object(map)
}
