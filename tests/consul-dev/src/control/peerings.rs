//! Cluster peers, made up without another cluster.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::go;
use crate::server::ConsulDev;
use crate::state::Topic;

impl ConsulDev {
    /// Makes a peering, or changes the one of that name, as it looks in our own cluster: `state` is `ACTIVE` or any other of
    /// Consul's words, `roots` are the PEM of the peer's mesh roots.
    pub fn set_peering<P: Into<String>>(
        &self,
        name: &str,
        state: &str,
        roots: impl IntoIterator<Item = P>,
    ) {
        let roots: Vec<String> = roots.into_iter().map(Into::into).collect();
        self.shared.with(|all| {
            let known = all.peerings.get(name).cloned().unwrap_or_default();
            let index = all.bump(&[Topic::Peerings]);
            let now = go::rfc3339_nanos(SystemTime::now());
            let heard = if roots.is_empty() { Value::Null } else { json!(now) };
            let mut peering = json!({
                "ID": known["ID"].as_str().map_or_else(go::uuid, str::to_owned),
                "Name": name,
                "State": state,
                "StreamStatus": {
                    "ImportedServices": null, "ExportedServices": null,
                    "LastHeartbeat": null, "LastReceive": heard, "LastSend": heard,
                },
                "CreateIndex": known["CreateIndex"].as_u64().unwrap_or(index),
                "ModifyIndex": index,
                "Remote": { "Partition": "", "Datacenter": if roots.is_empty() { "" } else { "dc1" } },
            });
            if !roots.is_empty() {
                peering["PeerCAPems"] = json!(roots);
            }
            all.peerings.insert(name.to_owned(), peering);
        });
    }

    /// Removes a peering; `false` if there was none.
    pub fn delete_peering(&self, name: &str) -> bool {
        self.shared.with(|all| {
            let found = all.peerings.remove(name).is_some();
            if found {
                all.bump(&[Topic::Peerings]);
            }
            found
        })
    }
}
