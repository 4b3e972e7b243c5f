//! Intentions as they follow from the service-intentions entries: precedence, order, matching.

use serde_json::{Map, Value, json};

use super::State;

/// Which side of an intention a match is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// `by=source`
    Source,
    /// `by=destination`
    Destination,
}

/// Precedence of a source and destination pair; one namespace, so only 9, 8, 6 and 5 occur.
pub(crate) fn precedence(source: &str, destination: &str) -> u64 {
    match (destination == "*", source == "*") {
        (false, false) => 9,
        (false, true) => 8,
        (true, false) => 6,
        (true, true) => 5,
    }
}

/// The intentions of one entry, in the order of its sources.
fn of_entry(name: &str, entry: &Value) -> Vec<Value> {
    let Some(sources) = entry["Sources"].as_array() else {
        return Vec::new();
    };
    sources
        .iter()
        .map(|source| of_source(name, entry, source))
        .collect()
}

fn of_source(name: &str, entry: &Value, source: &Value) -> Value {
    let mut intention = Map::new();
    let mut put = |key: &str, value: &Value| {
        if !value.is_null() {
            intention.insert(key.to_owned(), value.clone());
        }
    };
    put("SourceNS", &json!("default"));
    put("SourceName", &source["Name"]);
    put("SourcePeer", &source["Peer"]);
    put("DestinationNS", &json!("default"));
    put("DestinationName", &json!(name));
    put("SourceType", &json!("consul"));
    put("Description", &source["Description"]);
    put("Action", &source["Action"]);
    put("Permissions", &source["Permissions"]);
    put("JWT", &entry["JWT"]);
    put("Meta", &entry["Meta"]);
    put("Precedence", &source["Precedence"]);
    put("CreateIndex", &entry["CreateIndex"]);
    put("ModifyIndex", &entry["ModifyIndex"]);
    Value::Object(intention)
}

fn text<'a>(intention: &'a Value, key: &str) -> &'a str {
    intention[key].as_str().unwrap_or_default()
}

fn sort(intentions: &mut [Value]) {
    intentions.sort_by(|a, b| {
        let high = b["Precedence"].as_u64().cmp(&a["Precedence"].as_u64());
        high.then_with(|| text(a, "SourcePeer").cmp(text(b, "SourcePeer")))
            .then_with(|| text(a, "SourceName").cmp(text(b, "SourceName")))
            .then_with(|| text(a, "DestinationName").cmp(text(b, "DestinationName")))
    });
}

impl State {
    /// Every intention, highest precedence first.
    pub(crate) fn intentions(&self) -> Vec<Value> {
        let mut all: Vec<Value> = self
            .config
            .list("service-intentions")
            .flat_map(|(name, entry)| of_entry(name, entry))
            .collect();
        sort(&mut all);
        all
    }

    /// The intentions that apply to a name, highest precedence first.
    pub(crate) fn matching(&self, side: Side, name: &str) -> Vec<Value> {
        let key = match side {
            Side::Source => "SourceName",
            Side::Destination => "DestinationName",
        };
        let mut found = self.intentions();
        found.retain(
            |intention| matches!(text(intention, key), other if other == name || other == "*"),
        );
        found
    }

    /// The intention of exactly this pair.
    pub(crate) fn exact_intention(&self, source: &str, destination: &str) -> Option<Value> {
        let entry = self.config.get("service-intentions", destination)?;
        of_entry(destination, entry).into_iter().find(|intention| {
            text(intention, "SourceName") == source && text(intention, "SourcePeer").is_empty()
        })
    }

    /// The first intention that decides about a local source, as `authorize` evaluates.
    pub(crate) fn deciding(&self, source: &str, destination: &str) -> Option<Value> {
        self.matching(Side::Destination, destination)
            .into_iter()
            .find(|intention| {
                text(intention, "SourcePeer").is_empty()
                    && matches!(text(intention, "SourceName"), name if name == source || name == "*")
            })
    }

    /// What holds when no intention matches, and the words of `authorize` for it.
    pub(crate) fn default_decision(&self) -> (bool, &'static str) {
        match self.facts.intention_default {
            Some(allowed) => (allowed, "Default intention policy"),
            None => (
                !self.facts.acl || self.facts.acl_default == "allow",
                "Default behavior configured by ACLs",
            ),
        }
    }
}
