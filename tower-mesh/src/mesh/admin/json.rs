//! The status for programs. Names are those of the fields; times are seconds.

use consul_connect::{
    ClusterPeerStatus, IdentityStatus, NormalizationStatus, TlsSideStatus, TlsStatus,
    intention::IntentionsStatus, jwt::JwtProviderStatus, registration::RegistrationStatus,
};
use serde_json::{Value, json};

use crate::{Status, UpstreamStatus};

pub(super) fn of(status: &Status) -> String {
    let value = json!({
        "service": status.service.as_str(),
        "ready": status.is_ready(),
        "leaving": status.leaving,
        "platform": status.platform.to_string(),
        "consul": status.consul,
        "consul_unverified": status.consul_unverified,
        "identity_source": status.identity_source,
        "identity": identity(&status.identity),
        "intentions": status.intentions.as_ref().map(intentions),
        "cluster_peers": status.cluster_peers.peers.iter().map(cluster_peer).collect::<Vec<_>>(),
        "tls": tls(&status.tls),
        "normalization": normalization(&status.normalization),
        "registrations": status.registrations.iter().map(registration).collect::<Vec<_>>(),
        "upstreams": status.upstreams.iter().map(upstream).collect::<Vec<_>>(),
    });
    format!("{value:#}\n")
}

fn identity(identity: &IdentityStatus) -> Value {
    json!({
        "id": identity.id.to_string(),
        "trust_domain": identity.trust_domain.as_str(),
        "source": identity.source,
        "generation": identity.generation,
        "leaf_serial": identity.leaf_serial,
        "leaf_not_after": identity.leaf_not_after.as_secs(),
        "leaf_remaining": identity.leaf_remaining.map(|left| left.as_secs()),
        "roots": identity.roots,
        "fault": identity.fault.as_ref().map(|fault| words(fault)),
        "ended": identity.ended,
    })
}

fn intentions(intentions: &IntentionsStatus) -> Value {
    let findings = intentions.findings.iter().map(|finding| {
        json!({ "rule": finding.rule.to_string(), "denies": finding.denies, "text": finding.text })
    });
    json!({
        "generation": intentions.generation,
        "received": intentions.received,
        "age": intentions.age.map(|age| age.as_secs_f64()),
        "shadow": intentions.shadow,
        "stale": intentions.stale,
        "failing_for": intentions.failing_for.map(|time| time.as_secs_f64()),
        "last_error": intentions.last_error.as_ref().map(|error| words(error)),
        "default": intentions.default.to_string(),
        "count": intentions.count,
        "findings": findings.collect::<Vec<_>>(),
        "token_providers": intentions.token_providers.iter().map(token_provider).collect::<Vec<_>>(),
    })
}

fn cluster_peer(peer: &ClusterPeerStatus) -> Value {
    json!({
        "name": peer.name,
        "given": peer.given,
        "trust_domain": peer.trust_domain.as_ref().map(|name| name.as_str()),
        "roots": peer.roots,
        "usable": peer.usable,
        "fault": peer.fault.as_ref().map(|fault| words(fault)),
        "failing_for": peer.failing_for.map(|time| time.as_secs_f64()),
        "last_error": peer.last_error.as_ref().map(|error| words(error)),
    })
}

fn token_provider(provider: &JwtProviderStatus) -> Value {
    json!({
        "name": provider.name,
        "fault": provider.fault,
        "keys": provider.keys,
        "keys_age": provider.keys_age.map(|age| age.as_secs_f64()),
        "last_error": provider.last_error,
        "notes": provider.notes,
    })
}

fn tls(tls: &TlsStatus) -> Value {
    let side = |side: &TlsSideStatus| {
        let versions = side.versions.iter().map(ToString::to_string);
        json!({
            "versions": versions.collect::<Vec<_>>(),
            "cipher_suites": side.cipher_suites,
            "refused": side.refused,
            "findings": side.findings,
        })
    };
    json!({
        "origin": tls.origin.to_string(),
        "incoming": side(&tls.incoming),
        "outgoing": side(&tls.outgoing),
        "age": tls.age.map(|age| age.as_secs_f64()),
        "failing_for": tls.failing_for.map(|time| time.as_secs_f64()),
        "last_error": tls.last_error.as_ref().map(|error| words(error)),
    })
}

fn normalization(normalization: &NormalizationStatus) -> Value {
    json!({
        "origin": normalization.origin.to_string(),
        "rules": normalization.rules.map(|rules| rules.to_string()),
        "refused": normalization.refused,
        "findings": normalization.findings,
        "age": normalization.age.map(|age| age.as_secs_f64()),
        "failing_for": normalization.failing_for.map(|time| time.as_secs_f64()),
        "last_error": normalization.last_error.as_ref().map(|error| words(error)),
    })
}

fn registration(registration: &RegistrationStatus) -> Value {
    let check = registration.check.as_ref();
    json!({
        "id": registration.id,
        "service": registration.service.as_str(),
        "state": format!("{:?}", registration.state).to_lowercase(),
        "external": registration.external,
        "check": check.map(|(status, output)| json!({ "status": status.to_string(), "output": output })),
        "failures": registration.failures,
        "last_error": registration.last_error.as_ref().map(|error| words(error)),
    })
}

fn upstream(upstream: &UpstreamStatus) -> Value {
    let usable = upstream.usable.iter().map(|endpoint| {
        json!({
            "name": endpoint.name,
            "in_flight": endpoint.in_flight,
            "connections": endpoint.connections,
        })
    });
    let out = upstream
        .out
        .iter()
        .map(|(name, why)| json!({ "name": name, "why": why }));
    json!({
        "name": upstream.name,
        "target": upstream.target,
        "protocol": upstream.protocol,
        "known": upstream.known,
        "usable": usable.collect::<Vec<_>>(),
        "out": out.collect::<Vec<_>>(),
        "in_grace": upstream.in_grace,
        "age": upstream.age.map(|age| age.as_secs_f64()),
        "failing_for": upstream.failing_for.map(|time| time.as_secs_f64()),
        "problem": upstream.problem,
        "notes": upstream.notes,
    })
}

/// An error with its causes.
fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(&format!(": {error}"));
        cause = error.source();
    }
    words
}
