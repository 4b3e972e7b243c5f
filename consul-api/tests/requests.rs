//! Golden test: what this crate sends against what Consul's own Go client sends for the same call.
//!
//! The vectors were recorded from `github.com/hashicorp/consul/api` v1.33.2 with a recording server. `type` and `method` are the
//! Go names, `args` the Go arguments, `request` what went over the wire.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader},
    time::Duration,
};

use bytes::Bytes;
use consul_api::{
    Call, Client, Config, Error, Read, Request,
    acl::LoginRequest,
    agent::{Check, CheckRegistration, ServiceRegistration},
    catalog::{CatalogDeregistration, CatalogRegistration, CatalogService},
    config_entry::ConfigEntry,
    connect_ca::CaConfiguration,
    discovery_chain::Overrides,
    duration::GoDuration,
    health::{HealthCheck, ServiceEntry, Status},
    intention::Intention,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

type Http = Result<http::Request<Bytes>, Error>;

/// One recorded call.
struct Vector {
    name: String,
    call: (String, String),
    args: Value,
    request: Value,
}

impl Vector {
    fn text(&self, name: &str) -> String {
        self.args[name].as_str().unwrap_or_default().to_owned()
    }

    fn flag(&self, name: &str) -> bool {
        self.args[name].as_bool().unwrap_or_default()
    }

    /// Query or write options, under whichever name the Go method gives them.
    fn options(&self) -> Value {
        ["q", "w"]
            .into_iter()
            .map(|name| self.args[name].clone())
            .find(Value::is_object)
            .unwrap_or_default()
    }

    /// The recorded body as a type of this crate, so that each key on the wire has to have a field.
    fn body<T: DeserializeOwned>(&self) -> T {
        serde_json::from_value(normal(&self.request["body"]))
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    fn config(&self) -> Config {
        let given = &self.args["config"];
        let prefix = given["PathPrefix"].as_str().unwrap_or_default();
        let mut config = Config::new(format!("http://127.0.0.1:8500{prefix}")).expect("an address");
        if let Some(name) = given["Datacenter"].as_str() {
            config = config.with_datacenter(name);
        }
        if let Some(name) = given["Namespace"].as_str() {
            config = config.with_namespace(name);
        }
        if let Some(name) = given["Partition"].as_str() {
            config = config.with_partition(name);
        }
        if let Some(user) = given["HttpAuth"]["Username"].as_str() {
            config = config.with_basic_auth(
                user,
                given["HttpAuth"]["Password"].as_str().unwrap_or_default(),
            );
        }
        config
    }
}

/// Why a vector has no counterpart.
enum Outcome {
    Sent(Box<Http>),
    Skipped(&'static str),
}

const NOT_COMPARED: [(&str, &str); 2] = [
    (
        "Health.Service option-MaxAge-1500ms",
        "Go rounds to the nearest second, we down",
    ),
    (
        "Catalog.Register allfields",
        "a sidecar inside an instance of the catalog means nothing to Consul",
    ),
];

const LATER: &str = "not one of the areas of this crate yet";
const LEGACY: &str = "deprecated by Consul";

fn build(client: &Client, vector: &Vector) -> Outcome {
    let (agent, catalog, health) = (client.agent(), client.catalog(), client.health());
    let (intentions, entries, authority) = (
        client.intentions(),
        client.config_entries(),
        client.connect_ca(),
    );
    let text = |name: &str| vector.text(name);
    let config = vector.config();
    let sent = |request: Http| Outcome::Sent(Box::new(request));
    let (kind, method) = (vector.call.0.as_str(), vector.call.1.as_str());
    match (kind, method) {
        ("ACL", "Login") => {
            let mut login = LoginRequest::new(
                vector.args["auth"]["AuthMethod"]
                    .as_str()
                    .unwrap_or_default(),
                vector.args["auth"]["BearerToken"]
                    .as_str()
                    .unwrap_or_default(),
            );
            for (key, value) in vector.args["auth"]["Meta"]
                .as_object()
                .into_iter()
                .flatten()
            {
                login = login.meta(key, value.as_str().unwrap_or_default());
            }
            sent(call(vector, client.acl().login(&login)))
        }
        ("ACL", "Logout") => sent(call(vector, client.acl().logout())),
        ("ACL", "TokenReadSelf") => sent(read(vector, client.acl().token_self())),

        ("Agent", "Self" | "NodeName") => sent(call(vector, agent.self_())),
        ("Agent", "Version") => sent(call(vector, agent.version())),
        ("Agent", "Checks" | "ChecksWithFilter" | "ChecksWithFilterOpts") => {
            let checks = agent.checks();
            let filter = text("filter");
            sent(call(
                vector,
                if filter.is_empty() {
                    checks
                } else {
                    checks.filter(filter)
                },
            ))
        }
        ("Agent", "Services" | "ServicesWithFilter" | "ServicesWithFilterOpts") => {
            let services = agent.services();
            let filter = text("filter");
            sent(call(
                vector,
                if filter.is_empty() {
                    services
                } else {
                    services.filter(filter)
                },
            ))
        }
        ("Agent", "AgentHealthServiceByID" | "AgentHealthServiceByIDOpts") => {
            sent(call(vector, agent.health_by_id(text("serviceID"))))
        }
        ("Agent", "AgentHealthServiceByName" | "AgentHealthServiceByNameOpts") => {
            sent(call(vector, agent.health_by_name(text("service"))))
        }
        ("Agent", "Service") => {
            let service = agent.service(text("serviceID"));
            match vector.options()["WaitHash"].as_str() {
                Some(hash) => {
                    let service = read_options(vector, service, false);
                    sent(service.hash(hash).request().to_http(&config))
                }
                None => sent(read(vector, service)),
            }
        }
        ("Agent", "Members" | "MembersOpts") => {
            let mut members = agent.members();
            let options = &vector.args["opts"];
            if vector.flag("wan") || options["WAN"].as_bool() == Some(true) {
                members = members.wan();
            }
            if let Some(filter) = options["Filter"].as_str() {
                members = members.filter(filter);
            }
            if vector.call.1 == "MembersOpts" {
                members = members.segment(options["Segment"].as_str().unwrap_or_default());
            }
            sent(call(vector, members))
        }
        ("Agent", "ServiceRegister") => sent(
            agent
                .register_service(&vector.body::<ServiceRegistration>())
                .request()
                .to_http(&config),
        ),
        ("Agent", "ServiceRegisterOpts") => {
            let register = agent.register_service(&vector.body::<ServiceRegistration>());
            let replace = vector.args["opts"]["ReplaceExistingChecks"].as_bool() == Some(true);
            sent(
                if replace {
                    register.replace_existing_checks()
                } else {
                    register
                }
                .request()
                .to_http(&config),
            )
        }
        ("Agent", "ServiceDeregister" | "ServiceDeregisterOpts") => {
            sent(call(vector, agent.deregister_service(text("serviceID"))))
        }
        ("Agent", "PassTTL") => sent(call(vector, agent.pass(text("checkID"), text("note")))),
        ("Agent", "WarnTTL") => sent(call(vector, agent.warn(text("checkID"), text("note")))),
        ("Agent", "FailTTL") => sent(call(vector, agent.fail(text("checkID"), text("note")))),
        ("Agent", "UpdateTTL" | "UpdateTTLOpts") => {
            let status = Status::from(
                vector.request["body"]["Status"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            );
            sent(call(
                vector,
                agent.update_check(text("checkID"), status, text("output")),
            ))
        }
        ("Agent", "CheckRegister" | "CheckRegisterOpts") => {
            let body = &vector.request["body"];
            let field = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
            let mut registration = CheckRegistration::new(field("Name"), vector.body::<Check>());
            registration.id = field("ID");
            registration.service_id = field("ServiceID");
            registration.namespace = field("Namespace");
            registration.partition = field("Partition");
            sent(call(vector, agent.register_check(&registration)))
        }
        ("Agent", "CheckDeregister" | "CheckDeregisterOpts") => {
            sent(call(vector, agent.deregister_check(text("checkID"))))
        }
        ("Agent", "ConnectAuthorize") => {
            let auth = |name: &str| {
                vector.args["auth"][name]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            sent(call(
                vector,
                agent.connect_authorize(
                    auth("Target"),
                    auth("ClientCertURI"),
                    auth("ClientCertSerial"),
                ),
            ))
        }
        ("Agent", "ConnectCARoots") => sent(read(vector, agent.connect_ca_roots())),
        ("Agent", "ConnectCALeaf") => sent(read(vector, agent.connect_ca_leaf(text("serviceID")))),
        ("Agent", "EnableServiceMaintenance" | "EnableServiceMaintenanceOpts") => sent(call(
            vector,
            agent.service_maintenance(text("serviceID"), true, text("reason")),
        )),
        ("Agent", "DisableServiceMaintenance" | "DisableServiceMaintenanceOpts") => sent(call(
            vector,
            agent.service_maintenance(text("serviceID"), false, ""),
        )),
        ("Agent", "EnableNodeMaintenance") => {
            sent(call(vector, agent.node_maintenance(true, text("reason"))))
        }
        ("Agent", "DisableNodeMaintenance") => {
            sent(call(vector, agent.node_maintenance(false, "")))
        }
        ("Agent", _) => Outcome::Skipped(LATER),

        ("Catalog", "Register") => sent(call(
            vector,
            catalog.register(&vector.body::<CatalogRegistration>()),
        )),
        ("Catalog", "Deregister") => sent(call(
            vector,
            catalog.deregister(&vector.body::<CatalogDeregistration>()),
        )),
        ("Catalog", "Datacenters") => sent(call(vector, catalog.datacenters())),
        ("Catalog", "Nodes") => sent(read(vector, catalog.nodes())),
        ("Catalog", "Services") => sent(read(vector, catalog.services())),
        ("Catalog", "Service" | "ServiceMultipleTags") => sent(read(
            vector,
            catalog_service(vector, catalog.service(text("service"))),
        )),
        ("Catalog", "Connect" | "ConnectMultipleTags") => sent(read(
            vector,
            catalog_service(vector, catalog.connect(text("service"))),
        )),
        ("Catalog", "Node") => sent(read(vector, catalog.node(text("node")))),
        ("Catalog", "NodeServiceList") => sent(read(vector, catalog.node_services(text("node")))),
        ("Catalog", "GatewayServices") => {
            sent(read(vector, catalog.gateway_services(text("gateway"))))
        }

        ("ConfigEntries", "Get") => sent(read(vector, entries.get(text("kind"), text("name")))),
        ("ConfigEntries", "List") => sent(read(vector, entries.list(text("kind")))),
        ("ConfigEntries", "Set") => sent(call(vector, entries.set(&vector.body::<ConfigEntry>()))),
        ("ConfigEntries", "CAS") => {
            let index = vector.args["index"].as_u64().expect("an index");
            sent(call(
                vector,
                entries.set_if_unchanged(&vector.body::<ConfigEntry>(), index),
            ))
        }
        ("ConfigEntries", "Delete") => {
            sent(call(vector, entries.delete(text("kind"), text("name"))))
        }
        ("ConfigEntries", "DeleteCAS") => {
            let index = vector.args["index"].as_u64().expect("an index");
            sent(call(
                vector,
                entries.delete_if_unchanged(text("kind"), text("name"), index),
            ))
        }

        ("Connect", "CARoots") => sent(read(vector, authority.roots())),
        ("Connect", "CAGetConfig") => sent(call(vector, authority.configuration())),
        ("Connect", "CASetConfig") => sent(call(
            vector,
            authority.set_configuration(&vector.body::<CaConfiguration>()),
        )),
        ("Connect", "Intentions") => sent(read(vector, intentions.list())),
        ("Connect", "IntentionGetExact") => sent(read(
            vector,
            intentions.get(text("source"), text("destination")),
        )),
        ("Connect", "IntentionDeleteExact") => sent(call(
            vector,
            intentions.delete(text("source"), text("destination")),
        )),
        ("Connect", "IntentionMatch") => {
            let names = vector.args["args"]["Names"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let [Value::String(name)] = names.as_slice() else {
                return Outcome::Skipped("one name a call: the answer is then one list");
            };
            sent(match vector.args["args"]["By"].as_str() {
                Some("source") => read(vector, intentions.match_source(name)),
                _ => read(vector, intentions.match_destination(name)),
            })
        }
        ("Connect", "IntentionCheck") => {
            if vector.args["args"]["SourceType"].is_string() {
                return Outcome::Skipped("the only source type is the default");
            }
            let name = |name: &str| {
                vector.args["args"][name]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            sent(call(
                vector,
                intentions.check(name("Source"), name("Destination")),
            ))
        }
        ("Connect", "IntentionUpsert") => {
            sent(call(vector, intentions.put(&vector.body::<Intention>())))
        }
        ("Connect", _) => Outcome::Skipped(LEGACY),

        ("DiscoveryChain", "Get") => {
            let mut chain = client.discovery_chain().get(text("name"));
            let options = &vector.args["opts"];
            if let Some(datacenter) = options["EvaluateInDatacenter"].as_str() {
                chain = chain.compile_in(datacenter);
            }
            if vector.request["body"].is_object() {
                chain = chain.overrides(&vector.body::<Overrides>());
            }
            sent(read(vector, chain))
        }

        ("Health", "Node") => sent(read(vector, checks(vector, health.node(text("node"))))),
        ("Health", "Checks") => sent(read(vector, checks(vector, health.checks(text("service"))))),
        ("Health", "Service" | "ServiceMultipleTags") => {
            sent(read(vector, entry(vector, health.service(text("service")))))
        }
        ("Health", "Connect" | "ConnectMultipleTags") => {
            sent(read(vector, entry(vector, health.connect(text("service")))))
        }
        ("Health", "Ingress") => sent(read(vector, entry(vector, health.ingress(text("service"))))),
        ("Health", "State") => {
            let state = Some(text("state"))
                .filter(|state| state != "any")
                .map(Status::from);
            sent(read(vector, checks(vector, health.state(state))))
        }

        ("Peerings", "Read") => sent(read(vector, client.peerings().get(text("name")))),
        ("Peerings", "List") => sent(read(vector, client.peerings().list())),

        ("Status", "Leader" | "LeaderWithQueryOptions") => {
            sent(call(vector, client.status().leader()))
        }
        ("Status", "Peers" | "PeersWithQueryOptions") => {
            sent(call(vector, client.status().peers()))
        }
        _ => Outcome::Skipped(LATER),
    }
}

fn entry(vector: &Vector, mut read: Read<Vec<ServiceEntry>>) -> Read<Vec<ServiceEntry>> {
    if vector.flag("passingOnly") {
        read = read.passing();
    }
    for tag in tags(vector) {
        read = read.tag(tag);
    }
    for (key, value) in node_meta(vector) {
        read = read.node_meta(&key, &value);
    }
    if vector.options()["MergeCentralConfig"].as_bool() == Some(true) {
        read = read.merge_central_config();
    }
    read
}

fn checks(vector: &Vector, mut read: Read<Vec<HealthCheck>>) -> Read<Vec<HealthCheck>> {
    for (key, value) in node_meta(vector) {
        read = read.node_meta(&key, &value);
    }
    read
}

fn catalog_service(
    vector: &Vector,
    mut read: Read<Vec<CatalogService>>,
) -> Read<Vec<CatalogService>> {
    for tag in tags(vector) {
        read = read.tag(tag);
    }
    for (key, value) in node_meta(vector) {
        read = read.node_meta(&key, &value);
    }
    if vector.options()["MergeCentralConfig"].as_bool() == Some(true) {
        read = read.merge_central_config();
    }
    read
}

fn tags(vector: &Vector) -> Vec<String> {
    match (&vector.args["tag"], &vector.args["tags"]) {
        (Value::String(tag), _) if !tag.is_empty() => vec![tag.clone()],
        (_, Value::Array(tags)) => tags
            .iter()
            .filter_map(|tag| tag.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    }
}

fn node_meta(vector: &Vector) -> BTreeMap<String, String> {
    serde_json::from_value(vector.options()["NodeMeta"].clone()).unwrap_or_default()
}

fn read<T>(vector: &Vector, read: Read<T>) -> Http {
    read_options(vector, read, true)
        .request()
        .to_http(&vector.config())
}

fn read_options<T>(vector: &Vector, mut read: Read<T>, with_index: bool) -> Read<T> {
    let options = vector.options();
    let text = |name: &str| options[name].as_str();
    let flag = |name: &str| options[name].as_bool() == Some(true);
    let duration = |name: &str| {
        text(name).map(|text| {
            Duration::try_from(text.parse::<GoDuration>().expect("a duration")).expect("positive")
        })
    };
    if let Some(name) = text("Datacenter") {
        read = read.datacenter(name);
    }
    if let Some(name) = text("Namespace") {
        read = read.namespace(name);
    }
    if let Some(name) = text("Partition") {
        read = read.partition(name);
    }
    if let Some(name) = text("Peer") {
        read = read.peer(name);
    }
    if let Some(name) = text("SamenessGroup") {
        read = read.sameness_group(name);
    }
    if let Some(filter) = text("Filter") {
        read = read.filter(filter);
    }
    if let Some(node) = text("Near") {
        read = read.near(node);
    }
    if flag("UseCache") {
        let (max_age, stale_if_error) = (duration("MaxAge"), duration("StaleIfError"));
        read = match (max_age, stale_if_error) {
            (None, None) => read.cached(),
            (max_age, stale_if_error) => read.cached_within(max_age, stale_if_error),
        };
    }
    if flag("AllowStale") {
        read = read.stale();
    }
    if flag("RequireConsistent") {
        read = read.consistent();
    }
    if let Some(wait) = duration("WaitTime").or_else(|| {
        let text = vector.args["config"]["WaitTime"].as_str()?;
        Duration::try_from(text.parse::<GoDuration>().ok()?).ok()
    }) {
        read = read.wait(wait);
    }
    if let Some(index) = options["WaitIndex"].as_u64().filter(|_| with_index) {
        read = read.index(index);
    }
    read
}

fn call<T>(vector: &Vector, mut call: Call<T>) -> Http {
    let options = vector.options();
    if let Some(name) = options["Datacenter"].as_str() {
        call = call.datacenter(name);
    }
    if let Some(name) = options["Namespace"].as_str() {
        call = call.namespace(name);
    }
    if let Some(name) = options["Partition"].as_str() {
        call = call.partition(name);
    }
    call.request().to_http(&vector.config())
}

/// What two requests are compared by.
#[derive(Debug, PartialEq)]
struct Shape {
    method: String,
    path: Vec<String>,
    query: BTreeMap<String, BTreeSet<String>>,
    cache_control: Option<String>,
    authorization: Option<String>,
    body: Value,
}

/// Options that the endpoint, or for a `Call` every endpoint of its kind, does not look at: our types do not offer them.
fn offered(vector: &Vector, name: &str) -> bool {
    let kind = vector.call.0.as_str();
    let method = vector.call.1.as_str();
    let health = kind == "Health"
        || (kind == "Catalog"
            && (method.starts_with("Service") && method != "Services"
                || method.starts_with("Connect")));
    let is_call = matches!(
        (kind, method),
        (
            "Status" | "ACL",
            "Leader"
                | "LeaderWithQueryOptions"
                | "Peers"
                | "PeersWithQueryOptions"
                | "Login"
                | "Logout"
        ) | ("Connect", "CAGetConfig" | "IntentionCheck")
    ) || (kind == "Agent"
        && !matches!(method, "Service" | "ConnectCARoots" | "ConnectCALeaf"));
    match name {
        "relay-factor" | "local-only" | "global" | "connect" => false,
        "node-meta" => health,
        "merge-central-config" => health && !matches!(method, "Node" | "Checks" | "State"),
        "hash" => method == "Service" && kind == "Agent",
        "index" => {
            !(is_call
                || method == "Service"
                    && kind == "Agent"
                    && vector.options()["WaitHash"].is_string())
        }
        "stale" | "consistent"
            if vector.options()["RequireConsistent"].as_bool() == Some(true)
                && vector.options()["AllowStale"].as_bool() == Some(true) =>
        {
            name == "consistent"
        }
        "wait" | "near" | "peer" | "sameness-group" | "cached" | "stale" | "consistent" => !is_call,
        "filter" => {
            !is_call
                || vector.args["filter"].is_string()
                || vector.args["opts"]["Filter"].is_string()
        }
        _ => true,
    }
}

fn recorded(vector: &Vector) -> Shape {
    let request = &vector.request;
    let query = request["query"].as_object().cloned().unwrap_or_default();
    let header = |name: &str| request["headers"][name].as_str().map(str::to_owned);
    Shape {
        method: request["method"].as_str().unwrap_or_default().to_owned(),
        path: path(request["path"].as_str().unwrap_or_default()),
        query: query
            .into_iter()
            .filter(|(name, _)| offered(vector, name))
            .map(|(name, values)| (name, serde_json::from_value(values).expect("a list")))
            .collect(),
        cache_control: header("cache-control").filter(|_| offered(vector, "cached")),
        authorization: header("authorization"),
        body: match (vector.call.1.as_str(), normal(&request["body"])) {
            // Consul does not look at the address of what is taken out.
            ("Deregister", Value::Object(mut members)) => {
                members.remove("Address");
                Value::Object(members)
            }
            (_, body) => body,
        },
    }
}

fn ours(request: &http::Request<Bytes>) -> Shape {
    let header = |name: http::HeaderName| {
        request
            .headers()
            .get(name)
            .map(|value| value.to_str().expect("text").to_owned())
    };
    let mut query: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for pair in request
        .uri()
        .query()
        .into_iter()
        .flat_map(|query| query.split('&'))
    {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        query
            .entry(decoded(name))
            .or_default()
            .insert(decoded(value));
    }
    let body = if request.body().is_empty() {
        Value::Null
    } else {
        assert_eq!(
            header(http::header::CONTENT_TYPE).as_deref(),
            Some("application/json")
        );
        normal(&serde_json::from_slice(request.body()).expect("JSON"))
    };
    Shape {
        method: request.method().to_string(),
        path: path(request.uri().path()),
        query,
        cache_control: header(http::header::CACHE_CONTROL),
        authorization: header(http::header::AUTHORIZATION),
        body,
    }
}

/// The path as Consul sees it. The Go client escapes less of it.
fn path(path: &str) -> Vec<String> {
    decoded(path).split('/').map(str::to_owned).collect()
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8()
        .expect("UTF-8")
        .into_owned()
}

/// JSON without what says nothing (Go writes nulls, zeros and empty lists), with durations as nanoseconds.
fn normal(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let members: serde_json::Map<String, Value> = members
                .iter()
                .filter(|(key, _)| !matches!(key.as_str(), "CreateIndex" | "ModifyIndex"))
                .map(|(key, value)| {
                    (
                        key.clone(),
                        duration(key, value).unwrap_or_else(|| normal(value)),
                    )
                })
                .filter(|(_, value)| !is_nothing(value))
                .collect();
            Value::Object(members)
        }
        Value::Array(elements) => Value::Array(elements.iter().map(normal).collect()),
        Value::Number(number) => number
            .as_f64()
            .filter(|number| number.fract() == 0.0 && *number < 1e15)
            .map_or_else(|| value.clone(), |number| Value::from(number as i64)),
        other => other.clone(),
    }
}

fn duration(key: &str, value: &Value) -> Option<Value> {
    let is_one = ["Timeout", "Interval", "TTL", "Duration", "After"]
        .iter()
        .any(|end| key.ends_with(end))
        || key == "BaseEjectionTime";
    let text = value.as_str().filter(|_| is_one)?;
    // What was filled in by machine is no duration.
    let text = if text.starts_with("x-") { "1s" } else { text };
    text.parse::<GoDuration>()
        .ok()
        .map(|duration| Value::from(duration.as_nanos()))
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty() || text == "0001-01-01T00:00:00Z",
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Array(elements) => elements.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(true) => false,
    }
}

fn vectors() -> Vec<Vector> {
    let bytes: &[u8] = include_bytes!("vectors/requests.jsonl.gz");
    BufReader::new(flate2::read::GzDecoder::new(bytes))
        .lines()
        .map(|line| {
            let value: Value = serde_json::from_str(&line.expect("readable")).expect("JSON");
            let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
            Vector {
                name: format!("{}.{} {}", text("type"), text("method"), text("variant")),
                call: (text("type"), text("method")),
                args: value["args"].clone(),
                request: value["request"].clone(),
            }
        })
        .collect()
}

#[test]
fn requests_are_those_of_the_go_client() {
    let client = Client::new(Config::default()).expect("a client");
    let (mut same, mut skipped, mut differ) = (0, BTreeMap::<&str, usize>::new(), Vec::new());
    for vector in vectors() {
        if vector.request.is_null() {
            *skipped
                .entry("the Go client refuses to send it")
                .or_default() += 1;
            continue;
        }
        if vector.args["client_headers"].is_object() {
            *skipped.entry("headers of the whole client").or_default() += 1;
            continue;
        }
        if let Some((_, why)) = NOT_COMPARED.iter().find(|(name, _)| *name == vector.name) {
            *skipped.entry(why).or_default() += 1;
            continue;
        }
        match build(&client, &vector) {
            Outcome::Skipped(why) => *skipped.entry(why).or_default() += 1,
            Outcome::Sent(request) => {
                let request = match *request {
                    Ok(request) => request,
                    Err(error) => {
                        differ.push(format!("{}: {error}", vector.name));
                        continue;
                    }
                };
                let (ours, theirs) = (ours(&request), recorded(&vector));
                if ours == theirs {
                    same += 1;
                } else {
                    differ.push(format!(
                        "{}\n  ours:   {ours:?}\n  theirs: {theirs:?}",
                        vector.name
                    ));
                }
            }
        }
    }
    println!("{same} requests are the same; skipped: {skipped:#?}");
    assert!(
        differ.is_empty(),
        "{} differ:\n{}",
        differ.len(),
        differ.join("\n")
    );
    assert!(same >= 460, "only {same} compared");
}

#[test]
fn an_empty_sidecar_is_written() {
    use consul_api::agent::ServiceConnect;

    let mut registration = ServiceRegistration::new("s");
    registration.connect = Some(ServiceConnect::sidecar(ServiceRegistration::default()));
    let client = Client::new(Config::default()).expect("a client");
    let request = client
        .agent()
        .register_service(&registration)
        .request()
        .to_http(&Config::default())
        .expect("a request");
    assert_eq!(
        request.body().as_ref(),
        br#"{"Name":"s","Connect":{"SidecarService":{}}}"#
    );
}

#[test]
fn a_request_of_ones_own_is_made_by_the_same_rules() {
    let request: Request<Value> = Request::get(["event", "list"])
        .query("name", "a b")
        .query_also("tag", "1")
        .query_also("tag", "2");
    let http = request.to_http(&Config::default()).expect("a request");
    assert_eq!(
        http.uri(),
        "http://localhost:8500/v1/event/list?name=a%20b&tag=1&tag=2"
    );
}
