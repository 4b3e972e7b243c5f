//! What a real Consul issued verifies, in whatever order its chain comes; what no authority of ours signed does not.

use std::{sync::Arc, time::Duration};

use consul_connect::{
    Identity, IdentityConfig, IdentityError, IdentityFault, InvalidMaterial, InvalidPeer, Material,
    identity::source,
    test_util::{LeafSpec, TestCa, TestClock},
};
use mesh_tests::TD;
use serde_json::Value;

/// Recorded from Consul 1.22.5 on 22 November 2026, between 13:00 and 15:00 UTC.
const RECORDED: u64 = 1_795_359_600;

fn recorded(name: &str) -> Value {
    let path = format!(
        "{}/vectors/consul-1.22.5/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn material(leaf: &str, roots: &str) -> Material {
    let (leaf, roots) = (recorded(leaf), recorded(roots));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let anchors = roots["Roots"]
        .as_array()
        .unwrap()
        .iter()
        .map(|root| text(&root["RootCert"]))
        .collect();
    Material::new(
        text(&leaf["CertPEM"]),
        text(&leaf["PrivateKeyPEM"]),
        anchors,
    )
    .with_trust_domain(roots["TrustDomain"].as_str().unwrap().parse().unwrap())
}

async fn at(material: Material, now: u64) -> Result<Identity, InvalidMaterial> {
    let config = IdentityConfig::default().time_provider(Arc::new(TestClock::fixed(now)));
    match Identity::connect(source::fixed(material), config).await {
        Ok(identity) => Ok(identity),
        // A leaf whose time has not come is waited for, up to the deadline.
        Err(
            IdentityError::Ended {
                last: Some(IdentityFault::Material(refusal)),
                ..
            }
            | IdentityError::TimedOut {
                last: Some(IdentityFault::Material(refusal)),
                ..
            },
        ) => Err(refusal),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn leafs_of_a_real_consul_verify_fresh_after_a_rotation_to_rsa_and_in_a_secondary_datacenter()
{
    for (leaf, roots, certificates) in [
        ("agent_connect_ca_leaf_web", "agent_connect_ca_roots", 1),
        (
            "leaf_after_rotation_ec_to_rsa_crosssigned",
            "roots_after_rotation_ec_to_rsa",
            2,
        ),
        ("leaf_secondary_dc2_web", "roots_secondary_dc2", 2),
        (
            "leaf_secondary_after_primary_rotation",
            "roots_secondary_dc2",
            3,
        ),
    ] {
        let material = material(leaf, roots);
        assert_eq!(
            material.chain_pem.matches("BEGIN").count(),
            certificates,
            "{leaf}"
        );
        let identity = at(material, RECORDED)
            .await
            .unwrap_or_else(|e| panic!("{leaf}: {e:?}"));
        assert_eq!(identity.current().id().service().as_str(), "web");
    }
}

/// The chain with everything behind the leaf in reverse.
fn reversed(material: &Material) -> Material {
    let mut blocks: Vec<_> = material
        .chain_pem
        .split_inclusive("-----END CERTIFICATE-----\n")
        .collect();
    blocks[1..].reverse();
    Material::new(
        blocks.concat(),
        material.key_pem.clone(),
        material.roots_pem.clone(),
    )
}

#[tokio::test]
async fn intermediates_may_come_in_any_order() {
    let real = material(
        "leaf_secondary_after_primary_rotation",
        "roots_secondary_dc2",
    );
    at(reversed(&real), RECORDED).await.unwrap();

    let deep = TestCa::new(TD).subordinate();
    assert!(
        Identity::connect(
            source::fixed(deep.material("web")),
            IdentityConfig::default()
        )
        .await
        .is_ok()
    );
}

#[tokio::test]
async fn a_cross_signed_root_leads_members_that_know_only_the_old_root_to_the_new_leaf() {
    let roots = recorded("roots_after_rotation_ec_to_rsa");
    let pem = |active: bool| {
        roots["Roots"]
            .as_array()
            .unwrap()
            .iter()
            .find(|r| r["Active"] == active)
            .unwrap()["RootCert"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let both = material(
        "leaf_after_rotation_ec_to_rsa_crosssigned",
        "roots_after_rotation_ec_to_rsa",
    );
    for roots in [vec![pem(false)], vec![pem(true)]] {
        let some = Material::new(both.chain_pem.clone(), both.key_pem.clone(), roots);
        at(some, RECORDED).await.unwrap();
    }
}

#[tokio::test]
async fn without_its_intermediate_a_leaf_has_no_issuer() {
    let real = material("leaf_secondary_dc2_web", "roots_secondary_dc2");
    let leaf_only = real
        .chain_pem
        .split_inclusive("-----END CERTIFICATE-----\n")
        .next()
        .unwrap()
        .to_owned();
    let cut = Material::new(leaf_only, real.key_pem.clone(), real.roots_pem.clone());
    let refusal = at(cut, RECORDED).await.unwrap_err();
    assert!(
        matches!(
            refusal,
            InvalidMaterial::Leaf(InvalidPeer::UnknownIssuer { .. })
        ),
        "{refusal:?}"
    );
}

#[tokio::test]
async fn roots_anchor_and_intermediates_do_not() {
    let ca = TestCa::new(TD);
    let good = ca.subordinate().material("web");
    // A root of somebody else, with our own chain carrying its would-be anchor along.
    let chain = format!("{}{}", good.chain_pem, ca.root_pem());
    let forged = Material::new(
        chain,
        good.key_pem.clone(),
        vec![TestCa::new(TD).root_pem().to_owned()],
    );
    let now = Identity::connect(source::fixed(forged), IdentityConfig::default()).await;
    assert!(matches!(
        now,
        Err(IdentityError::Ended {
            last: Some(IdentityFault::Material(InvalidMaterial::Leaf(
                InvalidPeer::UnknownIssuer { .. }
            ))),
            ..
        })
    ));
}

#[tokio::test(start_paused = true)]
async fn the_clock_decides_and_both_directions_are_named_with_their_distance() {
    let day = 86_400;
    let real = || material("agent_connect_ca_leaf_web", "agent_connect_ca_roots");
    let early = at(real(), RECORDED - day).await.unwrap_err();
    let InvalidMaterial::Leaf(InvalidPeer::NotYetValid { skew }) = early else {
        panic!("{early:?}")
    };
    assert!(skew > Duration::from_secs(day / 2), "{skew:?}");
    let late = at(real(), RECORDED + 5 * day).await.unwrap_err();
    assert!(
        matches!(late, InvalidMaterial::Leaf(InvalidPeer::Expired { since }) if since > Duration::from_secs(day))
    );
}

#[tokio::test]
async fn a_subordinate_may_not_sign_another_authority_below_its_path_length() {
    let too_deep = TestCa::new(TD).subordinate().subordinate();
    let spec = LeafSpec::new(&too_deep.id("web"));
    let result = Identity::connect(
        source::fixed(too_deep.issue(&spec)),
        IdentityConfig::default(),
    )
    .await;
    assert!(
        matches!(result, Err(IdentityError::Ended { last: Some(_), .. })),
        "{result:?}"
    );
}
