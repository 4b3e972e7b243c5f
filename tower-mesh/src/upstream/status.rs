//! What is known of an upstream, for people and health pages.

use std::time::Duration;

use super::Upstream;

/// What is known of an upstream now: see [`Client::status`](crate::Client::status).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UpstreamStatus {
    /// As it was asked for.
    pub name: String,
    /// Where its discovery chain leads: service, datacenter and filter. `None` until that is known.
    pub target: Option<String>,
    /// What Consul calls its protocol: `tcp`, `http`, `http2` or `grpc`; empty without Consul.
    pub protocol: String,
    /// How many instances are known, usable or not.
    pub known: usize,
    /// Those that requests go to.
    pub usable: Vec<EndpointStatus>,
    /// Those that are not ready, and why.
    pub out: Vec<(String, String)>,
    /// Whether instances are used although the checks of their nodes fail, because that took out
    /// every one, or although Consul has just lost the last of them.
    pub in_grace: bool,
    /// How long ago what is known was last known to be so: zero while Consul answers, because a
    /// change would be told at once. `None` before its first answer.
    pub age: Option<Duration>,
    /// For how long every request about its instances has failed, if the last one did.
    pub failing_for: Option<Duration>,
    /// What is wrong with finding it. What was known before stays in use.
    pub problem: Option<String>,
    /// What its discovery chain asks for and this client does not do.
    pub notes: Vec<String>,
}

/// One endpoint in use.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EndpointStatus {
    /// Where it is.
    pub name: String,
    /// Requests it has not finished answering, and byte streams that are open.
    pub in_flight: u32,
    /// Open connections to it.
    pub connections: usize,
}

pub(super) fn of(upstream: &Upstream) -> UpstreamStatus {
    let route = upstream.shared.route.load_full();
    let snapshot = route
        .as_ref()
        .and_then(|route| route.cluster.snapshot().as_ref().cloned());
    let usable = snapshot
        .iter()
        .flat_map(|snapshot| snapshot.endpoints())
        .map(|endpoint| EndpointStatus {
            name: endpoint.name().to_owned(),
            in_flight: endpoint.load().in_flight(),
            connections: endpoint.pool().connections(),
        });
    let failing_for = route
        .as_ref()
        .and_then(|route| route.cluster.problem())
        .map(|problem| problem.since.elapsed());
    UpstreamStatus {
        name: upstream.name.to_string(),
        target: route
            .as_ref()
            .map(|route| route.cluster.target().to_string()),
        protocol: route
            .as_ref()
            .map(|route| route.protocol.clone())
            .unwrap_or_default(),
        known: snapshot.as_ref().map_or(0, |snapshot| snapshot.known()),
        usable: usable.collect(),
        out: snapshot
            .as_ref()
            .map(|snapshot| snapshot.out().to_vec())
            .unwrap_or_default(),
        in_grace: snapshot
            .as_ref()
            .is_some_and(|snapshot| snapshot.in_grace()),
        age: snapshot.as_ref().map(|_| failing_for.unwrap_or_default()),
        failing_for,
        problem: upstream.problem().map(|problem| format!("{problem:?}")),
        notes: route
            .as_ref()
            .map(|route| route.notes.clone())
            .unwrap_or_default(),
    }
}
