//! Checks: their shapes, TTL updates, expiry and the reaping of instances that stay critical.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::State;
use super::catalog::{LocalCheck, list, reap_after};
use crate::go;

/// How a check definition is run by the real agent; only `ttl` moves by itself here.
pub(crate) fn check_type(definition: &Value) -> &'static str {
    let set = |key: &str| !matches!(&definition[key], Value::Null) && definition[key] != "";
    for (key, name) in [
        ("TTL", "ttl"),
        ("HTTP", "http"),
        ("TCP", "tcp"),
        ("UDP", "udp"),
        ("GRPC", "grpc"),
        ("H2PING", "h2ping"),
        ("DockerContainerID", "docker"),
        ("ScriptArgs", "script"),
        ("Args", "script"),
        ("OSService", "os_service"),
        ("AliasNode", "alias"),
        ("AliasService", "alias"),
    ] {
        if set(key) {
            return name;
        }
    }
    ""
}

/// A check as the health endpoints show it.
pub(super) fn catalog_check(node: &str, given: &Value) -> Value {
    let text = |key: &str| given[key].as_str().unwrap_or_default();
    let definition = match &given["Definition"] {
        Value::Object(definition) => Value::Object(definition.clone()),
        _ => json!({}),
    };
    let kind = match text("Type") {
        "" => check_type(&definition),
        given => given,
    };
    json!({
        "Node": node, "CheckID": text("CheckID"), "Name": text("Name"),
        "Status": text("Status"), "Notes": text("Notes"), "Output": text("Output"),
        "ServiceID": text("ServiceID"), "ServiceName": text("ServiceName"),
        "ServiceTags": list(&given["ServiceTags"]), "Type": kind,
        "Interval": text("Interval"), "Timeout": text("Timeout"),
        "ExposedPort": 0, "Definition": definition,
    })
}

/// Which instance a local check belongs to.
#[derive(Debug)]
pub(crate) struct Owner<'a> {
    pub(crate) service_id: &'a str,
    pub(crate) service_name: &'a str,
    pub(crate) tags: Value,
    /// Checks of the check endpoint show `0s` where those of a registration show nothing.
    pub(crate) standalone: bool,
}

impl State {
    /// Puts a check under the agent and syncs it. `definition` was found valid.
    pub(crate) fn add_local_check(&mut self, id: &str, definition: &Value, owner: &Owner<'_>) {
        let text = |key: &str| definition[key].as_str().unwrap_or_default();
        let shown = |key: &str| match go::duration_of(&definition[key]).unwrap_or_default() {
            Duration::ZERO if owner.standalone => "0s".to_owned(),
            Duration::ZERO => String::new(),
            duration => go::format_duration(duration),
        };
        let name = match text("Name") {
            "" => format!("Service '{}' check", owner.service_name),
            name => name.to_owned(),
        };
        // A check that is registered again keeps its state unless a status is given.
        let known = self.agent.checks.get(id);
        let status = match (text("Status"), known) {
            ("", Some(known)) => known.json["Status"].clone(),
            ("", None) => json!("critical"),
            (status, _) => json!(status),
        };
        let output = known.map_or(json!(""), |known| known.json["Output"].clone());
        let json = json!({
            "Node": self.facts.node, "CheckID": id, "Name": name, "Status": status,
            "Notes": text("Notes"), "Output": output, "ServiceID": owner.service_id,
            "ServiceName": owner.service_name, "ServiceTags": list(&owner.tags),
            "Type": definition["Type"].as_str().unwrap_or_else(|| check_type(definition)),
            "Interval": shown("Interval"),
            "Timeout": shown("Timeout"), "ExposedPort": 0, "Definition": {},
            "CreateIndex": 0, "ModifyIndex": 0,
        });
        let ttl = Some(go::duration_of(&definition["TTL"]).unwrap_or_default())
            .filter(|ttl| !ttl.is_zero());
        let now = Instant::now();
        let critical_since = (json["Status"] == "critical")
            .then(|| known.and_then(|known| known.critical_since).unwrap_or(now));
        let check = LocalCheck {
            ttl,
            expires: ttl.map(|ttl| now + ttl),
            reap_after: reap_after(
                &definition["DeregisterCriticalServiceAfter"],
                self.agent.reap_minimum,
            )
            .filter(|_| !owner.service_id.is_empty()),
            critical_since,
            alias: definition["AliasService"].as_str().map(str::to_owned),
            json,
        };
        self.agent.checks.insert(id.to_owned(), check);
        self.sync_check(id);
        self.refresh_aliases();
    }

    /// Gives an instance without checks one, without a TTL, so that its health can be set.
    pub(crate) fn add_plain_check(&mut self, service_id: &str) {
        let Some(service) = self.agent.services.get(service_id).cloned() else {
            return;
        };
        let owner = Owner {
            service_id,
            service_name: service["Service"].as_str().unwrap_or_default(),
            tags: service["Tags"].clone(),
            standalone: false,
        };
        let definition = json!({ "Status": "passing" });
        self.add_local_check(&format!("service:{service_id}"), &definition, &owner);
    }

    /// Moves a check to a status, as a TTL update does. The catalog sees a changed output only with a changed status.
    pub(crate) fn set_check(&mut self, id: &str, status: &str, output: &str) -> bool {
        let now = Instant::now();
        let Some(check) = self.agent.checks.get_mut(id) else {
            return false;
        };
        check.expires = check.ttl.map(|ttl| now + ttl);
        let changed = check.json["Status"] != status;
        check.json["Status"] = json!(status);
        check.json["Output"] = json!(output);
        check.critical_since = match status {
            "critical" => check.critical_since.or(Some(now)),
            _ => None,
        };
        if changed {
            self.sync_check(id);
            self.refresh_aliases();
        }
        true
    }

    fn sync_check(&mut self, id: &str) {
        let Some(check) = self.agent.checks.get(id) else {
            return;
        };
        let mut json = check.json.clone();
        if let Some(object) = json.as_object_mut() {
            object.remove("CreateIndex");
            object.remove("ModifyIndex");
        }
        let node = self.facts.node.clone();
        self.put_check(&node, &json);
    }

    /// Alias checks follow the checks of the instance they name.
    fn refresh_aliases(&mut self) {
        let aliases: Vec<(String, String)> = self
            .agent
            .checks
            .iter()
            .filter_map(|(id, check)| Some((id.clone(), check.alias.clone()?)))
            .collect();
        for (id, target) in aliases {
            let failing = self
                .agent
                .checks
                .values()
                .find(|check| check.service() == target && check.json["Status"] == "critical")
                .map(|check| check.json.clone());
            let (status, output) = match failing {
                Some(check) => (
                    "critical",
                    format!(
                        "Aliased check {} failing: {}",
                        check["Name"],
                        check["Output"].as_str().unwrap_or_default()
                    ),
                ),
                None => ("passing", "No checks found.".to_owned()),
            };
            if let Some(check) = self.agent.checks.get_mut(&id) {
                let changed = check.json["Status"] != status;
                check.json["Status"] = json!(status);
                check.json["Output"] = json!(output);
                if changed {
                    self.sync_check(&id);
                }
            }
        }
    }

    /// Removes a check from the agent and the catalog; `false` if it was not there.
    pub(crate) fn remove_local_check(&mut self, id: &str) -> bool {
        if self.agent.checks.remove(id).is_none() {
            return false;
        }
        let node = self.facts.node.clone();
        self.drop_check(&node, id);
        self.bump(&[]);
        true
    }

    /// Lets TTLs expire and removes instances that were critical for too long.
    pub(super) fn expire_checks(&mut self, now: Instant) {
        let expired: Vec<(String, String)> = self
            .agent
            .checks
            .iter()
            .filter(|(_, check)| check.expires.is_some_and(|at| at <= now))
            .map(|(id, check)| {
                let last = check.json["Output"].as_str().unwrap_or_default();
                let output = if last.is_empty() || last.starts_with("TTL expired") {
                    "TTL expired".to_owned()
                } else {
                    format!("TTL expired (last output before timeout follows): {last}")
                };
                (id.clone(), output)
            })
            .collect();
        for (id, output) in expired {
            self.set_check(&id, "critical", &output);
            if let Some(check) = self.agent.checks.get_mut(&id) {
                check.expires = None;
            }
        }
        let reaped: Vec<String> = self
            .agent
            .checks
            .values()
            .filter(|check| check.reap_at().is_some_and(|at| at <= now))
            .map(|check| check.service().to_owned())
            .collect();
        for id in reaped {
            self.deregister_local(&id);
        }
    }
}
