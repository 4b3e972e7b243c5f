use consul_api::health::{ServiceAddress, ServicePort, Weights};

use super::*;

fn entry() -> ServiceEntry {
    let mut entry = ServiceEntry::default();
    entry.node.node = "n1".to_owned();
    entry.node.address = "10.0.0.1".to_owned();
    entry.node.datacenter = "dc1".to_owned();
    entry.service.id = "api-1".to_owned();
    entry.service.service = "api".to_owned();
    entry.service.port = 8443;
    entry
}

fn check(id: &str, service_id: &str, status: Status) -> HealthCheck {
    let mut check = HealthCheck::default();
    check.check_id = id.to_owned();
    check.service_id = service_id.to_owned();
    check.status = status;
    check
}

fn dialled(entry: &ServiceEntry, here: &str) -> String {
    instance(entry, here, false).address.to_string()
}

#[test]
fn is_dialled_at_its_own_address_and_else_at_its_nodes() {
    let mut entry = entry();
    assert_eq!(dialled(&entry, "dc1"), "10.0.0.1:8443");
    entry.service.address = "10.0.0.9".to_owned();
    assert_eq!(dialled(&entry, "dc1"), "10.0.0.9:8443");
    assert_eq!(instance(&entry, "dc1", false).id, "n1/api-1");
}

#[test]
fn a_bound_wildcard_is_no_address() {
    for wildcard in ["0.0.0.0", "::", ""] {
        let mut entry = entry();
        entry.service.address = wildcard.to_owned();
        assert_eq!(dialled(&entry, "dc1"), "10.0.0.1:8443", "{wildcard}");
    }
    let mut entry = entry();
    entry.node.address = "0.0.0.0".to_owned();
    let out = instance(&entry, "dc1", false).readiness;
    assert_eq!(
        out,
        Readiness::Out("has no address that can be dialled".into())
    );
}

#[test]
fn names_and_ipv6_are_dialled_as_such() {
    let mut entry = entry();
    entry.service.address = "api.example.org".to_owned();
    assert_eq!(
        instance(&entry, "dc1", false).address,
        Address::Host("api.example.org".to_owned(), 8443)
    );
    entry.service.address = "fd00::7".to_owned();
    assert_eq!(dialled(&entry, "dc1"), "[fd00::7]:8443");
}

#[test]
fn in_another_datacenter_the_wan_addresses_come_first() {
    let mut entry = entry();
    entry.service.address = "10.0.0.9".to_owned();
    entry
        .node
        .tagged_addresses
        .insert("wan".to_owned(), "198.51.100.1".to_owned());
    assert_eq!(dialled(&entry, "dc2"), "10.0.0.9:8443");
    entry.service.address = String::new();
    assert_eq!(dialled(&entry, "dc2"), "198.51.100.1:8443");
    let mut wan = ServiceAddress::default();
    wan.address = "203.0.113.5".to_owned();
    wan.port = 443;
    entry
        .service
        .tagged_addresses
        .insert("wan".to_owned(), wan.clone());
    assert_eq!(dialled(&entry, "dc2"), "203.0.113.5:443");
    assert_eq!(dialled(&entry, "dc1"), "10.0.0.1:8443");
    wan.port = 0;
    entry.service.tagged_addresses.insert("wan".to_owned(), wan);
    assert_eq!(dialled(&entry, "dc2"), "203.0.113.5:8443");
}

#[test]
fn without_a_port_it_is_dialled_at_its_named_port_or_its_socket() {
    let mut entry = entry();
    entry.service.port = 0;
    entry.service.socket_path = "/run/api.sock".to_owned();
    assert_eq!(dialled(&entry, "dc1"), "unix:///run/api.sock");
    let mut port = ServicePort::default();
    port.port = 9000;
    entry.service.ports.push(port);
    assert_eq!(dialled(&entry, "dc1"), "10.0.0.1:9000");
}

#[test]
fn a_critical_check_of_the_service_takes_it_out_and_is_named() {
    let mut entry = entry();
    entry.checks.push(check("serfHealth", "", Status::Critical));
    entry
        .checks
        .push(check("api-ttl", "api-1", Status::Critical));
    let out = instance(&entry, "dc1", false).readiness;
    assert_eq!(out, Readiness::Out("critical (check `api-ttl`)".into()));
}

#[test]
fn a_critical_check_of_the_node_alone_is_told_apart() {
    let mut entry = entry();
    entry.checks.push(check("serfHealth", "", Status::Critical));
    entry
        .checks
        .push(check("api-ttl", "api-1", Status::Passing));
    let out = instance(&entry, "dc1", false).readiness;
    assert_eq!(
        out,
        Readiness::NodeFailing("critical (check `serfHealth`)".into())
    );
}

#[test]
fn maintenance_of_the_node_is_meant_and_no_failing_node() {
    for id in ["_node_maintenance", "_service_maintenance:api-1"] {
        let mut entry = entry();
        entry.checks.push(check(id, "", Status::Critical));
        let out = instance(&entry, "dc1", false).readiness;
        assert_eq!(out, Readiness::Out("in maintenance".into()), "{id}");
    }
}

#[test]
fn a_status_we_do_not_know_is_no_promise() {
    let mut entry = entry();
    entry
        .checks
        .push(check("new", "api-1", Status::Other("resting".to_owned())));
    assert_ne!(instance(&entry, "dc1", false).readiness, Readiness::Ready);
}

#[test]
fn weights_follow_the_state() {
    let mut entry = entry();
    entry.service.weights = Weights::new(10, 2);
    assert_eq!(instance(&entry, "dc1", false).weight, 10);
    entry.checks.push(check("mem", "api-1", Status::Warning));
    assert_eq!(instance(&entry, "dc1", false).weight, 2);
    let out = instance(&entry, "dc1", true).readiness;
    assert!(
        matches!(out, Readiness::Out(_)),
        "only passing ones are wanted"
    );
    entry.service.weights = Weights::new(10, 0);
    let out = instance(&entry, "dc1", false).readiness;
    assert_eq!(out, Readiness::Out("has weight 0 while warning".into()));
    entry.service.weights = Weights::new(100_000, 100_000);
    assert_eq!(instance(&entry, "dc1", false).weight, 128);
}
