//! Signing leafs: the regular ones, and wrong ones on request.

use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{Digest, SHA384};
use aws_lc_rs::encoding::AsBigEndian as _;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};

use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::key::{CaKey, KeyKind};
use super::{CaError, der};

/// What a leaf says. Everything a test may want wrong is a field.
#[derive(Debug)]
pub(crate) struct LeafSpec<'a> {
    pub(crate) serial: u64,
    pub(crate) uris: Vec<String>,
    pub(crate) dns: Vec<String>,
    pub(crate) ips: Vec<std::net::IpAddr>,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
    pub(crate) usages: &'a [ExtendedKeyUsagePurpose],
    pub(crate) ca: bool,
    pub(crate) common_name: Option<String>,
}

pub(crate) const BOTH_USAGES: &[ExtendedKeyUsagePurpose] = &[
    ExtendedKeyUsagePurpose::ClientAuth,
    ExtendedKeyUsagePurpose::ServerAuth,
];

/// A P-256 key made here, in both encodings Consul and Rust use.
pub(crate) struct LeafKey {
    pair: rcgen::KeyPair,
    pub(crate) sec1_pem: String,
}

impl LeafKey {
    pub(crate) fn generate() -> Result<Self, CaError> {
        let unusable = |what: &str| CaError::Key(what.to_owned());
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
            .map_err(|_unspecified| unusable("generating a P-256 key"))?;
        let scalar = key
            .private_key()
            .as_be_bytes()
            .map_err(|_unspecified| unusable("reading a P-256 key"))?;
        let sec1 = der::sec1_p256(scalar.as_ref(), key.public_key().as_ref());
        let pkcs8 = key
            .to_pkcs8v1()
            .map_err(|_unspecified| unusable("encoding a P-256 key"))?;
        let pair = rcgen::KeyPair::try_from(pkcs8.as_ref())?;
        Ok(Self {
            pair,
            sec1_pem: der::pem("EC PRIVATE KEY", &sec1),
        })
    }

    pub(crate) fn public(&self) -> &rcgen::KeyPair {
        &self.pair
    }
}

/// SHA-256 of a public key's `SubjectPublicKeyInfo`.
pub(crate) fn key_identifier(key: &impl PublicKeyData) -> Vec<u8> {
    der::sha256(&key.subject_public_key_info())
}

/// Signs a leaf, DER.
pub(crate) fn sign_leaf(
    spec: &LeafSpec<'_>,
    key: &impl PublicKeyData,
    signer: &CaKey,
    signer_name: &str,
) -> Result<Vec<u8>, CaError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if let Some(name) = &spec.common_name {
        params
            .distinguished_name
            .push(DnType::CommonName, name.as_str());
    }
    for uri in &spec.uris {
        let uri = Ia5String::try_from(uri.as_str())?;
        params.subject_alt_names.push(SanType::URI(uri));
    }
    for name in &spec.dns {
        let name = Ia5String::try_from(name.as_str())?;
        params.subject_alt_names.push(SanType::DnsName(name));
    }
    for ip in &spec.ips {
        params.subject_alt_names.push(SanType::IpAddress(*ip));
    }
    params.not_before = spec.not_before.into();
    params.not_after = spec.not_after.into();
    params.serial_number = Some(SerialNumber::from(spec.serial));
    params.is_ca = if spec.ca {
        IsCa::Ca(BasicConstraints::Unconstrained)
    } else {
        IsCa::ExplicitNoCa
    };
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::DataEncipherment,
        KeyUsagePurpose::KeyAgreement,
    ];
    if spec.ca {
        params.key_usages.push(KeyUsagePurpose::KeyCertSign);
    }
    params.extended_key_usages = spec.usages.to_vec();
    params.key_identifier_method = KeyIdMethod::PreSpecified(key_identifier(key));
    params.use_authority_key_identifier_extension = true;
    let issuer_params = issuer_params(signer, signer_name);
    let issuer = Issuer::from_params(&issuer_params, &signer.pair);
    let certificate = params.signed_by(key, &issuer)?;
    match signer.kind {
        // Consul signs leafs with SHA-256 whatever the curve; rcgen pairs P-384 with SHA-384.
        KeyKind::EcP384 => with_sha256(certificate.der(), signer),
        KeyKind::EcP256 | KeyKind::Rsa2048 => Ok(certificate.der().to_vec()),
    }
}

/// `AlgorithmIdentifier` of ecdsa-with-SHA384 and ecdsa-with-SHA256.
const ECDSA_SHA384: &[u8] = &[
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03,
];
const ECDSA_SHA256: &[u8] = &[
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02,
];

/// The same certificate, signed anew with the P-384 key over SHA-256.
fn with_sha256(certificate: &[u8], signer: &CaKey) -> Result<Vec<u8>, CaError> {
    let unusable = |what: &str| CaError::Certificate(what.to_owned());
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|_unspecified| unusable("reading back a certificate"))?;
    let mut body = parsed.tbs_certificate.as_ref().to_vec();
    let at = body
        .windows(ECDSA_SHA384.len())
        .position(|window| window == ECDSA_SHA384)
        .ok_or_else(|| unusable("finding the signature algorithm"))?;
    body.splice(at..at + ECDSA_SHA384.len(), ECDSA_SHA256.iter().copied());
    let key = signer.pair.serialize_der();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, &key)
        .map_err(|_unspecified| CaError::Key("reading the P-384 key".to_owned()))?;
    // The key takes digests of 48 bytes only. ECDSA signs the digest as a number, and a number is the same with zeros before
    // it: what comes out is the signature of the shorter digest.
    let mut digest = vec![0; 16];
    digest.extend(der::sha256(&body));
    let signature = Digest::import_less_safe(&digest, &SHA384)
        .and_then(|digest| key.sign_digest(&digest))
        .map_err(|_unspecified| unusable("signing with SHA-256"))?;
    let signature = der::bit_string(signature.as_ref());
    Ok(der::sequence(&[&body, ECDSA_SHA256, &signature]))
}

/// The issuer half of a certificate: name and key identifier.
pub(super) fn issuer_params(signer: &CaKey, name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_identifier_method = KeyIdMethod::PreSpecified(signer.identifier());
    params
}

/// A leaf for a test, wrong in the ways it says, signed by the active root (or another key altogether).
///
/// Made by [`ConsulDev::bad_leaf`](crate::ConsulDev::bad_leaf); what is not set is as Consul would sign it.
#[derive(Clone, Debug)]
pub struct BadLeaf {
    pub(crate) uris: Vec<String>,
    pub(crate) dns: Vec<String>,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
    pub(crate) client_auth: bool,
    pub(crate) server_auth: bool,
    pub(crate) ca: bool,
    pub(crate) key: KeyKind,
    pub(crate) common_name: Option<String>,
    pub(crate) foreign: bool,
    pub(crate) root: Option<String>,
}

impl BadLeaf {
    pub(crate) fn new(uri: String) -> Self {
        let now = SystemTime::now();
        Self {
            uris: vec![uri],
            dns: Vec::new(),
            not_before: now - Duration::from_secs(60),
            not_after: now + Duration::from_secs(72 * 3600),
            client_auth: true,
            server_auth: true,
            ca: false,
            key: KeyKind::EcP256,
            common_name: None,
            foreign: false,
            root: None,
        }
    }

    /// Replaces the URI SANs: none, one, or several.
    #[must_use]
    pub fn uris<I, S>(mut self, uris: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.uris = uris.into_iter().map(Into::into).collect();
        self
    }

    /// Adds DNS SANs.
    #[must_use]
    pub fn dns<I, S>(mut self, names: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.dns = names.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the validity window.
    #[must_use]
    pub fn valid(mut self, not_before: SystemTime, not_after: SystemTime) -> Self {
        self.not_before = not_before;
        self.not_after = not_after;
        self
    }

    /// A window that ended `since` ago.
    #[must_use]
    pub fn expired(self, since: Duration) -> Self {
        let end = SystemTime::now() - since;
        self.valid(end - Duration::from_secs(3600), end)
    }

    /// A window that begins `ahead` from now.
    #[must_use]
    pub fn not_yet_valid(self, ahead: Duration) -> Self {
        let start = SystemTime::now() + ahead;
        self.valid(start, start + Duration::from_secs(3600))
    }

    /// Which extended key usages the leaf carries; Consul's leafs carry both.
    #[must_use]
    pub fn usages(mut self, client_auth: bool, server_auth: bool) -> Self {
        self.client_auth = client_auth;
        self.server_auth = server_auth;
        self
    }

    /// Marks the leaf as a certificate authority.
    #[must_use]
    pub fn ca(mut self, ca: bool) -> Self {
        self.ca = ca;
        self
    }

    /// The leaf's own key.
    #[must_use]
    pub fn key(mut self, kind: KeyKind) -> Self {
        self.key = kind;
        self
    }

    /// Gives the leaf a subject; Consul's leafs have none.
    #[must_use]
    pub fn common_name(mut self, name: impl Into<String>) -> Self {
        self.common_name = Some(name.into());
        self
    }

    /// Signs with a fresh key that is no root of this Consul, under the active root's name.
    #[must_use]
    pub fn foreign_ca(mut self) -> Self {
        self.foreign = true;
        self
    }

    /// Signs with the listed root of this id instead of the active one.
    #[must_use]
    pub fn root(mut self, id: impl Into<String>) -> Self {
        self.root = Some(id.into());
        self
    }
}

/// A certificate with its key, as a test hands it to a TLS stack.
#[derive(Clone)]
#[non_exhaustive]
pub struct Minted {
    /// The leaf and what must be sent with it, PEM, leaf first.
    pub chain_pem: String,
    /// The leaf's private key, PKCS#8 PEM.
    pub key_pem: String,
    /// The root that anchors the chain, PEM (the foreign one if asked for).
    pub root_pem: String,
}

impl std::fmt::Debug for Minted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Minted")
            .field("chain_pem", &self.chain_pem)
            .finish_non_exhaustive()
    }
}
