//! The bodies of registrations, field by field.

use super::Kind;

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
    ("Config", Kind::Dict),
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
    ("Config", Kind::Dict),
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
    ("Definition", Kind::Dict),
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
