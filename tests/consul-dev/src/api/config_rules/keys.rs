//! The keys each kind of config entry may have.

use serde_json::Value;

use super::super::decode::{Kind, Wrong, check};
use super::one_error;

const PROVIDERS: &[(&str, Kind)] = &[(
    "Providers",
    Kind::List(&[
        ("Name", Kind::Any),
        (
            "VerifyClaims",
            Kind::List(&[("Path", Kind::Any), ("Value", Kind::Any)]),
        ),
    ]),
)];

const PERMISSION: &[(&str, Kind)] = &[
    ("Action", Kind::Any),
    (
        "HTTP",
        Kind::Object(&[
            ("PathExact", Kind::Any),
            ("PathPrefix", Kind::Any),
            ("PathRegex", Kind::Any),
            (
                "Header",
                Kind::List(&[
                    ("Name", Kind::Any),
                    ("Present", Kind::Any),
                    ("Exact", Kind::Any),
                    ("Prefix", Kind::Any),
                    ("Suffix", Kind::Any),
                    ("Contains", Kind::Any),
                    ("Regex", Kind::Any),
                    ("Invert", Kind::Any),
                    ("IgnoreCase", Kind::Any),
                ]),
            ),
            ("Methods", Kind::Any),
        ]),
    ),
    ("JWT", Kind::Object(PROVIDERS)),
];

const INTENTIONS: &[(&str, Kind)] = &[
    ("Kind", Kind::Any),
    ("Name", Kind::Any),
    ("Meta", Kind::Any),
    ("JWT", Kind::Object(PROVIDERS)),
    (
        "Sources",
        Kind::List(&[
            ("Name", Kind::Any),
            ("Peer", Kind::Any),
            ("SamenessGroup", Kind::Any),
            ("Action", Kind::Any),
            ("Permissions", Kind::List(PERMISSION)),
            ("Precedence", Kind::Any),
            ("Type", Kind::Any),
            ("Description", Kind::Any),
            ("LegacyID", Kind::Any),
            ("LegacyMeta", Kind::Any),
            ("LegacyCreateTime", Kind::Any),
            ("LegacyUpdateTime", Kind::Any),
        ]),
    ),
    ("CreateIndex", Kind::Any),
    ("ModifyIndex", Kind::Any),
    ("Hash", Kind::Any),
];

const TLS: &[(&str, Kind)] = &[
    ("TLSMinVersion", Kind::Any),
    ("TLSMaxVersion", Kind::Any),
    ("CipherSuites", Kind::Any),
];

const MESH: &[(&str, Kind)] = &[
    ("Kind", Kind::Any),
    (
        "TransparentProxy",
        Kind::Object(&[("MeshDestinationsOnly", Kind::Any)]),
    ),
    ("AllowEnablingPermissiveMutualTLS", Kind::Any),
    (
        "TLS",
        Kind::Object(&[
            ("Incoming", Kind::Object(TLS)),
            ("Outgoing", Kind::Object(TLS)),
        ]),
    ),
    (
        "HTTP",
        Kind::Object(&[
            ("SanitizeXForwardedClientCert", Kind::Any),
            (
                "Incoming",
                Kind::Object(&[(
                    "RequestNormalization",
                    Kind::Object(&[
                        ("InsecureDisablePathNormalization", Kind::Any),
                        ("MergeSlashes", Kind::Any),
                        ("PathWithEscapedSlashesAction", Kind::Any),
                        ("HeadersWithUnderscoresAction", Kind::Any),
                    ]),
                )]),
            ),
        ]),
    ),
    (
        "Peering",
        Kind::Object(&[("PeerThroughMeshGateways", Kind::Any)]),
    ),
    ("ValidateClusters", Kind::Any),
    ("Meta", Kind::Any),
    ("CreateIndex", Kind::Any),
    ("ModifyIndex", Kind::Any),
    ("Hash", Kind::Any),
];

const SERVICE_DEFAULTS: &[(&str, Kind)] = &[
    ("Kind", Kind::Any),
    ("Name", Kind::Any),
    ("Protocol", Kind::Any),
    ("Mode", Kind::Any),
    ("TransparentProxy", Kind::Any),
    ("MutualTLSMode", Kind::Any),
    ("MeshGateway", Kind::Object(&[("Mode", Kind::Any)])),
    ("Expose", Kind::Any),
    ("ExternalSNI", Kind::Any),
    (
        "UpstreamConfig",
        Kind::Object(&[("Defaults", Kind::Any), ("Overrides", Kind::Any)]),
    ),
    (
        "Destination",
        Kind::Object(&[("Addresses", Kind::Any), ("Port", Kind::Any)]),
    ),
    ("MaxInboundConnections", Kind::Any),
    ("LocalConnectTimeoutMs", Kind::Any),
    ("LocalRequestTimeoutMs", Kind::Any),
    ("BalanceInboundConnections", Kind::Any),
    ("MaxRequestHeadersKB", Kind::Any),
    ("RateLimits", Kind::Any),
    ("EnvoyExtensions", Kind::Any),
    ("Meta", Kind::Any),
    ("CreateIndex", Kind::Any),
    ("ModifyIndex", Kind::Any),
    ("Hash", Kind::Any),
];

const PROXY_DEFAULTS: &[(&str, Kind)] = &[
    ("Kind", Kind::Any),
    ("Name", Kind::Any),
    ("Config", Kind::Any),
    ("Mode", Kind::Any),
    ("TransparentProxy", Kind::Any),
    ("MutualTLSMode", Kind::Any),
    ("MeshGateway", Kind::Object(&[("Mode", Kind::Any)])),
    ("Expose", Kind::Any),
    ("AccessLogs", Kind::Any),
    ("EnvoyExtensions", Kind::Any),
    ("FailoverPolicy", Kind::Any),
    ("PrioritizeByLocality", Kind::Any),
    ("Meta", Kind::Any),
    ("CreateIndex", Kind::Any),
    ("ModifyIndex", Kind::Any),
    ("Hash", Kind::Any),
];

const JWT_PROVIDER: &[(&str, Kind)] = &[
    ("Kind", Kind::Any),
    ("Name", Kind::Any),
    (
        "JSONWebKeySet",
        Kind::Object(&[("Local", Kind::Any), ("Remote", Kind::Any)]),
    ),
    ("Issuer", Kind::Any),
    ("Audiences", Kind::Any),
    ("Locations", Kind::Any),
    ("Forwarding", Kind::Any),
    ("ClockSkewSeconds", Kind::Any),
    ("CacheConfig", Kind::Any),
    ("Meta", Kind::Any),
    ("CreateIndex", Kind::Any),
    ("ModifyIndex", Kind::Any),
    ("Hash", Kind::Any),
];

/// Refuses keys the kind does not have. Kinds without a table here are taken as they are.
pub(crate) fn check_keys(kind: &str, body: &Value) -> Result<(), String> {
    let fields = match kind {
        "service-intentions" => INTENTIONS,
        "mesh" => MESH,
        "service-defaults" => SERVICE_DEFAULTS,
        "proxy-defaults" => PROXY_DEFAULTS,
        "jwt-provider" => JWT_PROVIDER,
        _ => return tenancy(body),
    };
    match check(body, fields) {
        Ok(()) => Ok(()),
        Err(Wrong::Unknown(path)) => {
            let last = path.rsplit('.').next().unwrap_or_default();
            let why = match last {
                "Namespace" | "SourceNS" => ", namespaces are a consul enterprise feature",
                _ => "",
            };
            Err(one_error(&format!("invalid config key {path:?}{why}")))
        }
        Err(Wrong::Type {
            found,
            path,
            expected,
        }) => Err(one_error(&format!(
            "'{path}' expected type '{expected}', got unconvertible type '{found}'"
        ))),
    }
}

fn tenancy(body: &Value) -> Result<(), String> {
    match (&body["Namespace"], &body["Partition"]) {
        (Value::Null, Value::Null) => Ok(()),
        (Value::Null, _) => Err(one_error("invalid config key \"Partition\"")),
        _ => Err(one_error(
            "invalid config key \"Namespace\", namespaces are a consul enterprise feature",
        )),
    }
}
