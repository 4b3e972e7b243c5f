//! One health entry as an instance. Pure.

use std::borrow::Cow;

use consul_api::health::{HealthCheck, ServiceEntry, Status};
use consul_connect::Address;

use crate::resolve::{Instance, Readiness};

/// What Envoy caps weights at, and so what shares are comparable with.
const MAX_WEIGHT: i64 = 128;

const NODE_MAINTENANCE: &str = "_node_maintenance";
const SERVICE_MAINTENANCE: &str = "_service_maintenance:";

/// The instance an entry describes, seen from the datacenter `here`.
pub(super) fn instance(entry: &ServiceEntry, here: &str, only_passing: bool) -> Instance {
    let id = format!("{}/{}", entry.node.node, entry.service.id);
    let Some(address) = address(entry, here) else {
        let nowhere = Address::Host(String::new(), 0);
        let out = Readiness::Out("has no address that can be dialled".into());
        return Instance::new(nowhere).with_id(id).with_readiness(out);
    };
    let (readiness, weight) = readiness(entry, only_passing);
    Instance::new(address)
        .with_id(id)
        .with_weight(weight)
        .with_readiness(readiness)
}

fn readiness(entry: &ServiceEntry, only_passing: bool) -> (Readiness, u16) {
    let weights = entry.service.weights;
    let weight = |weight: i64| u16::try_from(weight.clamp(1, MAX_WEIGHT)).unwrap_or(1);
    let failing = |check: &&HealthCheck| !matches!(check.status, Status::Passing | Status::Warning);
    let mut failing = entry.checks.iter().filter(failing).peekable();

    if let Some(first) = failing.peek().copied() {
        let all: Vec<_> = failing.collect();
        if all.iter().any(|check| is_maintenance(check)) {
            return (Readiness::Out("in maintenance".into()), 1);
        }
        let of_service = all.iter().find(|check| !check.service_id.is_empty());
        return match of_service {
            Some(check) => (Readiness::Out(critical(check)), 1),
            None => (
                Readiness::NodeFailing(critical(first)),
                weight(weights.passing),
            ),
        };
    }
    let warning = entry
        .checks
        .iter()
        .any(|check| check.status == Status::Warning);
    let granted = if warning {
        weights.warning
    } else {
        weights.passing
    };
    if warning && only_passing {
        (
            Readiness::Out("has a warning, and only passing instances are wanted".into()),
            1,
        )
    } else if granted < 1 {
        let state = if warning { "warning" } else { "passing" };
        (
            Readiness::Out(format!("has weight 0 while {state}").into()),
            1,
        )
    } else {
        (Readiness::Ready, weight(granted))
    }
}

fn is_maintenance(check: &HealthCheck) -> bool {
    check.status == Status::Maintenance
        || check.check_id == NODE_MAINTENANCE
        || check.check_id.starts_with(SERVICE_MAINTENANCE)
}

fn critical(check: &HealthCheck) -> Cow<'static, str> {
    format!("critical (check `{}`)", check.check_id).into()
}

/// Where to dial: Consul's "best address", the one of the service before that of its node, and in
/// another datacenter the one meant for the way there.
fn address(entry: &ServiceEntry, here: &str) -> Option<Address> {
    let (node, service) = (&entry.node, &entry.service);
    let far = !node.datacenter.is_empty() && node.datacenter != here;
    let usable = |address: &&str| !is_wildcard(address);

    let mut port = service.port;
    let mut candidates: Vec<&str> = Vec::with_capacity(4);
    if far {
        if let Some(wan) = service.tagged_addresses.get("wan") {
            if wan.port != 0 {
                port = wan.port;
            }
            candidates.push(&wan.address);
        }
        candidates.push(&service.address);
        candidates.extend(node.tagged_addresses.get("wan").map(String::as_str));
    } else {
        candidates.push(&service.address);
    }
    candidates.push(&node.address);

    if port == 0 {
        let named = service
            .ports
            .iter()
            .find(|port| port.default)
            .or(service.ports.first());
        port = named.map_or(0, |named| named.port);
    }
    if port == 0 {
        let local = !service.socket_path.is_empty() && !far;
        return local.then(|| Address::Unix(service.socket_path.clone().into()));
    }
    candidates
        .into_iter()
        .find(usable)
        .map(|address| Address::new(address, port))
}

/// An address that was bound, or none: nothing that can be dialled.
fn is_wildcard(address: &str) -> bool {
    address.is_empty()
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_unspecified())
}

#[cfg(test)]
mod tests;
