use consul_api::peering::{Peering, PeeringState};

use super::*;
use crate::{InvalidRoots, Roots, test_util::TestCa};

const OWN: &str = "11111111.consul";
const EAST: &str = "22222222.consul";

fn domain(name: &str) -> TrustDomain {
    name.parse().expect("a trust domain")
}

fn roots(trust_domain: &str) -> Roots {
    Roots::from_pem([TestCa::new(trust_domain).root_pem()], None).expect("roots")
}

fn peering(name: &str, state: PeeringState, pems: &[&str]) -> Peering {
    let mut peering = Peering::default();
    peering.name = name.to_owned();
    peering.state = state;
    peering.peer_ca_pems = pems.iter().map(|&pem| pem.to_owned()).collect();
    peering
}

#[test]
fn a_cluster_peer_is_found_by_its_trust_domain() {
    let peers = ClusterPeers::fixed([ClusterPeer::new("east", roots(EAST))]).expect("one");
    let found = |name| peers.peek(|known| known.of(&domain(name), &domain(OWN)).cloned());
    assert_eq!(found(EAST).expect("it is known").name(), "east");
    assert!(found(OWN).is_none() && found("33333333.consul").is_none());
}

#[test]
fn one_with_our_own_trust_domain_is_nobody() {
    let peers = ClusterPeers::fixed([ClusterPeer::new("twin", roots(OWN))]).expect("one");
    let own = domain(OWN);
    assert!(peers.peek(|known| known.of(&own, &own).is_none()));
    let [status] = &peers.status(&own).peers[..] else {
        panic!("one peer");
    };
    assert!(!status.usable);
    assert!(matches!(
        status.fault,
        Some(ClusterPeerFault::OwnTrustDomain { .. })
    ));
    assert!(
        status.to_string().contains("NOBODY OF IT MAY CALL"),
        "{status}"
    );
}

#[test]
fn two_with_one_trust_domain_are_refused_when_they_are_given() {
    let both = [
        ClusterPeer::new("east", roots(EAST)),
        ClusterPeer::new("west", roots(EAST)),
    ];
    let refused = ClusterPeers::fixed(both).expect_err("they cannot be told apart");
    assert!(
        matches!(&refused, ClusterPeerFault::SharedTrustDomain { with, .. } if with == "east"),
        "{refused}"
    );
}

#[test]
fn two_with_one_trust_domain_are_both_nobody_when_they_are_learnt() {
    let learnt = |name: &str| Arc::new(ClusterPeer::new(name, roots(EAST)));
    let known = Known::new([learnt("east"), learnt("west"), learnt("north")]);
    assert!(known.of(&domain(EAST), &domain(OWN)).is_none());
}

#[test]
fn giving_one_again_replaces_its_roots_and_only_a_difference_is_published() {
    let (first, second) = (roots(EAST), roots(EAST));
    let peers = ClusterPeers::fixed([ClusterPeer::new("east", first.clone())]).expect("one");
    let changes = peers.changes();
    peers
        .give(ClusterPeer::new("east", first))
        .expect("the same");
    assert!(!changes.has_changed().expect("open"));
    peers
        .give(ClusterPeer::new("east", second.clone()))
        .expect("newer roots");
    assert!(changes.has_changed().expect("open"));
    let known = peers.current();
    let east = known.of(&domain(EAST), &domain(OWN)).expect("it is known");
    assert_eq!(*east.roots(), second);
}

#[test]
fn names_without_a_consul_to_ask_say_that_they_were_not_given() {
    let peers = ClusterPeers::fixed([ClusterPeer::new("east", roots(EAST))]).expect("one");
    peers.set_names(["east".to_owned(), "west".to_owned()]);
    let status = peers.status(&domain(OWN)).peers;
    assert!(
        status[0].usable && status[0].fault.is_none(),
        "{}",
        status[0]
    );
    assert!(
        matches!(status[1].fault, Some(ClusterPeerFault::NotGiven)),
        "{}",
        status[1]
    );
    peers.set_names([]);
    let names: Vec<_> = peers
        .status(&domain(OWN))
        .peers
        .into_iter()
        .map(|peer| peer.name)
        .collect();
    assert_eq!(names, ["east"], "what was given stays");
}

#[test]
fn only_a_peering_that_was_active_says_whose_roots_they_are() {
    let ca = TestCa::new(EAST);
    for (state, usable) in [
        (PeeringState::Active, true),
        (PeeringState::Failing, true),
        (PeeringState::Pending, false),
        (PeeringState::Establishing, false),
        (PeeringState::Deleting, false),
        (PeeringState::Terminated, false),
        (PeeringState::Undefined, false),
        (PeeringState::Other("SHINY".to_owned()), false),
    ] {
        let peer = ClusterPeer::try_from(&peering("east", state.clone(), &[ca.root_pem()]));
        assert_eq!(peer.is_ok(), usable, "{state}");
    }
}

#[test]
fn roots_must_name_one_trust_domain() {
    let (east, west) = (TestCa::new(EAST), TestCa::new("33333333.consul"));
    let of = |pems: &[&str]| ClusterPeer::try_from(&peering("east", PeeringState::Active, pems));
    assert!(matches!(
        of(&[]),
        Err(ClusterPeerFault::Roots(InvalidRoots::Unusable(_)))
    ));
    assert!(matches!(of(&["nonsense"]), Err(ClusterPeerFault::Roots(_))));
    assert!(matches!(
        of(&[east.root_pem(), west.root_pem()]),
        Err(ClusterPeerFault::Roots(InvalidRoots::Unusable(_)))
    ));
    let peer = of(&[east.root_pem()]).expect("one trust domain");
    assert_eq!(
        (peer.trust_domain().as_str(), peer.partition()),
        (EAST, "default")
    );
}
