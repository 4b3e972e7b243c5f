//! Roots, their rotation, and the signing of leafs under the active one.

use std::time::{Duration, SystemTime};

use rand::Rng as _;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use serde_json::{Value, json};

use super::key::{CaKey, KeyKind};
use super::mint::{BOTH_USAGES, BadLeaf, LeafSpec, Minted, issuer_params, sign_leaf};
use super::{CaError, der};
use crate::go;

/// The real one back-dates what it signs by this much.
const BACKDATE: Duration = Duration::from_secs(60);
const ROOT_TTL: Duration = Duration::from_secs(87_600 * 3600);
const CROSS_SIGNED_TTL: Duration = Duration::from_secs(7 * 24 * 3600);

/// One listed root.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) id: String,
    pub(crate) pem: String,
    pub(crate) key: CaKey,
    /// The subject's common name; leafs and cross-signed certificates carry it as issuer.
    name: String,
    pub(crate) serial: u64,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
    /// What leafs under this root are sent with: the cross-signed certificate of this root, if any.
    pub(crate) intermediates: Vec<String>,
    pub(crate) active: bool,
    pub(crate) trust_domain: String,
    pub(crate) create_index: u64,
    pub(crate) modify_index: u64,
    pub(crate) rotated_out: Option<SystemTime>,
}

impl Root {
    pub(crate) fn signing_key_id(&self) -> String {
        der::colon_hex(&self.key.identifier())
    }

    fn json(&self) -> Value {
        let (key_type, key_bits) = self.key.kind.wire();
        let intermediates = if self.intermediates.is_empty() {
            Value::Null
        } else {
            json!(self.intermediates)
        };
        json!({
            "ID": self.id,
            "Name": "Consul CA Primary Cert",
            "SerialNumber": self.serial,
            "SigningKeyID": self.signing_key_id(),
            "ExternalTrustDomain": self.trust_domain.split('.').next().unwrap_or_default(),
            "NotBefore": go::rfc3339(self.not_before),
            "NotAfter": go::rfc3339(self.not_after),
            "RootCert": self.pem,
            "IntermediateCerts": intermediates,
            "Active": self.active,
            "PrivateKeyType": key_type,
            "PrivateKeyBits": key_bits,
            "CreateIndex": self.create_index,
            "ModifyIndex": self.modify_index,
        })
    }
}

/// A signed leaf.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    /// `0e` or `01:2c`.
    pub(crate) serial: String,
    /// Leaf first, then the active root's intermediates.
    pub(crate) chain_pem: String,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
}

/// The authority of one Consul.
#[derive(Debug)]
pub(crate) struct Authority {
    pub(crate) trust_domain: String,
    pub(crate) roots: Vec<Root>,
    next_serial: u64,
    pub(crate) leaf_ttl: Duration,
}

impl Authority {
    pub(crate) fn new(
        trust_domain: String,
        kind: KeyKind,
        leaf_ttl: Duration,
        index: u64,
    ) -> Result<Self, CaError> {
        let mut authority = Self {
            trust_domain,
            roots: Vec::new(),
            next_serial: 7,
            leaf_ttl,
        };
        let root = authority.make_root(kind, index)?;
        authority.roots.push(root);
        Ok(authority)
    }

    pub(crate) fn active(&self) -> Result<&Root, CaError> {
        self.roots
            .iter()
            .find(|root| root.active)
            .ok_or_else(|| CaError::UnknownRoot("active".to_owned()))
    }

    /// `{ActiveRootID, TrustDomain, Roots}`, roots ordered by id as the real one lists them.
    pub(crate) fn roots_json(&self) -> Value {
        let mut roots: Vec<&Root> = self.roots.iter().collect();
        roots.sort_by(|a, b| a.id.cmp(&b.id));
        let active = self.active().map_or("", |root| root.id.as_str());
        json!({
            "ActiveRootID": active,
            "TrustDomain": self.trust_domain,
            "Roots": roots.into_iter().map(Root::json).collect::<Vec<_>>(),
        })
    }

    /// Roots and intermediates as one PEM document.
    pub(crate) fn roots_pem(&self) -> String {
        let mut text = String::new();
        for root in &self.roots {
            text.push_str(&root.pem);
            for intermediate in &root.intermediates {
                text.push_str(intermediate);
            }
        }
        text
    }

    /// A new active root; the old one stays listed and signs the new one unless told not to.
    pub(crate) fn rotate(
        &mut self,
        kind: KeyKind,
        cross_sign: bool,
        index: u64,
    ) -> Result<String, CaError> {
        let mut root = self.make_root(kind, index)?;
        if cross_sign {
            let serial = self.serial();
            let old = self.active()?;
            root.intermediates.push(cross_signed(&root, old, serial)?);
        }
        let now = SystemTime::now();
        for old in &mut self.roots {
            if old.active {
                old.active = false;
                old.modify_index = index;
                old.rotated_out = Some(now);
            }
        }
        let id = root.id.clone();
        self.roots.push(root);
        Ok(id)
    }

    pub(crate) fn remove(&mut self, id: &str) -> Result<(), CaError> {
        let root = self
            .roots
            .iter()
            .find(|root| root.id == id)
            .ok_or_else(|| CaError::UnknownRoot(id.to_owned()))?;
        if root.active {
            return Err(CaError::ActiveRoot(id.to_owned()));
        }
        self.roots.retain(|root| root.id != id);
        Ok(())
    }

    /// Signs a leaf under the active root, as Consul does.
    pub(crate) fn issue(
        &mut self,
        uri: &str,
        dns: Vec<String>,
        ips: Vec<std::net::IpAddr>,
        key: &impl PublicKeyData,
    ) -> Result<Issued, CaError> {
        let serial = self.serial();
        let not_before = whole_seconds(SystemTime::now() - BACKDATE);
        let not_after = not_before + self.leaf_ttl;
        let root = self.active()?;
        let spec = LeafSpec {
            serial,
            uris: vec![uri.to_owned()],
            dns,
            ips,
            not_before,
            not_after,
            usages: BOTH_USAGES,
            ca: false,
            common_name: None,
        };
        let leaf = sign_leaf(&spec, key, &root.key, &root.name)?;
        Ok(Issued {
            serial: serial_text(serial),
            chain_pem: chain(&leaf, &root.intermediates),
            not_before,
            not_after,
        })
    }

    /// Signs what a test asks for, right or wrong.
    pub(crate) fn mint(&mut self, wanted: &BadLeaf) -> Result<Minted, CaError> {
        let serial = self.serial();
        let mut usages = Vec::new();
        if wanted.client_auth {
            usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        if wanted.server_auth {
            usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        let foreign;
        let root = match (&wanted.root, wanted.foreign) {
            (_, true) => {
                foreign = self.make_root(KeyKind::EcP256, 0)?;
                &foreign
            }
            (Some(id), false) => self
                .roots
                .iter()
                .find(|root| root.id == *id)
                .ok_or_else(|| CaError::UnknownRoot(id.clone()))?,
            (None, false) => self.active()?,
        };
        let key = CaKey::generate(wanted.key)?;
        let spec = LeafSpec {
            serial,
            uris: wanted.uris.clone(),
            dns: wanted.dns.clone(),
            ips: Vec::new(),
            not_before: wanted.not_before,
            not_after: wanted.not_after,
            usages: &usages,
            ca: wanted.ca,
            common_name: wanted.common_name.clone(),
        };
        let leaf = sign_leaf(&spec, &key.pair, &root.key, &root.name)?;
        Ok(Minted {
            chain_pem: chain(&leaf, &root.intermediates),
            key_pem: key.pair.serialize_pem(),
            root_pem: root.pem.clone(),
        })
    }

    fn serial(&mut self) -> u64 {
        self.next_serial += 1;
        self.next_serial
    }

    fn make_root(&mut self, kind: KeyKind, index: u64) -> Result<Root, CaError> {
        let key = CaKey::generate(kind)?;
        let serial = self.serial();
        let not_before = SystemTime::now();
        let not_after = not_before + ROOT_TTL;
        let name = common_name(&self.trust_domain);
        let params = ca_params(
            &name,
            &self.trust_domain,
            serial,
            not_before,
            not_after,
            &key,
        )?;
        let certificate = params.self_signed(&key.pair)?;
        let der = certificate.der();
        Ok(Root {
            id: der::colon_hex(&der::sha1(der)),
            pem: der::pem("CERTIFICATE", der),
            key,
            name,
            serial,
            not_before,
            not_after,
            intermediates: Vec::new(),
            active: true,
            trust_domain: self.trust_domain.clone(),
            create_index: index,
            modify_index: index,
            rotated_out: None,
        })
    }
}

fn chain(leaf: &[u8], intermediates: &[String]) -> String {
    let mut pem = der::pem("CERTIFICATE", leaf);
    for intermediate in intermediates {
        pem.push_str(intermediate);
    }
    pem
}

fn ca_params(
    name: &str,
    trust_domain: &str,
    serial: u64,
    not_before: SystemTime,
    not_after: SystemTime,
    key: &CaKey,
) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let uri = Ia5String::try_from(format!("spiffe://{trust_domain}"))?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    params.not_before = not_before.into();
    params.not_after = not_after.into();
    params.serial_number = Some(SerialNumber::from(serial));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
    ];
    params.key_identifier_method = KeyIdMethod::PreSpecified(key.identifier());
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// The new root's key and name, signed by the old root, for verifiers that know only the old one.
fn cross_signed(new: &Root, old: &Root, serial: u64) -> Result<String, CaError> {
    let not_before = SystemTime::now() - BACKDATE;
    let not_after = not_before + CROSS_SIGNED_TTL;
    let params = ca_params(
        &new.name,
        &new.trust_domain,
        serial,
        not_before,
        not_after,
        &new.key,
    )?;
    let issuer_params = issuer_params(&old.key, &old.name);
    let issuer = Issuer::from_params(&issuer_params, &old.key.pair);
    let certificate = params.signed_by(&new.key.pair, &issuer)?;
    Ok(der::pem("CERTIFICATE", certificate.der()))
}

/// `pri-1oq6ty2f.consul.ca.493359d0.consul`
fn common_name(trust_domain: &str) -> String {
    let mut rng = rand::rng();
    let tag: String = (0..8)
        .map(|_| char::from_digit(rng.random_range(0..36), 36).unwrap_or('0'))
        .collect();
    let short: String = trust_domain.chars().take(8).collect();
    format!("pri-{tag}.consul.ca.{short}.consul")
}

fn serial_text(serial: u64) -> String {
    let bytes = serial.to_be_bytes();
    let skip = bytes.iter().take_while(|byte| **byte == 0).count().min(7);
    der::colon_hex(&bytes[skip..])
}

/// Certificates count in whole seconds: what is said of one must be what is in it.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(time, |since| {
        SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
    })
}
