//! A mesh whose CA key is in the test's hands.

use mesh_lab::{Agent, Error, OwnCa, Version};
use serde_json::{Value, json};

/// A root in the shape of Consul's own, for the trust domain of `name`.
fn own_ca(name: &str) -> OwnCa {
    let key =
        rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key can be made");
    let mut root = rcgen::CertificateParams::default();
    root.distinguished_name = rcgen::DistinguishedName::new();
    root.distinguished_name
        .push(rcgen::DnType::CommonName, name);
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    root.key_usages = vec![
        rcgen::KeyUsagePurpose::DigitalSignature,
        rcgen::KeyUsagePurpose::KeyCertSign,
        rcgen::KeyUsagePurpose::CrlSign,
    ];
    let uri = format!("spiffe://{name}.consul").try_into().expect("ASCII");
    root.subject_alt_names = vec![rcgen::SanType::URI(uri)];
    let certificate = root.self_signed(&key).expect("a root can be signed");
    OwnCa::new(key.serialize_pem(), certificate.pem())
}

const CLUSTER: &str = "6d657368-2d6c-6162-0000-000000000001";

async fn active_root(agent: &Agent) -> Result<String, Error> {
    let roots = agent.http().get("/v1/connect/ca/roots").await?.ok()?;
    let active = roots["Roots"]
        .as_array()
        .and_then(|roots| roots.iter().find(|root| root["Active"] == true));
    let pem = active
        .and_then(|root| root["RootCert"].as_str())
        .unwrap_or_default();
    Ok(pem.trim().replace("\r\n", "\n"))
}

fn pem(ca: &OwnCa) -> String {
    ca.root_pem().trim().replace("\r\n", "\n")
}

#[tokio::test]
async fn signs_under_our_root_from_the_start_and_rotates_to_another() -> Result<(), Error> {
    for version in Version::ALL {
        let Some(consul) = mesh_lab::consul(version) else {
            return Ok(());
        };
        let (first, second) = (own_ca("first"), own_ca("second"));
        let agent = consul
            .ca(&first)
            .cluster_id(CLUSTER)
            .leaf_ttl("1h")
            .start()
            .await?;
        assert_eq!(active_root(&agent).await?, pem(&first));
        let leaf: Value = agent
            .http()
            .get("/v1/agent/connect/ca/leaf/web")
            .await?
            .ok()?;
        assert!(leaf["CertPEM"].is_string());

        agent.rotate_to(&second).await?;
        assert_eq!(active_root(&agent).await?, pem(&second));
        agent
            .configure_ca_without_cross_signing(
                &json!({ "PrivateKeyType": "ec", "PrivateKeyBits": 384 }),
            )
            .await?;
        assert_ne!(active_root(&agent).await?, pem(&second));
    }
    Ok(())
}
