//! Nodes and instances: what the agent holds, and what the catalog shows of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{State, Topic};
use crate::go;

/// The servers' view. Values are what the health endpoints show.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) nodes: BTreeMap<String, Value>,
    /// By node and instance id.
    pub(crate) services: BTreeMap<(String, String), Value>,
    /// By node and check id.
    pub(crate) checks: BTreeMap<(String, String), Value>,
    virtual_ips: BTreeMap<String, u32>,
}

impl Catalog {
    /// The instances of a name, with their node.
    pub(crate) fn instances<'a>(
        &'a self,
        matches: impl Fn(&Value) -> bool + 'a,
    ) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.services
            .iter()
            .filter(move |(_, service)| matches(service))
            .map(|((node, _), service)| (node.as_str(), service))
    }

    /// The checks that count for an instance: its own and its node's.
    pub(crate) fn checks_of<'a>(
        &'a self,
        node: &'a str,
        id: &'a str,
    ) -> impl Iterator<Item = &'a Value> {
        let of = move |service: &'a str| {
            self.checks
                .iter()
                .filter(move |((owner, _), check)| {
                    owner == node && check["ServiceID"].as_str() == Some(service)
                })
                .map(|(_, check)| check)
        };
        of("").chain(of(id))
    }

    /// `240.0.0.N` of a service that is in the mesh.
    pub(crate) fn virtual_ip(&self, name: &str) -> Option<String> {
        self.virtual_ips.get(name).map(|number| {
            let [_, b, c, d] = number.to_be_bytes();
            format!("240.{b}.{c}.{d}")
        })
    }

    pub(crate) fn assign_virtual_ip(&mut self, name: &str) -> String {
        let next = self.virtual_ips.len() as u32 + 1;
        self.virtual_ips.entry(name.to_owned()).or_insert(next);
        self.virtual_ip(name).unwrap_or_default()
    }
}

/// The agent's own view.
#[derive(Debug, Default)]
pub(crate) struct Agent {
    /// By instance id; what `/v1/agent/services` shows.
    pub(crate) services: BTreeMap<String, Value>,
    /// By check id.
    pub(crate) checks: BTreeMap<String, LocalCheck>,
    /// The targets `authorize` was asked about, whose intentions the agent has at hand from then on.
    pub(crate) authorized: BTreeSet<String>,
    /// The shortest time the agent lets a critical instance live; 1 min in the real one.
    pub(crate) reap_minimum: Duration,
}

/// A check the agent runs, or would run: only TTL checks move by themselves here.
#[derive(Debug)]
pub(crate) struct LocalCheck {
    /// What `/v1/agent/checks` shows.
    pub(crate) json: Value,
    pub(crate) ttl: Option<Duration>,
    pub(crate) expires: Option<Instant>,
    pub(crate) reap_after: Option<Duration>,
    pub(crate) critical_since: Option<Instant>,
    /// The instance whose checks this one follows.
    pub(crate) alias: Option<String>,
}

impl LocalCheck {
    pub(crate) fn service(&self) -> &str {
        self.json["ServiceID"].as_str().unwrap_or_default()
    }

    pub(crate) fn reap_at(&self) -> Option<Instant> {
        Some(self.critical_since? + self.reap_after?)
    }
}

impl Agent {
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.checks
            .values()
            .flat_map(|check| [check.expires, check.reap_at()])
            .flatten()
            .min()
    }
}

/// The name a proxy stands for, or nothing.
pub(crate) fn proxied(service: &Value) -> Option<&str> {
    (service["Kind"] == "connect-proxy")
        .then(|| service["Proxy"]["DestinationServiceName"].as_str())
        .flatten()
}

/// Whether an instance can take mesh connections for `name`.
pub(crate) fn connects_to(service: &Value, name: &str) -> bool {
    proxied(service) == Some(name)
        || service["Connect"]["Native"] == true && service["Service"] == name
}

/// What changes with an instance: its name, and the one it stands for.
fn instance_topics(node: &str, service: &Value) -> Vec<Topic> {
    let name = service["Service"].as_str().unwrap_or_default();
    let mut topics = vec![
        Topic::Services,
        Topic::Service(name.to_owned()),
        Topic::Node(node.to_owned()),
    ];
    if let Some(destination) = proxied(service) {
        topics.push(Topic::Service(destination.to_owned()));
    }
    topics
}

impl State {
    /// The node of this agent and the `consul` service on it.
    pub(super) fn register_self(&mut self) {
        let facts = self.facts.clone();
        self.agent.reap_minimum = Duration::from_secs(60);
        let index = self.bump(&[Topic::Nodes, Topic::Services]);
        let address = "127.0.0.1";
        self.catalog.nodes.insert(
            facts.node.clone(),
            json!({
                "ID": facts.node_id, "Node": facts.node, "Address": address,
                "Datacenter": facts.datacenter,
                "TaggedAddresses": {
                    "lan": address, "lan_ipv4": address, "wan": address, "wan_ipv4": address,
                },
                "Meta": { "consul-network-segment": "", "consul-version": crate::VERSION },
                "CreateIndex": index, "ModifyIndex": index,
            }),
        );
        let consul = json!({
            "ID": "consul", "Service": "consul", "Tags": [], "Address": "", "Port": 8300,
            "Meta": {
                "grpc_port": facts.grpc_port.to_string(), "grpc_tls_port": "-1",
                "non_voter": "false", "raft_version": "3", "read_replica": "false",
                "serf_protocol_current": "2", "serf_protocol_max": "5",
                "serf_protocol_min": "1", "version": crate::VERSION,
            },
            "Weights": { "Passing": 1, "Warning": 1 }, "EnableTagOverride": false,
        });
        self.put_instance(&facts.node, &consul);
        let serf = json!({
            "CheckID": "serfHealth", "Name": "Serf Health Status", "Status": "passing",
            "Output": "Agent alive and reachable",
        });
        self.put_check(&facts.node, &serf);
    }

    /// What changes with a check: its service, or with a node check every service of the node.
    fn check_topics(&self, node: &str, service_id: &str) -> Vec<Topic> {
        let mut topics = vec![Topic::Services, Topic::Node(node.to_owned())];
        for ((owner, id), service) in &self.catalog.services {
            if owner == node && (service_id.is_empty() || id == service_id) {
                topics.extend(instance_topics(node, service));
            }
        }
        topics
    }

    /// Puts a node into the catalog; the same one again changes nothing.
    pub(crate) fn put_node(&mut self, node: &str, mut json: Value) {
        let old = self.catalog.nodes.get(node);
        if let Some(old) = old {
            json["CreateIndex"] = old["CreateIndex"].clone();
            json["ModifyIndex"] = old["ModifyIndex"].clone();
            if *old == json {
                return;
            }
        }
        let created = old.and_then(|old| old["CreateIndex"].as_u64());
        let index = self.bump(&[Topic::Nodes, Topic::Services, Topic::Node(node.to_owned())]);
        json["CreateIndex"] = json!(created.unwrap_or(index));
        json["ModifyIndex"] = json!(index);
        self.catalog.nodes.insert(node.to_owned(), json);
    }

    /// Puts an instance into the catalog, in the shape of a registration; fills in what the server adds.
    pub(crate) fn put_instance(&mut self, node: &str, given: &Value) {
        let id = given["ID"].as_str().unwrap_or_default().to_owned();
        let mut service = catalog_shape(given);
        let mesh_name = match proxied(given) {
            Some(destination) => Some(destination.to_owned()),
            None if given["Connect"]["Native"] == true => {
                given["Service"].as_str().map(str::to_owned)
            }
            None => None,
        };
        if let Some(name) = mesh_name {
            let ip = self.catalog.assign_virtual_ip(&name);
            service["TaggedAddresses"]["consul-virtual"] =
                json!({ "Address": ip, "Port": given["Port"].as_u64().unwrap_or(0) });
        }
        let key = (node.to_owned(), id);
        let old = self.catalog.services.get(&key);
        if let Some(old) = old {
            service["CreateIndex"] = old["CreateIndex"].clone();
            service["ModifyIndex"] = old["ModifyIndex"].clone();
            if *old == service {
                return;
            }
        }
        let created = old.and_then(|old| old["CreateIndex"].as_u64());
        let mut topics = instance_topics(node, &service);
        if let Some(old) = old {
            topics.extend(instance_topics(node, old));
        }
        let index = self.bump(&topics);
        service["CreateIndex"] = json!(created.unwrap_or(index));
        service["ModifyIndex"] = json!(index);
        self.catalog.services.insert(key, service);
    }

    /// Puts a check into the catalog.
    pub(crate) fn put_check(&mut self, node: &str, given: &Value) {
        let id = given["CheckID"].as_str().unwrap_or_default().to_owned();
        let mut check = super::checks::catalog_check(node, given);
        let service_id = check["ServiceID"].as_str().unwrap_or_default().to_owned();
        if let Some(service) = self
            .catalog
            .services
            .get(&(node.to_owned(), service_id.clone()))
        {
            check["ServiceName"] = service["Service"].clone();
            check["ServiceTags"] = service["Tags"].clone();
        }
        let key = (node.to_owned(), id);
        let old = self.catalog.checks.get(&key);
        if let Some(old) = old {
            check["CreateIndex"] = old["CreateIndex"].clone();
            check["ModifyIndex"] = old["ModifyIndex"].clone();
            if *old == check {
                return;
            }
        }
        let created = old.and_then(|old| old["CreateIndex"].as_u64());
        let index = self.bump(&self.check_topics(node, &service_id));
        check["CreateIndex"] = json!(created.unwrap_or(index));
        check["ModifyIndex"] = json!(index);
        self.catalog.checks.insert(key, check);
    }

    /// Removes an instance and its checks from the catalog.
    pub(crate) fn drop_instance(&mut self, node: &str, id: &str) {
        let key = (node.to_owned(), id.to_owned());
        let Some(service) = self.catalog.services.remove(&key) else {
            return;
        };
        self.catalog
            .checks
            .retain(|(owner, _), check| owner != node || check["ServiceID"].as_str() != Some(id));
        let topics = instance_topics(node, &service);
        self.bump(&topics);
    }

    /// Removes a check from the catalog.
    pub(crate) fn drop_check(&mut self, node: &str, id: &str) {
        let key = (node.to_owned(), id.to_owned());
        if let Some(check) = self.catalog.checks.remove(&key) {
            let service_id = check["ServiceID"].as_str().unwrap_or_default();
            let topics = self.check_topics(node, service_id);
            self.bump(&topics);
        }
    }

    /// Removes a node with all it carries.
    pub(crate) fn drop_node(&mut self, node: &str) {
        if self.catalog.nodes.remove(node).is_none() {
            return;
        }
        let mut topics = self.check_topics(node, "");
        topics.push(Topic::Nodes);
        self.catalog.services.retain(|(owner, _), _| owner != node);
        self.catalog.checks.retain(|(owner, _), _| owner != node);
        self.bump(&topics);
    }

    /// Stores an instance with the agent and syncs it to the catalog at once.
    pub(crate) fn register_local(&mut self, service: Value) {
        let node = self.facts.node.clone();
        self.put_instance(&node, &service);
        let id = service["ID"].as_str().unwrap_or_default().to_owned();
        let changed = self.agent.services.get(&id) != Some(&service);
        self.agent.services.insert(id, service);
        if changed {
            // Wakes hash-blocked readers of the agent's own view.
            self.bump(&[]);
        }
    }

    /// Removes an instance from the agent and the catalog; `false` if it was not there.
    pub(crate) fn deregister_local(&mut self, id: &str) -> bool {
        if self.agent.services.remove(id).is_none() {
            return false;
        }
        self.agent.checks.retain(|_, check| check.service() != id);
        let node = self.facts.node.clone();
        self.drop_instance(&node, id);
        self.bump(&[]);
        true
    }
}

/// `lan_ipv4` and the like, which the agent derives from an instance's address.
pub(crate) fn derived_addresses(given: &Value) -> Map<String, Value> {
    let mut tagged = given["TaggedAddresses"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    let address = given["Address"].as_str().unwrap_or_default();
    let family = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => "ipv4",
        Ok(IpAddr::V6(_)) => "ipv6",
        Err(_) => return tagged,
    };
    let value = json!({ "Address": address, "Port": given["Port"].as_u64().unwrap_or(0) });
    for net in ["lan", "wan"] {
        tagged
            .entry(format!("{net}_{family}"))
            .or_insert_with(|| value.clone());
    }
    tagged
}

/// A registration as the catalog and health endpoints show it.
fn catalog_shape(given: &Value) -> Value {
    let mut service = json!({
        "ID": given["ID"], "Service": given["Service"],
        "Tags": list(&given["Tags"]),
        "Address": given["Address"].as_str().unwrap_or_default(),
        "Meta": match given["Meta"].as_object() {
            Some(meta) if !meta.is_empty() => given["Meta"].clone(),
            _ => Value::Null,
        },
        "Weights": match &given["Weights"] {
            Value::Null => json!({ "Passing": 1, "Warning": 1 }),
            weights => weights.clone(),
        },
        "EnableTagOverride": given["EnableTagOverride"].as_bool().unwrap_or(false),
        "Connect": match given["Connect"]["Native"].as_bool() {
            Some(true) => json!({ "Native": true }),
            _ => json!({}),
        },
        "PeerName": "",
    });
    let mut proxy = given["Proxy"].as_object().cloned().unwrap_or_default();
    for (key, default) in [
        ("Mode", json!("")),
        ("MeshGateway", json!({})),
        ("Expose", json!({})),
    ] {
        proxy.entry(key).or_insert(default);
    }
    service["Proxy"] = Value::Object(proxy);
    for key in ["Kind", "SocketPath", "Locality", "Ports"] {
        if !matches!(&given[key], Value::Null) && given[key] != "" {
            service[key] = given[key].clone();
        }
    }
    if given["Port"].as_i64().unwrap_or(0) != 0 {
        service["Port"] = given["Port"].clone();
    }
    let tagged = derived_addresses(given);
    if !tagged.is_empty() {
        service["TaggedAddresses"] = Value::Object(tagged);
    }
    service
}

/// `null` becomes an empty list.
pub(crate) fn list(value: &Value) -> Value {
    match value {
        Value::Array(_) => value.clone(),
        _ => json!([]),
    }
}

/// Sixteen hex digits that change with the content.
pub(crate) fn content_hash(value: &Value) -> String {
    format!("{:016x}", super::config::hash_of(value))
}

/// The duration of a `DeregisterCriticalServiceAfter`, raised to the agent's minimum; zero means never.
pub(crate) fn reap_after(given: &Value, minimum: Duration) -> Option<Duration> {
    let wanted = go::duration_of(given).unwrap_or_default();
    (!wanted.is_zero()).then(|| wanted.max(minimum))
}
