//! The rules of X509-SVID and SPIFFE-ID, asked of the code that decides in handshakes, for both parts a peer can play.

#[path = "spiffe_rules/cases.rs"]
mod cases;
#[path = "spiffe_rules/certificates.rs"]
mod certificates;
#[path = "spiffe_rules/ids.rs"]
mod ids;
#[path = "spiffe_rules/to_the_root.rs"]
mod to_the_root;

use std::collections::BTreeSet;

use consul_connect::{
    InvalidPeer, Roots, ServiceId,
    test_util::{Part, verify_chain},
};

use cases::{Case, Cases};
use certificates::{NOW, TD, service_uri};

fn verdicts(case: &Case) -> [Result<ServiceId, InvalidPeer>; 2] {
    let trust_domain = case.trust_domain.parse().unwrap();
    let pems = case.roots.iter().map(String::as_str);
    let roots = Roots::from_pem(pems, Some(trust_domain)).unwrap();
    [Part::Caller, Part::Called].map(|part| verify_chain(&case.chain, &roots, part, NOW))
}

/// Accepted although SPIFFE-ID §2.2 wants only letters, digits, `.`, `-` and `_`: Consul writes these characters as they are,
/// and a service with such a name is a member of its mesh like any other.
const AS_CONSUL_WRITES_THEM: &str = "$&+,:;=@~";

/// Refused although the specifications accept it, with the reason.
const STRICTER: &[(&str, &str)] = &[
    (NOT_CONSUL, "/web"),
    (NOT_CONSUL, "/ns/default/sa/web"),
    (NOT_CONSUL, "/svc/web"),
    (NOT_CONSUL, "/ns/default/dc/dc1/svc/web/extra"),
    (NOT_CONSUL, "/NS/default/DC/dc1/SVC/web"),
    (SECOND_SPELLING, "/ap/default/ns/default/dc/dc1/svc/web"),
    (NO_SERVICE, "/agent/client/dc/dc1/id/node"),
    (NO_SERVICE, "/agent/server/dc/dc1"),
    (NO_SERVICE, "/gateway/mesh/dc/dc1"),
];

const NOT_CONSUL: &str =
    "an id of another form than Consul's names nobody whom an intention could be about";
const SECOND_SPELLING: &str =
    "Consul leaves the default partition out, and its proxies match only what it writes";
const NO_SERVICE: &str =
    "a member of the mesh that is no service calls nobody and is not called in its own name";

#[test]
fn nobody_is_let_in_against_the_specifications_and_who_is_kept_out_is_listed() {
    let cases = Cases::all();
    let (mut let_in, mut kept_out) = (BTreeSet::new(), BTreeSet::new());
    for case in &cases {
        for verdict in verdicts(case) {
            if verdict.is_ok() && !case.accepted {
                let_in.insert(case.name.clone());
            } else if verdict.is_err() && case.accepted {
                kept_out.insert(case.name.clone());
            }
        }
    }
    println!(
        "{} cases, each as caller and as called; {} are stricter by choice",
        cases.len(),
        kept_out.len()
    );
    assert!(cases.len() >= 150);
    let as_consul = AS_CONSUL_WRITES_THEM.chars();
    let as_consul = as_consul.map(|c| format!("18: {}{c}x", service_uri()));
    assert_eq!(let_in, as_consul.collect());
    let stricter = STRICTER.iter();
    let stricter = stricter.map(|(_, path)| format!("18: spiffe://{TD}{path}"));
    assert_eq!(kept_out, stricter.collect());
}

#[test]
fn a_refusal_names_the_rule_that_was_broken() {
    let cases = Cases::all();
    for (name, code) in [
        ("1: no name at all", "uri_names"),
        ("1: two services", "uri_names"),
        ("5: an authority", "certificate_authority"),
        ("6: may sign certificates", "certificate_authority"),
        ("7: may sign revocations", "certificate_authority"),
        ("8: no key usage", "chain"),
        ("8: key usage that is not critical", "chain"),
        ("10: anything, neither of both", "chain"),
        ("11: expired a second ago", "expired"),
        ("11: valid in a second", "not_yet_valid"),
        ("11: an empty chain", "no_certificate"),
        (
            "11: signed by another root of the same name",
            "unknown_issuer",
        ),
        (
            "11: another trust domain under our root",
            "foreign_trust_domain",
        ),
        ("11: an expired root", "root_expired"),
        ("11: a bent signature", "unknown_issuer"),
        ("11: a byte too many", "malformed"),
        ("12: no subject beside names that are not critical", "chain"),
        ("13: the root as somebody", "certificate_authority"),
        ("13: may sign, but no certificates", "chain"),
        ("13: deeper than its path length", "unknown_issuer"),
    ] {
        let case = cases.iter().find(|case| case.name == name).unwrap();
        for verdict in verdicts(case) {
            assert_eq!(verdict.unwrap_err().code(), code, "{name}");
        }
    }
}
