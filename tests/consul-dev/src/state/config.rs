//! Config entries, as the server keeps them.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::{Value, json};

use super::{State, Topic};

/// All entries by kind and name; each value is what a read returns.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    entries: BTreeMap<(String, String), Value>,
}

impl Entries {
    pub(crate) fn get(&self, kind: &str, name: &str) -> Option<&Value> {
        self.entries.get(&(kind.to_owned(), name.to_owned()))
    }

    pub(crate) fn list<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.entries
            .iter()
            .filter(move |((entry_kind, _), _)| entry_kind == kind)
            .map(|((_, name), value)| (name.as_str(), value))
    }

    pub(crate) fn modify_index(&self, kind: &str, name: &str) -> u64 {
        self.get(kind, name)
            .and_then(|entry| entry["ModifyIndex"].as_u64())
            .unwrap_or(0)
    }
}

/// Services these kinds name are given a virtual address.
const IN_MESH: &[&str] = &[
    "service-defaults",
    "service-intentions",
    "service-resolver",
    "service-router",
    "service-splitter",
];

impl State {
    /// Stores an entry that was found valid. An identical one keeps its index, as in the real one.
    pub(crate) fn put_entry(&mut self, kind: &str, name: &str, entry: Value) {
        let hash = hash_of(&entry);
        let old = self.config.get(kind, name);
        if old.is_none_or(|old| old["Hash"] != json!(hash)) {
            self.force_entry(kind, name, entry);
        }
    }

    /// Stores an entry under a new index even if it is the same, as writes of single intentions do.
    pub(crate) fn force_entry(&mut self, kind: &str, name: &str, mut entry: Value) {
        let hash = hash_of(&entry);
        let key = (kind.to_owned(), name.to_owned());
        if IN_MESH.contains(&kind) && name != "*" {
            self.catalog.assign_virtual_ip(name);
        }
        let old = self.config.entries.get(&key);
        let created = old.and_then(|old| old["CreateIndex"].as_u64());
        let index = self.bump(&[Topic::Config]);
        entry["Hash"] = json!(hash);
        entry["CreateIndex"] = json!(created.unwrap_or(index));
        entry["ModifyIndex"] = json!(index);
        self.config.entries.insert(key, entry);
    }

    /// Removes an entry; removing what is not there changes nothing.
    pub(crate) fn delete_entry(&mut self, kind: &str, name: &str) {
        let key = (kind.to_owned(), name.to_owned());
        if self.config.entries.remove(&key).is_some() {
            self.bump(&[Topic::Config]);
        }
    }

    /// The protocol of a service: its own entry, else proxy-defaults, else tcp.
    pub(crate) fn protocol(&self, service: &str) -> String {
        let own = self
            .config
            .get("service-defaults", service)
            .and_then(|entry| entry["Protocol"].as_str())
            .filter(|protocol| !protocol.is_empty());
        let global = || {
            self.config
                .get("proxy-defaults", "global")
                .and_then(|entry| entry["Config"]["protocol"].as_str())
        };
        own.or_else(global).unwrap_or("tcp").to_lowercase()
    }
}

/// A hash of the content, stable within a process.
pub(crate) fn hash_of(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    hasher.finish()
}

/// Whether a protocol is one that L7 rules apply to.
pub(crate) fn is_http_like(protocol: &str) -> bool {
    matches!(protocol, "http" | "http2" | "grpc")
}
