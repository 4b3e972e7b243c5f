//! The authority: leafs that verify, rotations of every kind, and leafs that are wrong on request.

#[path = "support/http.rs"]
mod support;

use aws_lc_rs::signature::{ECDSA_P384_SHA256_ASN1, UnparsedPublicKey};
use std::time::Duration;

use consul_dev::{ConsulDev, KeyKind};
use serde_json::Value;
use support::{get, try_call, until};
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;
use x509_parser::prelude::X509Certificate;

fn certificates(pem: &str) -> Vec<Pem> {
    Pem::iter_from_buffer(pem.as_bytes())
        .collect::<Result<_, _>>()
        .expect("PEM")
}

fn signed_by(child: &X509Certificate<'_>, parent: &X509Certificate<'_>) -> bool {
    child.issuer() == parent.subject() && child.verify_signature(Some(parent.public_key())).is_ok()
}

fn uris(certificate: &X509Certificate<'_>) -> Vec<String> {
    let names = certificate
        .subject_alternative_name()
        .expect("SAN")
        .expect("SAN");
    names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        })
        .collect()
}

async fn roots(dev: &ConsulDev) -> Vec<Value> {
    let roots = get(dev, "/v1/connect/ca/roots").await.json();
    roots["Roots"].as_array().expect("roots").clone()
}

fn root(roots: &[Value], active: bool) -> &Value {
    roots
        .iter()
        .find(|root| root["Active"] == active)
        .expect("a root")
}

#[tokio::test]
async fn a_leaf_names_its_service_and_verifies_under_the_active_root() {
    let dev = ConsulDev::start().await.expect("starts");
    assert!(dev.trust_domain().ends_with(".dev.consul"));
    let answer = get(&dev, "/v1/agent/connect/ca/leaf/web").await;
    let leaf = answer.json();
    assert_eq!(leaf["ServiceURI"], dev.service_uri("web"));
    assert!(
        leaf["PrivateKeyPEM"]
            .as_str()
            .expect("key")
            .starts_with("-----BEGIN EC PRIVATE KEY-----")
    );
    assert_eq!(answer.header("x-cache"), "MISS");
    assert_eq!(answer.header("x-consul-knownleader"), "");
    let chain = certificates(leaf["CertPEM"].as_str().expect("chain"));
    let listed = roots(&dev).await;
    let anchors = certificates(listed[0]["RootCert"].as_str().expect("root"));
    let (leaf, anchor) = (
        chain[0].parse_x509().expect("leaf"),
        anchors[0].parse_x509().expect("root"),
    );
    assert!(signed_by(&leaf, &anchor));
    assert!(
        leaf.subject().iter().next().is_none(),
        "the subject is empty"
    );
    assert_eq!(uris(&leaf), [dev.service_uri("web")]);
    assert_eq!(chain.len(), 1);
}

#[tokio::test]
async fn a_rotation_keeps_the_old_root_and_cross_signs_the_new_one() {
    for kind in [KeyKind::EcP256, KeyKind::EcP384, KeyKind::Rsa2048] {
        let dev = ConsulDev::start().await.expect("starts");
        let before = get(&dev, "/v1/agent/connect/ca/leaf/web").await;
        dev.rotate_root_to(kind).expect("rotates");
        let path = format!(
            "/v1/agent/connect/ca/leaf/web?index={}&wait=1m",
            before.index()
        );
        let after = get(&dev, &path).await.json();
        let listed = roots(&dev).await;
        assert_eq!(listed.len(), 2);
        let chain = certificates(after["CertPEM"].as_str().expect("chain"));
        assert_eq!(chain.len(), 2, "leaf and cross-signed root");
        let old = certificates(root(&listed, false)["RootCert"].as_str().expect("root"));
        let new = certificates(root(&listed, true)["RootCert"].as_str().expect("root"));
        let (leaf, cross) = (
            chain[0].parse_x509().expect("leaf"),
            chain[1].parse_x509().expect("cross"),
        );
        let (old, new) = (
            old[0].parse_x509().expect("old"),
            new[0].parse_x509().expect("new"),
        );
        assert!(signed_by(&cross, &old), "{kind:?}");
        assert_eq!(cross.public_key().raw, new.public_key().raw);
        assert_eq!(leaf.issuer(), new.subject());
        if kind == KeyKind::EcP384 {
            // P-384 over SHA-256, which this parser's verifier does not know but Consul signs.
            assert_eq!(
                leaf.signature_algorithm.algorithm.to_id_string(),
                "1.2.840.10045.4.3.2"
            );
            UnparsedPublicKey::new(
                &ECDSA_P384_SHA256_ASN1,
                &new.public_key().subject_public_key.data,
            )
            .verify(leaf.tbs_certificate.as_ref(), &leaf.signature_value.data)
            .expect("signed by the new root");
        } else {
            assert!(signed_by(&leaf, &new), "{kind:?}");
        }
    }
}

#[tokio::test]
async fn a_rotation_without_cross_signing_leaves_the_leaf_alone_in_its_chain() {
    let dev = ConsulDev::start().await.expect("starts");
    dev.rotate_root_without_cross_signing().expect("rotates");
    let leaf = get(&dev, "/v1/agent/connect/ca/leaf/web").await.json();
    assert_eq!(
        certificates(leaf["CertPEM"].as_str().expect("chain")).len(),
        1
    );
    assert!(root(&roots(&dev).await, true)["IntermediateCerts"].is_null());
}

#[tokio::test]
async fn the_old_leaf_is_served_until_the_jitter_is_over() {
    let dev = ConsulDev::builder()
        .leaf_jitter(Duration::from_secs(3600))
        .start()
        .await
        .expect("starts");
    let before = get(&dev, "/v1/agent/connect/ca/leaf/web").await.json();
    dev.rotate_root().expect("rotates");
    let after = get(&dev, "/v1/agent/connect/ca/leaf/web").await.json();
    assert_eq!(before["SerialNumber"], after["SerialNumber"]);
    dev.reissue_leafs();
    until("the new leaf", || async {
        get(&dev, "/v1/agent/connect/ca/leaf/web").await.json()["SerialNumber"]
            != before["SerialNumber"]
    })
    .await;
}

#[tokio::test]
async fn inactive_roots_can_be_removed_and_the_active_one_cannot() {
    let dev = ConsulDev::start().await.expect("starts");
    let first = dev.active_root();
    let second = dev.rotate_root().expect("rotates");
    assert!(dev.remove_root(&second).is_err());
    dev.remove_root(&first).expect("removed");
    assert_eq!(dev.root_ids(), [second]);
    assert!(dev.remove_root(&first).is_err());
    dev.rotate_root().expect("rotates");
    assert_eq!(dev.prune_inactive_roots(), 1);
}

#[tokio::test]
async fn a_new_trust_domain_shares_nothing_with_the_old_one() {
    let dev = ConsulDev::start().await.expect("starts");
    let old = dev.trust_domain();
    let before = get(&dev, "/v1/agent/connect/ca/leaf/web").await;
    let new = dev.new_trust_domain().expect("made");
    assert_ne!(old, new);
    let path = format!(
        "/v1/agent/connect/ca/leaf/web?index={}&wait=1m",
        before.index()
    );
    let leaf = get(&dev, &path).await.json();
    assert!(leaf["ServiceURI"].as_str().expect("URI").contains(&new));
    let listed = get(&dev, "/v1/connect/ca/roots").await.json();
    assert_eq!(listed["TrustDomain"], new);
    assert_eq!(listed["Roots"].as_array().expect("roots").len(), 1);
}

#[tokio::test]
async fn leafs_live_as_long_as_they_are_told() {
    let dev = ConsulDev::builder()
        .leaf_ttl(Duration::from_secs(90))
        .start()
        .await
        .expect("starts");
    let leaf = get(&dev, "/v1/agent/connect/ca/leaf/web").await.json();
    let chain = certificates(leaf["CertPEM"].as_str().expect("chain"));
    let validity = chain[0].parse_x509().expect("leaf").validity().clone();
    let lived = validity.not_after.timestamp() - validity.not_before.timestamp();
    assert_eq!(lived, 90);
}

#[tokio::test]
async fn a_leaf_is_signed_anew_before_it_ends_also_while_nobody_can_ask() {
    // Two to three seconds are left, as certificates count in whole ones.
    let dev = ConsulDev::builder()
        .leaf_ttl(Duration::from_secs(63))
        .start()
        .await
        .expect("starts");
    let leaf = get(&dev, "/v1/agent/connect/ca/leaf/web").await;
    let (index, first) = (leaf.index(), leaf.json());
    let path = format!("/v1/agent/connect/ca/leaf/web?index={index}&wait=1m");
    let second = get(&dev, &path).await.json();
    assert_ne!(first["SerialNumber"], second["SerialNumber"]);
    let good = |leaf: &Value| {
        let chain = certificates(leaf["CertPEM"].as_str().expect("chain"));
        let leaf = chain[0].parse_x509().expect("leaf");
        leaf.validity().is_valid()
    };
    assert!(good(&first), "the next came before its end");
    dev.down().await.expect("down");
    tokio::time::timeout(Duration::from_secs(10), async {
        while good(&second) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("it ends");
    dev.up().await.expect("up");
    let third = get(&dev, "/v1/agent/connect/ca/leaf/web").await.json();
    assert!(good(&third));
    assert_ne!(third["SerialNumber"], second["SerialNumber"]);
}

#[tokio::test]
async fn a_bad_leaf_is_bad_in_exactly_the_ways_asked_for() {
    let dev = ConsulDev::start().await.expect("starts");
    let two = ["spiffe://a.consul/x", "spiffe://b.consul/y"];
    let bad = dev
        .bad_leaf("web")
        .uris(two)
        .expired(Duration::from_secs(60))
        .usages(true, false)
        .ca(true);
    let minted = dev.mint(&bad).expect("minted");
    let chain = certificates(&minted.chain_pem);
    let leaf = chain[0].parse_x509().expect("leaf");
    assert_eq!(uris(&leaf), two);
    assert!(!leaf.validity().is_valid());
    assert!(leaf.is_ca());
    let usages = leaf.extended_key_usage().expect("EKU").expect("EKU").value;
    assert!(usages.client_auth && !usages.server_auth);
    let anchors = certificates(&minted.root_pem);
    assert!(signed_by(&leaf, &anchors[0].parse_x509().expect("root")));

    let foreign = dev.mint(&dev.bad_leaf("web").foreign_ca()).expect("minted");
    assert!(
        roots(&dev)
            .await
            .iter()
            .all(|root| root["RootCert"] != foreign.root_pem.as_str())
    );
    assert!(minted.key_pem.starts_with("-----BEGIN PRIVATE KEY-----"));
}

#[tokio::test]
async fn a_configured_key_type_rotates_and_a_configured_lifetime_does_not() {
    let dev = ConsulDev::start().await.expect("starts");
    let configure = |body: &'static str| {
        try_call(
            &dev,
            "PUT",
            "/v1/connect/ca/configuration",
            "",
            body.to_owned(),
        )
    };
    let first = dev.active_root();
    configure(r#"{"Provider":"consul","Config":{"LeafCertTTL":"1h"}}"#)
        .await
        .expect("a reply");
    assert_eq!(dev.active_root(), first);
    configure(r#"{"Provider":"consul","Config":{"PrivateKeyType":"rsa","PrivateKeyBits":2048}}"#)
        .await
        .expect("a reply");
    assert_ne!(dev.active_root(), first);
    let listed = roots(&dev).await;
    assert_eq!(root(&listed, true)["PrivateKeyType"], "rsa");
}
