//! What an agent says about itself.

use std::collections::BTreeMap;

use crate::{
    health::{HealthCheck, Service, Status},
    json::Json,
    wire::wire,
};

wire! {
    /// What an agent says about itself.
    pub struct SelfInfo {
        /// The few settings that are documented.
        pub config: SelfConfig,
        /// All settings, as the agent's version happens to name them.
        pub debug_config: Json,
        /// Where it is in the network of round-trip times.
        pub coord: Option<Coordinate>,
        /// Itself as a member.
        pub member: Member,
        /// Figures, all of them texts.
        pub stats: BTreeMap<String, BTreeMap<String, String>>,
        /// The node's metadata.
        pub meta: BTreeMap<String, String>,
        /// Where data planes get their configuration.
        #[serde(rename = "xDS")]
        pub xds: Option<Xds>,
    }
}

impl SelfInfo {
    /// `allow` or `deny`, if this agent's own configuration says what happens where no intention matches.
    ///
    /// An agent's, not the cluster's: a client agent says nothing although its servers do.
    #[must_use]
    pub fn default_intention_policy(&self) -> Option<&str> {
        self.debug_text(&["DefaultIntentionPolicy"])
    }

    /// `allow` or `deny`: what ACLs decide where no rule matches, which intentions default to. With ACLs off: `allow`.
    #[must_use]
    pub fn acl_default_policy(&self) -> Option<&str> {
        self.debug_text(&["ACLResolverSettings", "ACLDefaultPolicy"])
    }

    /// Whether ACLs are on.
    #[must_use]
    pub fn acls_enabled(&self) -> Option<bool> {
        self.debug_config.get("ACLsEnabled").and_then(Json::as_bool)
    }

    fn debug_text(&self, path: &[&str]) -> Option<&str> {
        let value = path
            .iter()
            .try_fold(&self.debug_config, |json, key| json.get(key))?;
        value.as_str().filter(|text| !text.is_empty())
    }
}

wire! {
    /// The documented settings of an agent.
    pub struct SelfConfig {
        /// Where it is.
        pub datacenter: String,
        /// Where ACLs and the mesh's authority are kept.
        pub primary_datacenter: String,
        /// Its node's name.
        pub node_name: String,
        /// Its node's UUID.
        #[serde(rename = "NodeID")]
        pub node_id: String,
        /// The commit it was built from.
        pub revision: String,
        /// Whether it is a server.
        pub server: bool,
        /// As `1.22.5`.
        pub version: String,
        /// RFC 3339.
        pub build_date: String,
        /// Where it listens.
        pub bind_addr: String,
        /// Enterprise.
        pub partition: String,
    }
}

wire! {
    /// A place in the network of round-trip times.
    pub struct Coordinate {
        /// A correction.
        pub adjustment: f64,
        /// How sure it is.
        pub error: f64,
        /// A part that does not depend on direction.
        pub height: f64,
        /// The place.
        pub vec: Vec<f64>,
    }
}

wire! {
    /// Where data planes get their configuration, which is also where gRPC listens.
    pub struct Xds {
        /// Versions by proxy.
        pub supported_proxies: BTreeMap<String, Vec<String>>,
        /// One of the ports below.
        pub port: i32,
        /// Both ports.
        pub ports: XdsPorts,
    }
}

wire! {
    /// Ports; −1: off.
    pub struct XdsPorts {
        /// Without TLS.
        pub plaintext: i32,
        /// With TLS.
        #[serde(rename = "TLS")]
        pub tls: i32,
    }
}

wire! {
    /// An agent as others see it.
    pub struct Member {
        /// Its node's name; of another datacenter, with that.
        pub name: String,
        /// Its address.
        pub addr: String,
        /// Its gossip port.
        pub port: u16,
        /// What it says about itself: `role`, `dc`, `build`, … .
        pub tags: BTreeMap<String, String>,
        /// 1: alive, 2: leaving, 3: left, 4: failed.
        pub status: i64,
        /// Protocol versions.
        pub protocol_min: u8,
        /// Protocol versions.
        pub protocol_max: u8,
        /// Protocol versions.
        pub protocol_cur: u8,
        /// Protocol versions.
        pub delegate_min: u8,
        /// Protocol versions.
        pub delegate_max: u8,
        /// Protocol versions.
        pub delegate_cur: u8,
    }
}

wire! {
    /// What an agent was built from.
    pub struct Version {
        /// The commit.
        #[serde(rename = "SHA")]
        pub sha: String,
        /// RFC 3339.
        pub build_date: String,
        /// As `1.22.5`.
        pub human_version: String,
        /// Not empty: a build for FIPS 140.
        #[serde(rename = "FIPS")]
        pub fips: String,
    }
}

wire! {
    /// An instance of this agent and how it is.
    pub struct ServiceHealth {
        /// The worst of its checks.
        pub aggregated_status: Status,
        /// The instance.
        pub service: Option<Service>,
        /// Its checks and those of the node.
        pub checks: Vec<HealthCheck>,
    }
}

wire! {
    /// The decision about one connection.
    pub struct Authorization {
        /// Whether it is allowed.
        pub authorized: bool,
        /// Why.
        pub reason: String,
    }
}
