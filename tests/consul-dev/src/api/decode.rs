//! Strict decoding: what a body may contain, and the server's words for what it may not.

use serde_json::Value;

use crate::go::json_kind;
use crate::http::reply::Problem;

/// The type of a field.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Anything.
    Any,
    /// A string.
    Text,
    /// A whole number.
    Int,
    /// `true` or `false`.
    Bool,
    /// A list of strings.
    Texts,
    /// A map of strings.
    Map,
    /// An object with exactly these keys allowed.
    Object(&'static [(&'static str, Kind)]),
    /// A list of such objects.
    List(&'static [(&'static str, Kind)]),
    /// A map to such objects.
    Objects(&'static [(&'static str, Kind)]),
}

impl Kind {
    fn go(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::Text => "string",
            Self::Int => "int",
            Self::Bool => "bool",
            Self::Texts => "[]string",
            Self::Map => "map[string]string",
            Self::Object(_) => "structs",
            Self::List(_) => "[]structs",
            Self::Objects(_) => "map[string]structs",
        }
    }

    fn accepts(self, value: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::Text => value.is_string(),
            Self::Int => value.is_i64() || value.is_u64(),
            Self::Bool => value.is_boolean(),
            Self::Texts => value
                .as_array()
                .is_some_and(|items| items.iter().all(Value::is_string)),
            Self::Map => value
                .as_object()
                .is_some_and(|map| map.values().all(Value::is_string)),
            Self::Object(_) | Self::Objects(_) => value.is_object(),
            Self::List(_) => value.is_array(),
        }
    }
}

/// What is wrong with a body.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// A key nobody knows, with its path.
    Unknown(String),
    /// A value of the wrong type.
    Type {
        /// What JSON it is.
        found: &'static str,
        /// Path of the field.
        path: String,
        /// What Go expected.
        expected: &'static str,
    },
}

/// Checks an object against the keys it may have. `null` is fine anywhere, as for Go.
pub(crate) fn check(value: &Value, fields: &'static [(&'static str, Kind)]) -> Result<(), Wrong> {
    walk(value, fields, "")
}

fn walk(value: &Value, fields: &'static [(&'static str, Kind)], path: &str) -> Result<(), Wrong> {
    let Some(object) = value.as_object() else {
        return Ok(());
    };
    for (key, value) in object {
        let here = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        let Some((_, kind)) = fields
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(key))
        else {
            return Err(Wrong::Unknown(here));
        };
        if value.is_null() {
            continue;
        }
        if !kind.accepts(value) {
            return Err(Wrong::Type {
                found: json_kind(value),
                path: here,
                expected: kind.go(),
            });
        }
        match (kind, value) {
            (Kind::Object(inner), value) => walk(value, inner, &here)?,
            (Kind::List(inner), Value::Array(items)) => {
                for (at, item) in items.iter().enumerate() {
                    walk(item, inner, &format!("{here}[{at}]"))?;
                }
            }
            (Kind::Objects(inner), Value::Object(items)) => {
                for (name, item) in items {
                    walk(item, inner, &format!("{here}[{name}]"))?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The refusal of the agent's and the catalog's endpoints.
pub(crate) fn refusal(wrong: Wrong, label: &str) -> Problem {
    match wrong {
        Wrong::Unknown(path) => {
            let key = path.rsplit('.').next().unwrap_or_default();
            Problem::bad_request(format!("{label}: json: unknown field {key:?}"))
        }
        Wrong::Type {
            found,
            path,
            expected,
        } => Problem::bad_request(format!(
            "{label}: json: cannot unmarshal {found} into Go struct field .Alias.{path} of type {expected}"
        )),
    }
}

pub(crate) const CHECK: &[(&str, Kind)] = &[
    ("ID", Kind::Text),
    ("CheckID", Kind::Text),
    ("Name", Kind::Text),
    ("Notes", Kind::Text),
    ("Status", Kind::Text),
    ("ServiceID", Kind::Text),
    ("Token", Kind::Text),
    ("ScriptArgs", Kind::Texts),
    ("Args", Kind::Texts),
    ("HTTP", Kind::Text),
    ("H2PING", Kind::Text),
    ("H2PingUseTLS", Kind::Bool),
    ("Header", Kind::Any),
    ("Method", Kind::Text),
    ("Body", Kind::Text),
    ("DisableRedirects", Kind::Bool),
    ("TCP", Kind::Text),
    ("TCPUseTLS", Kind::Bool),
    ("UDP", Kind::Text),
    ("Interval", Kind::Any),
    ("DockerContainerID", Kind::Text),
    ("Shell", Kind::Text),
    ("GRPC", Kind::Text),
    ("GRPCUseTLS", Kind::Bool),
    ("OSService", Kind::Text),
    ("TLSServerName", Kind::Text),
    ("TLSSkipVerify", Kind::Bool),
    ("AliasNode", Kind::Text),
    ("AliasService", Kind::Text),
    ("Timeout", Kind::Any),
    ("TTL", Kind::Any),
    ("SuccessBeforePassing", Kind::Int),
    ("FailuresBeforeWarning", Kind::Int),
    ("FailuresBeforeCritical", Kind::Int),
    ("DeregisterCriticalServiceAfter", Kind::Any),
    ("OutputMaxSize", Kind::Int),
    ("ProxyHTTP", Kind::Text),
    ("ProxyGRPC", Kind::Text),
];

const MESH_GATEWAY: &[(&str, Kind)] = &[("Mode", Kind::Text)];

const EXPOSE: &[(&str, Kind)] = &[
    ("Checks", Kind::Bool),
    (
        "Paths",
        Kind::List(&[
            ("ListenerPort", Kind::Int),
            ("Path", Kind::Text),
            ("LocalPathPort", Kind::Int),
            ("Protocol", Kind::Text),
            ("ParsedFromCheck", Kind::Bool),
        ]),
    ),
];

const UPSTREAM: &[(&str, Kind)] = &[
    ("DestinationType", Kind::Text),
    ("DestinationName", Kind::Text),
    ("DestinationPeer", Kind::Text),
    ("DestinationNamespace", Kind::Text),
    ("DestinationPartition", Kind::Text),
    ("Datacenter", Kind::Text),
    ("LocalBindAddress", Kind::Text),
    ("LocalBindPort", Kind::Int),
    ("LocalBindSocketPath", Kind::Text),
    ("LocalBindSocketMode", Kind::Text),
    ("Config", Kind::Any),
    ("MeshGateway", Kind::Object(MESH_GATEWAY)),
];

const PROXY: &[(&str, Kind)] = &[
    ("DestinationServiceName", Kind::Text),
    ("DestinationServiceID", Kind::Text),
    ("LocalServiceAddress", Kind::Text),
    ("LocalServicePort", Kind::Int),
    ("LocalServiceSocketPath", Kind::Text),
    ("Mode", Kind::Text),
    ("TransparentProxy", Kind::Any),
    ("Config", Kind::Any),
    ("Upstreams", Kind::List(UPSTREAM)),
    ("MeshGateway", Kind::Object(MESH_GATEWAY)),
    ("Expose", Kind::Object(EXPOSE)),
    ("AccessLogs", Kind::Any),
    ("EnvoyExtensions", Kind::Any),
];

const WEIGHTS: &[(&str, Kind)] = &[("Passing", Kind::Int), ("Warning", Kind::Int)];
const LOCALITY: &[(&str, Kind)] = &[("Region", Kind::Text), ("Zone", Kind::Text)];
const PORTS: &[(&str, Kind)] = &[
    ("Name", Kind::Text),
    ("Port", Kind::Int),
    ("Default", Kind::Bool),
];
const ADDRESSES: &[(&str, Kind)] = &[("Address", Kind::Text), ("Port", Kind::Int)];

const SIDECAR: &[(&str, Kind)] = &[
    ("Kind", Kind::Text),
    ("ID", Kind::Text),
    ("Name", Kind::Text),
    ("Tags", Kind::Texts),
    ("Meta", Kind::Map),
    ("Address", Kind::Text),
    ("TaggedAddresses", Kind::Objects(ADDRESSES)),
    ("Port", Kind::Int),
    ("Ports", Kind::List(PORTS)),
    ("SocketPath", Kind::Text),
    ("Check", Kind::Object(CHECK)),
    ("Checks", Kind::List(CHECK)),
    ("Weights", Kind::Object(WEIGHTS)),
    ("Token", Kind::Text),
    ("EnableTagOverride", Kind::Bool),
    ("Proxy", Kind::Object(PROXY)),
    ("Connect", Kind::Any),
    ("Locality", Kind::Object(LOCALITY)),
];

/// The body of a service registration with the agent.
pub(crate) const SERVICE: &[(&str, Kind)] = &[
    ("Kind", Kind::Text),
    ("ID", Kind::Text),
    ("Name", Kind::Text),
    ("Tags", Kind::Texts),
    ("Meta", Kind::Map),
    ("Address", Kind::Text),
    ("TaggedAddresses", Kind::Objects(ADDRESSES)),
    ("Port", Kind::Int),
    ("Ports", Kind::List(PORTS)),
    ("SocketPath", Kind::Text),
    ("Check", Kind::Object(CHECK)),
    ("Checks", Kind::List(CHECK)),
    ("Weights", Kind::Object(WEIGHTS)),
    ("Token", Kind::Text),
    ("EnableTagOverride", Kind::Bool),
    ("Proxy", Kind::Object(PROXY)),
    (
        "Connect",
        Kind::Object(&[
            ("Native", Kind::Bool),
            ("SidecarService", Kind::Object(SIDECAR)),
        ]),
    ),
    ("Locality", Kind::Object(LOCALITY)),
];

const CATALOG_CHECK: &[(&str, Kind)] = &[
    ("Node", Kind::Text),
    ("CheckID", Kind::Text),
    ("Name", Kind::Text),
    ("Status", Kind::Text),
    ("Notes", Kind::Text),
    ("Output", Kind::Text),
    ("ServiceID", Kind::Text),
    ("ServiceName", Kind::Text),
    ("ServiceTags", Kind::Texts),
    ("Type", Kind::Text),
    ("Interval", Kind::Text),
    ("Timeout", Kind::Text),
    ("ExposedPort", Kind::Int),
    ("Definition", Kind::Any),
    ("PeerName", Kind::Text),
    ("CreateIndex", Kind::Int),
    ("ModifyIndex", Kind::Int),
];

/// The body of a catalog registration.
pub(crate) const CATALOG: &[(&str, Kind)] = &[
    ("Datacenter", Kind::Text),
    ("ID", Kind::Text),
    ("Node", Kind::Text),
    ("Address", Kind::Text),
    ("TaggedAddresses", Kind::Map),
    ("NodeMeta", Kind::Map),
    (
        "Service",
        Kind::Object(&[
            ("Kind", Kind::Text),
            ("ID", Kind::Text),
            ("Service", Kind::Text),
            ("Tags", Kind::Texts),
            ("Address", Kind::Text),
            ("TaggedAddresses", Kind::Objects(ADDRESSES)),
            ("Meta", Kind::Map),
            ("Port", Kind::Int),
            ("Ports", Kind::List(PORTS)),
            ("SocketPath", Kind::Text),
            ("Weights", Kind::Object(WEIGHTS)),
            ("EnableTagOverride", Kind::Bool),
            ("Proxy", Kind::Object(PROXY)),
            (
                "Connect",
                Kind::Object(&[
                    ("Native", Kind::Bool),
                    ("SidecarService", Kind::Any),
                    ("PeerMeta", Kind::Any),
                ]),
            ),
            ("Locality", Kind::Object(LOCALITY)),
            ("PeerName", Kind::Text),
            ("CreateIndex", Kind::Int),
            ("ModifyIndex", Kind::Int),
        ]),
    ),
    ("Check", Kind::Object(CATALOG_CHECK)),
    ("Checks", Kind::List(CATALOG_CHECK)),
    ("SkipNodeUpdate", Kind::Bool),
    ("PeerName", Kind::Text),
    ("Locality", Kind::Object(LOCALITY)),
    ("CreateIndex", Kind::Int),
    ("ModifyIndex", Kind::Int),
];
