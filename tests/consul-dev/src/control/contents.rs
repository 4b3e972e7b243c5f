//! Intentions, health, registrations, config entries and tokens, set without a call.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::api::{config_rules, intentions};
use crate::error::Error;
use crate::http::reply::Problem;
use crate::server::ConsulDev;
use crate::state::acl::{Method, Policy, Token};

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem.text)
    }
}

impl ConsulDev {
    /// Allows or denies `source` to call `destination`; either may be `*`. An older rule of this pair is replaced.
    ///
    /// # Errors
    /// Consul would refuse it.
    pub fn set_intention(&self, source: &str, destination: &str, allow: bool) -> Result<(), Error> {
        let action = if allow { "allow" } else { "deny" };
        self.upsert_intention(destination, &json!({ "Name": source, "Action": action }))
    }

    /// Puts one source, in the shape of a `service-intentions` entry's `Sources[]`, for a destination.
    ///
    /// # Errors
    /// Consul would refuse it, such as L7 permissions on a tcp service.
    pub fn upsert_intention(&self, destination: &str, source: &Value) -> Result<(), Error> {
        if !source.is_object() {
            return Err(Error::Refused("a source is an object".to_owned()));
        }
        self.shared.with(|state| {
            intentions::upsert(state, destination, source.clone(), &Value::Null)?;
            Ok(())
        })
    }

    /// Removes the rule of a pair; `false` if there was none.
    pub fn delete_intention(&self, source: &str, destination: &str) -> bool {
        self.shared
            .with(|state| intentions::remove(state, source, destination))
    }

    /// Changes `default_intention_policy`; `None` leaves it to the ACL default.
    pub fn set_default_intention(&self, allow: Option<bool>) {
        self.shared.with(|state| {
            state.facts.intention_default = allow;
            state.bump(&[]);
        });
    }

    /// Writes a config entry, as `PUT /v1/config` does.
    ///
    /// # Errors
    /// Consul would refuse it.
    pub fn put_config(&self, entry: &Value) -> Result<(), Error> {
        let kind = entry["Kind"].as_str().unwrap_or_default();
        config_rules::check_keys(kind, entry).map_err(Error::Refused)?;
        let entry = config_rules::normalise(kind, entry.clone());
        self.shared.with(|state| {
            config_rules::validate(state, kind, &entry).map_err(Error::Refused)?;
            let name = config_rules::name_of(kind, &entry).to_owned();
            state.put_entry(kind, &name, entry);
            Ok(())
        })
    }

    /// Removes a config entry.
    pub fn delete_config(&self, kind: &str, name: &str) {
        self.shared.with(|state| state.delete_entry(kind, name));
    }

    /// Sets the protocol of a service through its `service-defaults` entry.
    ///
    /// # Errors
    /// Consul would refuse it.
    pub fn set_protocol(&self, service: &str, protocol: &str) -> Result<(), Error> {
        self.put_config(
            &json!({ "Kind": "service-defaults", "Name": service, "Protocol": protocol }),
        )
    }

    /// Sets a check of this agent to `passing`, `warning` or `critical`, whatever its kind; its TTL starts anew.
    ///
    /// # Errors
    /// No such check, or no such status.
    pub fn set_check(&self, check_id: &str, status: &str, output: &str) -> Result<(), Error> {
        if !matches!(status, "passing" | "warning" | "critical") {
            return Err(Error::Refused(format!("Invalid check status: '{status}'")));
        }
        let known = self
            .shared
            .with(|state| state.set_check(check_id, status, output));
        if known {
            Ok(())
        } else {
            Err(Error::Refused(format!("Unknown check ID {check_id:?}")))
        }
    }

    /// Sets the health of an instance of this agent; one without a check gets one.
    ///
    /// # Errors
    /// No such instance, or no such status.
    pub fn set_health(&self, service_id: &str, status: &str) -> Result<(), Error> {
        let checks: Option<Vec<String>> = self.shared.with(|state| {
            state.agent.services.get(service_id)?;
            let ids = state
                .agent
                .checks
                .iter()
                .filter(|(_, check)| check.service() == service_id)
                .map(|(id, _)| id.clone())
                .collect();
            Some(ids)
        });
        let checks =
            checks.ok_or_else(|| Error::Refused(format!("Unknown service ID {service_id:?}")))?;
        if checks.is_empty() {
            self.shared.with(|state| state.add_plain_check(service_id));
            return self.set_check(&format!("service:{service_id}"), status, "");
        }
        checks
            .iter()
            .try_for_each(|check| self.set_check(check, status, ""))
    }

    /// Puts an instance into the catalog on a node of its own, as an external registration does.
    /// `service` is the `Service` object of `PUT /v1/catalog/register`.
    pub fn register_on_node(&self, node: &str, address: &str, service: &Value) {
        self.shared.with(|state| {
            let datacenter = state.facts.datacenter.clone();
            state.put_node(
                node,
                json!({
                    "ID": "", "Node": node, "Address": address, "Datacenter": datacenter,
                    "TaggedAddresses": null, "Meta": null,
                }),
            );
            let mut service = service.clone();
            if service["ID"].is_null() {
                service["ID"] = service["Service"].clone();
            }
            state.put_instance(node, &service);
        });
    }

    /// Sets a node's own health, which counts for every instance on it. The node `dev` is this agent's.
    pub fn set_node_health(&self, node: &str, status: &str) {
        self.shared.with(|state| {
            let check = json!({
                "CheckID": "serfHealth", "Name": "Serf Health Status", "Status": status,
                "Output": if status == "passing" { "Agent alive and reachable" } else { "Agent not live or unreachable" },
            });
            state.put_check(node, &check);
        });
    }

    /// The ids of this agent's instances.
    #[must_use]
    pub fn service_ids(&self) -> Vec<String> {
        self.shared
            .with(|state| state.agent.services.keys().cloned().collect())
    }

    /// Forgets all registrations of this agent, as a wiped one does; config entries and tokens stay.
    pub fn wipe_agent(&self) {
        self.shared.with(|state| {
            let ids: Vec<String> = state.agent.services.keys().cloned().collect();
            for id in ids {
                state.deregister_local(&id);
            }
            let checks: Vec<String> = state.agent.checks.keys().cloned().collect();
            for id in checks {
                state.remove_local_check(&id);
            }
            state.leafs.cache.clear();
        });
    }

    /// Makes a token. Of use only when ACLs are on.
    pub fn create_token(&self, policy: Policy) -> Token {
        self.shared
            .with(|state| state.create_token(policy, "", None, None).token)
    }

    /// Removes a token; `false` if there was none. Calls with it are 403 from now on.
    pub fn delete_token(&self, secret: &str) -> bool {
        self.shared.with(|state| state.delete_token(secret))
    }

    /// What callers without a token may do.
    pub fn set_anonymous_policy(&self, policy: Policy) {
        self.shared.with(|state| state.acl.anonymous_policy(policy));
    }

    /// Lets `POST /v1/acl/login` with this method and bearer token make tokens with the policy.
    pub fn allow_login(&self, method: &str, bearer: &str, policy: Policy) {
        self.shared.with(|state| {
            let method = state
                .acl
                .methods
                .entry(method.to_owned())
                .or_insert_with(|| Method {
                    bearers: BTreeMap::new(),
                });
            method.bearers.insert(bearer.to_owned(), policy);
        });
    }
}
