//! `/v1/catalog/…`

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::decode::{CATALOG, check as check_body, refusal};
use super::health::{elsewhere, has_meta, has_tags};
use super::{filter, filtered, required};
use crate::http::blocking::Answer;
use crate::http::call::Call;
use crate::http::reply::{Problem, Reply};
use crate::state::acl::{Authorizer, Level, Resource};
use crate::state::catalog::{connects_to, list};
use crate::state::{State, Topic};

const NODE: &[&str] = &[
    "ID",
    "Node",
    "Address",
    "Datacenter",
    "TaggedAddresses",
    "Meta",
    "Locality",
];
const SERVICE: &[&str] = &[
    "ID",
    "Node",
    "Address",
    "Datacenter",
    "TaggedAddresses",
    "NodeMeta",
    "ServiceKind",
    "ServiceID",
    "ServiceName",
    "ServiceTags",
    "ServiceAddress",
    "ServiceTaggedAddresses",
    "ServiceWeights",
    "ServiceMeta",
    "ServicePort",
    "ServiceEnableTagOverride",
    "ServiceProxy",
    "ServiceConnect",
];

/// `GET /v1/catalog/datacenters`
pub(crate) fn datacenters(
    state: &mut State,
    call: &Call,
    _auth: &Authorizer,
) -> Result<Reply, Problem> {
    Ok(Reply::json(&json!([state.facts.datacenter]), call.pretty()))
}

/// `GET /v1/catalog/nodes`
pub(crate) fn nodes(state: &mut State, call: &Call, auth: &Authorizer) -> Result<Answer, Problem> {
    let all: Vec<(&String, &Value)> = state
        .catalog
        .nodes
        .iter()
        .filter(|(_, node)| has_meta(call, node))
        .collect();
    let found: Vec<Value> = all
        .iter()
        .filter(|(name, _)| auth.node_read(name))
        .map(|(_, node)| (*node).clone())
        .collect();
    let hidden = found.len() != all.len();
    let index = state.index_of(&[Topic::Nodes]);
    let found = filtered(call, NODE, found)?;
    Ok(Answer::new(Value::Array(found), index).filtered(hidden && !auth.is_anonymous()))
}

/// `GET /v1/catalog/services`
pub(crate) fn services(
    state: &mut State,
    call: &Call,
    auth: &Authorizer,
) -> Result<Answer, Problem> {
    let filter = call
        .query("filter")
        .map(|text| {
            filter(
                text,
                &["ServiceName", "ServiceTags", "ServiceMeta", "ServiceKind"],
            )
        })
        .transpose()?;
    let mut hidden = false;
    let mut tags: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (node_name, service) in state.catalog.instances(|_| true) {
        let node = state.catalog.nodes.get(node_name).unwrap_or(&Value::Null);
        if !has_meta(call, node) {
            continue;
        }
        if filter
            .as_ref()
            .is_some_and(|filter| !filter.matches(&flat(node, service)))
        {
            continue;
        }
        let name = service["Service"].as_str().unwrap_or_default();
        if !auth.service_read(name) || !auth.node_read(node_name) {
            hidden = true;
            continue;
        }
        let known = tags.entry(name.to_owned()).or_default();
        for tag in service["Tags"].as_array().into_iter().flatten() {
            if !known.contains(tag) {
                known.push(tag.clone());
            }
        }
    }
    let value: Map<String, Value> = tags
        .into_iter()
        .map(|(name, tags)| (name, Value::Array(tags)))
        .collect();
    let index = state.index_of(&[Topic::Services]);
    Ok(Answer::new(Value::Object(value), index).filtered(hidden && !auth.is_anonymous()))
}

/// An instance in the flat form of the catalog.
fn flat(node: &Value, service: &Value) -> Value {
    let or_null = |key: &str| service.get(key).cloned().unwrap_or(Value::Null);
    let mut value = json!({
        "ID": node["ID"], "Node": node["Node"], "Address": node["Address"],
        "Datacenter": node["Datacenter"], "TaggedAddresses": node["TaggedAddresses"],
        "NodeMeta": node["Meta"],
        "ServiceKind": service["Kind"].as_str().unwrap_or_default(),
        "ServiceID": service["ID"], "ServiceName": service["Service"],
        "ServiceTags": service["Tags"], "ServiceAddress": service["Address"],
        "ServiceWeights": service["Weights"],
        "ServiceMeta": service["Meta"].as_object().cloned().unwrap_or_default(),
        "ServicePort": service["Port"].as_u64().unwrap_or(0),
        "ServicePorts": or_null("Ports"),
        "ServiceSocketPath": service["SocketPath"].as_str().unwrap_or_default(),
        "ServiceEnableTagOverride": service["EnableTagOverride"],
        "ServiceProxy": service["Proxy"], "ServiceConnect": service["Connect"],
        "ServiceLocality": or_null("Locality"),
        "CreateIndex": service["CreateIndex"], "ModifyIndex": service["ModifyIndex"],
    });
    if let Some(tagged) = service.get("TaggedAddresses") {
        value["ServiceTaggedAddresses"] = tagged.clone();
    }
    value
}

fn instances(
    state: &State,
    call: &Call,
    auth: &Authorizer,
    index: u64,
    matches: impl Fn(&Value) -> bool,
) -> Result<Answer, Problem> {
    if elsewhere(call)? {
        return Ok(Answer::new(json!([]), 1));
    }
    let mut hidden = false;
    let mut found = Vec::new();
    for (node, service) in state.catalog.instances(matches) {
        let node_json = state.catalog.nodes.get(node).unwrap_or(&Value::Null);
        if !has_tags(call, service) || !has_meta(call, node_json) {
            continue;
        }
        let name = service["Service"].as_str().unwrap_or_default();
        if auth.service_read(name) && auth.node_read(node) {
            found.push(flat(node_json, service));
        } else {
            hidden = true;
        }
    }
    let found = filtered(call, SERVICE, found)?;
    Ok(Answer::new(Value::Array(found), index).filtered(hidden && !auth.is_anonymous()))
}

/// `GET /v1/catalog/service/:name`
pub(crate) fn service(
    state: &mut State,
    call: &Call,
    auth: &Authorizer,
) -> Result<Answer, Problem> {
    let name = required(call, "service name")?;
    let index = state.service_index(name);
    instances(state, call, auth, index, |service| {
        service["Service"] == name
    })
}

/// `GET /v1/catalog/connect/:name`
pub(crate) fn connect(
    state: &mut State,
    call: &Call,
    auth: &Authorizer,
) -> Result<Answer, Problem> {
    let name = required(call, "service name")?;
    if !auth.service_read(name) {
        let mut answer = Answer::new(json!([]), 1);
        answer.unread = true;
        return Ok(answer);
    }
    let index = state.service_index(name);
    instances(state, call, auth, index, |service| {
        connects_to(service, name)
    })
}

fn visible_services<'a>(
    state: &'a State,
    auth: &'a Authorizer,
    node: &'a str,
) -> impl Iterator<Item = &'a Value> {
    state
        .catalog
        .services
        .iter()
        .filter(move |((owner, _), _)| owner == node)
        .map(|(_, service)| service)
        .filter(|service| auth.service_read(service["Service"].as_str().unwrap_or_default()))
}

fn node_index(state: &State, name: &str) -> u64 {
    state.index_of(&[Topic::Node(name.to_owned())])
}

fn hides(state: &State, auth: &Authorizer, node: &str, shown: usize) -> bool {
    let all = state
        .catalog
        .services
        .keys()
        .filter(|(owner, _)| owner == node)
        .count();
    all != shown && !auth.is_anonymous()
}

/// `GET /v1/catalog/node/:node`
pub(crate) fn node(state: &mut State, call: &Call, auth: &Authorizer) -> Result<Answer, Problem> {
    let name = required(call, "node name")?;
    let index = node_index(state, name);
    let Some(node) = state.catalog.nodes.get(name) else {
        return Ok(Answer::new(Value::Null, index));
    };
    if !auth.node_read(name) {
        return Ok(Answer::new(Value::Null, index).filtered(!auth.is_anonymous()));
    }
    let services: Map<String, Value> = visible_services(state, auth, name)
        .map(|service| {
            (
                service["ID"].as_str().unwrap_or_default().to_owned(),
                service.clone(),
            )
        })
        .collect();
    let hidden = hides(state, auth, name, services.len());
    let value = json!({ "Node": node, "Services": services });
    Ok(Answer::new(value, index).filtered(hidden))
}

/// `GET /v1/catalog/node-services/:node`
pub(crate) fn node_services(
    state: &mut State,
    call: &Call,
    auth: &Authorizer,
) -> Result<Answer, Problem> {
    let name = required(call, "node name")?;
    let index = node_index(state, name);
    let node = state
        .catalog
        .nodes
        .get(name)
        .filter(|_| auth.node_read(name));
    let Some(node) = node else {
        return Ok(Answer::new(
            json!({ "Node": null, "Services": null }),
            index,
        ));
    };
    let services: Vec<Value> = visible_services(state, auth, name).cloned().collect();
    let hidden = hides(state, auth, name, services.len());
    let services = if services.is_empty() {
        Value::Null
    } else {
        Value::Array(services)
    };
    Ok(Answer::new(json!({ "Node": node, "Services": services }), index).filtered(hidden))
}

/// `PUT /v1/catalog/register`
pub(crate) fn register(
    state: &mut State,
    call: &Call,
    auth: &Authorizer,
) -> Result<Reply, Problem> {
    const DECODE: &str = "Request decode failed";
    let body = call.json(DECODE)?;
    check_body(&body, CATALOG).map_err(|wrong| refusal(wrong, DECODE))?;
    let text = |key: &str| body[key].as_str().unwrap_or_default();
    let node = text("Node");
    let skip = body["SkipNodeUpdate"] == true;
    if node.is_empty() {
        return Err(Problem::internal("Must provide node"));
    }
    if text("Address").is_empty() && !skip {
        return Err(Problem::internal(
            "Must provide address if SkipNodeUpdate is not set",
        ));
    }
    if !auth.allows(Resource::Node, node, Level::Write) {
        return Err(Problem::forbidden(auth.refusal("node", Level::Write, node)));
    }
    let given = &body["Service"];
    let service_name = given["Service"].as_str().unwrap_or_default();
    if given.is_object() {
        let id = given["ID"].as_str().unwrap_or_default();
        if service_name.is_empty() && !id.is_empty() {
            return Err(Problem::internal(
                "Must provide service name (Service.Service) when service ID is provided",
            ));
        }
        if !auth.service_write(service_name) {
            return Err(Problem::forbidden(auth.refusal(
                "service",
                Level::Write,
                service_name,
            )));
        }
    }
    if !skip || !state.catalog.nodes.contains_key(node) {
        let or_null = |key: &str| match &body[key] {
            Value::Object(map) if map.is_empty() => Value::Null,
            value => value.clone(),
        };
        let mut json = json!({
            "ID": text("ID"), "Node": node, "Address": text("Address"),
            "Datacenter": state.facts.datacenter,
            "TaggedAddresses": or_null("TaggedAddresses"), "Meta": or_null("NodeMeta"),
        });
        if body["Locality"].is_object() {
            json["Locality"] = body["Locality"].clone();
        }
        state.put_node(node, json);
    }
    if given.is_object() && !service_name.is_empty() {
        let mut service = given.clone();
        if service["ID"].as_str().unwrap_or_default().is_empty() {
            service["ID"] = json!(service_name);
        }
        state.put_instance(node, &service);
    }
    let mut checks: Vec<Value> = body["Checks"].as_array().cloned().unwrap_or_default();
    if body["Check"].is_object() {
        checks.push(body["Check"].clone());
    }
    for mut check in checks {
        if check["CheckID"].as_str().unwrap_or_default().is_empty() {
            check["CheckID"] = check["Name"].clone();
        }
        if check["Status"].as_str().unwrap_or_default().is_empty() {
            check["Status"] = json!("critical");
        }
        check["ServiceTags"] = list(&check["ServiceTags"]);
        state.put_check(node, &check);
    }
    Ok(Reply::json(&json!(true), call.pretty()))
}

/// `PUT /v1/catalog/deregister`
pub(crate) fn deregister(
    state: &mut State,
    call: &Call,
    auth: &Authorizer,
) -> Result<Reply, Problem> {
    let body = call.json("Request decode failed")?;
    let text = |key: &str| body[key].as_str().unwrap_or_default();
    let node = text("Node");
    if node.is_empty() {
        return Err(Problem::internal("Must provide node"));
    }
    let service = text("ServiceID");
    let name = state
        .catalog
        .services
        .get(&(node.to_owned(), service.to_owned()))
        .and_then(|service| service["Service"].as_str())
        .unwrap_or_default();
    let allowed = auth.allows(Resource::Node, node, Level::Write)
        || !name.is_empty() && auth.service_write(name);
    if !allowed {
        return Err(Problem::forbidden("Permission denied"));
    }
    match (service, text("CheckID")) {
        ("", "") => state.drop_node(node),
        ("", check) => state.drop_check(node, check),
        (service, _) => state.drop_instance(node, service),
    }
    Ok(Reply::json(&json!(true), call.pretty()))
}
