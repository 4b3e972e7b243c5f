//! Makes tokens: with the keys of TLS, whose signatures it has to rewrite.

use std::sync::{Arc, LazyLock};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{KeyPair, PublicKeyData};
use rustls::{SignatureScheme, sign::SigningKey};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};

use super::{super::algorithm::KeyKind, Algorithm};

/// Whoever issues tokens.
#[derive(Clone)]
pub(super) struct Signer {
    pub(super) algorithm: Algorithm,
    key: Arc<dyn SigningKey>,
    /// Its public key, without `alg` and `use`.
    pub(super) jwk: Value,
}

/// An RSA key takes long to make.
static RSA: LazyLock<KeyPair> = LazyLock::new(|| {
    KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).expect("a key")
});

pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    pub(super) fn new(algorithm: Algorithm, id: &str) -> Self {
        let made;
        let pair = match algorithm.kind() {
            KeyKind::Rsa => &*RSA,
            KeyKind::P256 => {
                made = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
                &made
            }
            KeyKind::P384 => {
                made = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("a key");
                &made
            }
            KeyKind::P521 => {
                made = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).expect("a key");
                &made
            }
            KeyKind::Ed25519 => {
                made = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
                &made
            }
        };
        let public = pair.der_bytes();
        let mut jwk = match algorithm.kind() {
            KeyKind::Rsa => {
                let (n, e) = two_integers(public);
                json!({ "kty": "RSA", "n": encode(n), "e": encode(e) })
            }
            KeyKind::Ed25519 => json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(public) }),
            kind @ (KeyKind::P256 | KeyKind::P384 | KeyKind::P521) => {
                let coordinate = kind.coordinate().expect("a curve");
                let (x, y) = public[1..].split_at(coordinate);
                let curve = match kind {
                    KeyKind::P256 => "P-256",
                    KeyKind::P384 => "P-384",
                    _ => "P-521",
                };
                json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y) })
            }
        };
        jwk["kid"] = json!(id);
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
        let key = super::cryptography()
            .key_provider
            .load_private_key(private)
            .expect("a key for TLS");
        Self {
            algorithm,
            key,
            jwk,
        }
    }

    pub(super) fn es256() -> Self {
        Self::new(Algorithm::Es256, "1")
    }

    /// A token with the header it should have.
    pub(super) fn token(&self, claims: &Value) -> String {
        let header = json!({ "alg": self.algorithm.name(), "kid": self.jwk["kid"], "typ": "JWT" });
        self.token_of(&header.to_string(), &claims.to_string())
    }

    /// A token of these texts, which need not be JSON.
    pub(super) fn token_of(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = self.sign(signed.as_bytes());
        format!("{signed}.{}", encode(signature))
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let scheme = match self.algorithm {
            Algorithm::Rs256 => SignatureScheme::RSA_PKCS1_SHA256,
            Algorithm::Rs384 => SignatureScheme::RSA_PKCS1_SHA384,
            Algorithm::Rs512 => SignatureScheme::RSA_PKCS1_SHA512,
            Algorithm::Ps256 => SignatureScheme::RSA_PSS_SHA256,
            Algorithm::Ps384 => SignatureScheme::RSA_PSS_SHA384,
            Algorithm::Ps512 => SignatureScheme::RSA_PSS_SHA512,
            Algorithm::Es256 => SignatureScheme::ECDSA_NISTP256_SHA256,
            Algorithm::Es384 => SignatureScheme::ECDSA_NISTP384_SHA384,
            Algorithm::Es512 => SignatureScheme::ECDSA_NISTP521_SHA512,
            Algorithm::EdDsa => SignatureScheme::ED25519,
        };
        let signer = self.key.choose_scheme(&[scheme]).expect("its scheme");
        let signature = signer.sign(message).expect("a signature");
        let Some(coordinate) = self.algorithm.kind().coordinate() else {
            return signature;
        };
        let (r, s) = two_integers(&signature);
        let mut fixed = vec![0; 2 * coordinate];
        fixed[coordinate - r.len()..coordinate].copy_from_slice(r);
        fixed[2 * coordinate - s.len()..].copy_from_slice(s);
        fixed
    }
}

/// The two numbers of `SEQUENCE { INTEGER, INTEGER }`.
fn two_integers(der: &[u8]) -> (&[u8], &[u8]) {
    let (content, rest) = value(der);
    assert!(rest.is_empty());
    let (first, rest) = value(content);
    let (second, rest) = value(rest);
    assert!(rest.is_empty());
    (digits(first), digits(second))
}

fn digits(number: &[u8]) -> &[u8] {
    number.strip_prefix(&[0]).unwrap_or(number)
}

fn value(der: &[u8]) -> (&[u8], &[u8]) {
    let (length, at) = match der[1] {
        short @ ..=0x7f => (usize::from(short), 2),
        0x81 => (usize::from(der[2]), 3),
        _ => (usize::from(der[2]) << 8 | usize::from(der[3]), 4),
    };
    der[at..].split_at(length)
}
