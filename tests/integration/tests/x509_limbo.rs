//! The C2SP's x509-limbo cases, decided by the code that decides in handshakes.
//!
//! They are about names of hosts and addresses, and no peer of a mesh is known by those: nobody may be taken for a member,
//! whatever its chain, so that is asserted of all of them. What is compared with the suite is the path to the roots; where a
//! verdict of the suite hangs on a name, or on what meshes do not have, the case is in a table with the reason.

use std::{collections::BTreeSet, io::Read as _};

use consul_connect::{
    InvalidPeer, Roots,
    test_util::{Part, verify_chain},
};
use flate2::read::GzDecoder;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde_json::Value;

/// 1 December 2026: when a case does not say when.
const NOW: u64 = 1_796_083_200;

fn cases() -> Vec<Value> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/vectors/x509-limbo-208.json.gz"
    );
    let mut text = String::new();
    let file = std::fs::File::open(path).unwrap();
    GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let mut suite: Value = serde_json::from_str(&text).unwrap();
    serde_json::from_value(suite["testcases"].take()).unwrap()
}

/// When a case is to be decided, in whole seconds since 1970.
fn time(case: &Value) -> u64 {
    let Some(text) = case["validation_time"].as_str() else {
        return NOW;
    };
    let (text, offset) = text.split_at("2024-01-01T00:00:00".len());
    assert!(offset.ends_with("+00:00"), "{text}{offset}");
    let parts: Vec<u64> = text
        .split(['-', 'T', ':'])
        .map(|part| part.parse().unwrap())
        .collect();
    let [year, month, day, hours, minutes, seconds] = parts[..] else {
        panic!("{text} is no time")
    };
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let february = if leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let days = (1970..year)
        .map(|year| if leap(year) { 366 } else { 365 })
        .sum::<u64>()
        + months.iter().take(month as usize - 1).sum::<u64>()
        + day
        - 1;
    ((days * 24 + hours) * 60 + minutes) * 60 + seconds
}

fn verdict(case: &Value) -> Result<(), InvalidPeer> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = |value: &Value| {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(text)
            .collect::<Vec<_>>()
    };
    let trust_domain = "limbo.example".parse().unwrap();
    let roots = all(&case["trusted_certs"]);
    let roots = Roots::from_pem(roots.iter().map(String::as_str), Some(trust_domain));
    let roots = roots.map_err(|error| InvalidPeer::Malformed(error.to_string()))?;
    let mut pems = vec![text(&case["peer_certificate"])];
    pems.extend(all(&case["untrusted_intermediates"]));
    let mut chain = Vec::new();
    for pem in &pems {
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes());
        chain.push(certificate.map_err(|error| InvalidPeer::Malformed(error.to_string()))?);
    }
    let part = match case["validation_kind"].as_str() {
        Some("CLIENT") => Part::Caller,
        _ => Part::Called,
    };
    match verify_chain(&chain, &roots, part, time(case)) {
        Ok(id) => panic!("{} is taken for {id}", case["id"]),
        // It has no name by which a member is known, which is looked at when the path holds.
        Err(InvalidPeer::UriNames { count: 0 }) => Ok(()),
        Err(refusal) => Err(refusal),
    }
}

/// Where the suite refuses and the path holds all the same: why that is no wrong accept.
const HOLDS: &[(&str, &[&str])] = &[
    (
        "names of hosts and addresses are asked of nobody: a member is known by its one URI name, and these have none",
        &[
            "rfc5280::san::ip-in-dns",
            "rfc5280::san::underscore-dns",
            "webpki::cn::case-mismatch",
            "webpki::cn::ipv4-hex-mismatch",
            "webpki::cn::ipv4-leading-zeros-mismatch",
            "webpki::cn::ipv6-non-rfc5952-mismatch",
            "webpki::cn::ipv6-uncompressed-mismatch",
            "webpki::cn::ipv6-uppercase-mismatch",
            "webpki::cn::not-in-san",
            "webpki::cn::punycode-not-in-san",
            "webpki::cn::utf8-vs-punycode-mismatch",
            "webpki::san::mismatch-apex-subdomain-san",
            "webpki::san::mismatch-domain-san",
            "webpki::san::mismatch-subdomain-apex-san",
            "webpki::san::mismatch-subdomain-san",
            "webpki::san::no-san",
            "webpki::san::public-suffix-multi-label-wildcard-san",
            "webpki::san::public-suffix-private-namespace-wildcard-san",
            "webpki::san::public-suffix-wildcard-san",
            "webpki::san::san-critical-with-nonempty-subject",
            "webpki::san::san-wildcard-only",
            "webpki::san::san-wildcard-only-tld",
            "webpki::san::unicode-emoji-san",
            "webpki::san::wildcard-embedded-leftmost-san",
            "webpki::san::wildcard-embedded-ulabel-san",
            "webpki::san::wildcard-match-across-labels-san",
            "webpki::san::wildcard-not-in-leftmost-san",
        ],
    ),
    (
        "it is looked at together with the URI name, by the rules for members that the tests of SPIFFE's rules have",
        &[
            "rfc5280::san::noncritical-with-empty-subject",
            "webpki::eku::ee-anyeku",
            "webpki::eku::ee-critical-eku",
            "webpki::eku::ee-without-eku",
        ],
    ),
    (
        "Consul revokes nothing: a leaf lives for days, and a service is kept out by an intention",
        &[
            "crl::crlnumber-critical",
            "crl::crlnumber-missing",
            "crl::issuer-missing-crlsign",
            "crl::revoked-certificate-with-crl",
        ],
    ),
    (
        "how deep a chain may be is not configured here: at most ten certificates",
        &[
            "pathlen::max-chain-depth-0-exhausted",
            "pathlen::max-chain-depth-1-exhausted",
        ],
    ),
    (
        "a root is trusted for its name and key, as RFC 5280 §6.1.1 has it, whatever else it says: Consul vouches for it",
        &[
            "rfc5280::aki::critical-aki",
            "rfc5280::aki::cross-signed-root-missing-aki",
            "rfc5280::root-inconsistent-ca-extensions",
            "rfc5280::root-missing-basic-constraints",
            "rfc5280::root-non-critical-basic-constraints",
            "rfc5280::ski::critical-ski",
            "rfc5280::ski::root-missing-ski",
            "rfc5280::unknown-critical-extension-root",
            "webpki::aki::root-with-aki-all-fields",
            "webpki::aki::root-with-aki-authoritycertissuer",
            "webpki::aki::root-with-aki-authoritycertserialnumber",
            "webpki::aki::root-with-aki-missing-keyidentifier",
            "webpki::aki::root-with-aki-ski-mismatch",
            "webpki::eku::root-has-eku",
            "webpki::forbidden-rsa-not-divisible-by-8-in-root",
        ],
    ),
    (
        "it is owed by who issues, and nothing that is trusted hangs on it; Consul's own secondary authorities have no subject",
        &[
            "rfc5280::aki::intermediate-missing-aki",
            "rfc5280::aki::leaf-missing-aki",
            "rfc5280::ca-empty-subject",
            "rfc5280::nc::invalid-dnsname-leading-period",
            "rfc5280::nc::not-allowed-in-ee-critical",
            "rfc5280::nc::not-allowed-in-ee-noncritical",
            "rfc5280::nc::permitted-dns-match-noncritical",
            "rfc5280::pc::ica-noncritical-pc",
            "rfc5280::serial::too-long",
            "rfc5280::serial::zero",
            "rfc5280::ski::intermediate-missing-ski",
            "webpki::malformed-aia",
            "webpki::nc::intermediate-permitted-excluded-subtrees-both-empty-sequences",
            "webpki::nc::intermediate-permitted-excluded-subtrees-both-null",
        ],
    ),
    (
        "the key of a leaf has to sign the handshake, and nobody here verifies with such a key, or it is as good as any other",
        &[
            "webpki::forbidden-dsa-leaf",
            "webpki::forbidden-p192-leaf",
            "webpki::forbidden-rsa-key-not-divisible-by-8-in-leaf",
        ],
    ),
];

/// Where the suite accepts and we do not, and why.
const REFUSED: &[(&str, &[&str])] = &[
    (
        "who may sign others is nobody's identity",
        &[
            "pathlen::validation-ignores-pathlen-in-leaf",
            "rfc5280::ca-as-leaf",
        ],
    ),
    (
        "the library takes a certificate that is signed in its own name for any other",
        &[
            "pathlen::self-issued-certs-pathlen",
            "rfc5280::nc::permitted-self-issued",
        ],
    ),
    (
        "the library knows no constraints on mail addresses and directory names, and refuses what is under them",
        &[
            "rfc5280::nc::nc-permits-email-domain",
            "rfc5280::nc::nc-permits-email-exact",
            "rfc5280::nc::nc-permits-email-literal-asterisk-exact-match",
            "rfc5280::nc::nc-permits-email-literal-double-asterisk",
            "rfc5280::nc::nc-permits-email-literal-mid-asterisk",
            "rfc5280::nc::permitted-dn-match",
        ],
    ),
];

fn listed(table: &[(&str, &[&str])]) -> BTreeSet<String> {
    let ids = table.iter().flat_map(|(_, ids)| *ids);
    ids.map(|id| (*id).to_owned()).collect()
}

#[test]
fn nobody_is_taken_for_a_member_and_every_path_is_judged_as_the_suite_says_or_as_listed() {
    let (mut holds, mut refused) = (BTreeSet::new(), BTreeSet::new());
    let cases = cases();
    for case in &cases {
        let id = case["id"].as_str().unwrap().to_owned();
        let inserted = match (case["expected_result"].as_str(), verdict(case)) {
            (Some("FAILURE"), Ok(())) => holds.insert(id),
            (Some("SUCCESS"), Err(_)) => refused.insert(id),
            _ => true,
        };
        assert!(inserted, "{} is there twice", case["id"]);
    }
    assert_eq!(cases.len(), 208);
    println!(
        "208 cases: {} as the suite says, {} hold by what a mesh does not ask, {} are refused by choice",
        208 - holds.len() - refused.len(),
        holds.len(),
        refused.len()
    );
    assert_eq!(holds, listed(HOLDS));
    assert_eq!(refused, listed(REFUSED));
}
