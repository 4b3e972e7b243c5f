//! The differences that are meant, each with its reason.

use crate::calls::Call;

/// A part of the path or body of the call, the beginning of the place that may differ, and why.
const ALLOWED: &[(&str, &str, &str)] = &[
    // Trimmed to what programs read; what is there has the same type and meaning.
    (
        "/v1/agent/self",
        "missing body.",
        "consul-dev shows no configuration it does not have",
    ),
    (
        "/v1/agent/self",
        "body.Member.Port",
        "no gossip, so its well-known port",
    ),
    (
        "/v1/agent/self",
        "body.Member.Tags.port",
        "no server RPC, so its well-known port",
    ),
    (
        "/v1/agent/self",
        "body.xDS.Port",
        "consul-dev has no TLS port for gRPC",
    ),
    (
        "/v1/agent/self",
        "body.DebugConfig.GRPCTLSPort",
        "consul-dev has no TLS port for gRPC",
    ),
    // The real agent takes the virtual address over from the servers at some later sync.
    (
        "/v1/agent/",
        "TaggedAddresses",
        "a matter of time in the real agent, never in consul-dev",
    ),
    (
        "/v1/catalog/node",
        "Meta.grpc_tls_port",
        "consul-dev has no TLS port for gRPC",
    ),
    (
        "/v1/catalog/node",
        "body.Services.consul.Port",
        "no server RPC, so its well-known port",
    ),
    (
        "/v1/catalog/node-services",
        ".Port",
        "no server RPC, so its well-known port",
    ),
    (
        "/v1/status/",
        "body",
        "no server RPC, so its well-known port",
    ),
    (
        "/v1/acl/token/self",
        "body.Policies",
        "the policies of the two tokens were made differently",
    ),
    // The words of a generated parser, with a position and what it expected.
    ("filter=bad(", "text", "consul-dev has a parser of its own"),
];

pub(crate) fn allowed(call: &Call, place: &str) -> bool {
    let shown = call.to_string();
    ALLOWED
        .iter()
        .any(|(part, at, _why)| shown.contains(part) && place.contains(at))
}
