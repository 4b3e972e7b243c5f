//! One key of a set: RFC 7517, RFC 7518 section 6, RFC 8037.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::crypto::CryptoProvider;
use rustls_pki_types::SignatureVerificationAlgorithm;
use serde::Deserialize;

use super::{
    algorithm::{Algorithm, KeyKind},
    der,
};

/// RSA keys of other sizes are verified by nobody here (NIST SP 800-131A).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A public key, ready to verify.
pub(super) struct Key {
    id: Option<String>,
    kind: KeyKind,
    /// As `subjectPublicKey` has it in X.509.
    public: Vec<u8>,
    /// What it may be used with.
    verifiers: Vec<(Algorithm, &'static dyn SignatureVerificationAlgorithm)>,
}

/// Why a key of a set is not used. The others are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnusableKey {
    #[error("it is no JSON web key")]
    Malformed,
    #[error("its type is unknown, or a shared secret")]
    Type,
    #[error("its curve is unknown")]
    Curve,
    #[error("it is not for verifying signatures")]
    Use,
    #[error("its algorithm is unknown, or does not fit its type")]
    Algorithm,
    #[error("its {0:?} is missing or cannot be read")]
    Parameter(&'static str),
    #[error("it is an RSA key of {0} bits; usable are 2048 to 8192")]
    Size(usize),
    #[error("the cryptography of this build cannot verify with it")]
    NoCryptography,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Key {
    /// # Errors
    /// Why the key cannot be used.
    pub(super) fn parse(
        json: serde_json::Value,
        provider: &CryptoProvider,
    ) -> Result<Self, UnusableKey> {
        // An array of its values would do for serde.
        let object = Some(json).filter(serde_json::Value::is_object);
        let jwk: Jwk = object
            .and_then(|json| serde_json::from_value(json).ok())
            .ok_or(UnusableKey::Malformed)?;
        let for_others = jwk.usage.as_deref().is_some_and(|usage| usage != "sig");
        let no_verify = |operations: &Vec<String>| operations.iter().all(|one| one != "verify");
        if for_others || jwk.key_ops.as_ref().is_some_and(no_verify) {
            return Err(UnusableKey::Use);
        }
        let (kind, public) = jwk.public()?;
        let only = match &jwk.alg {
            None => None,
            Some(name) => Some(Algorithm::named(name).ok_or(UnusableKey::Algorithm)?),
        };
        let mut fitting = Algorithm::ALL
            .into_iter()
            .filter(|algorithm| algorithm.kind() == kind)
            .filter(|algorithm| only.is_none_or(|only| only == *algorithm))
            .peekable();
        if fitting.peek().is_none() {
            return Err(UnusableKey::Algorithm);
        }
        let verifiers: Vec<_> = fitting
            .filter_map(|algorithm| Some((algorithm, algorithm.verifier(provider)?)))
            .collect();
        if verifiers.is_empty() {
            return Err(UnusableKey::NoCryptography);
        }
        Ok(Self {
            id: jwk.kid,
            kind,
            public,
            verifiers,
        })
    }

    /// The code to verify a token with that names this key id and algorithm. A key or a token without an id fits any.
    pub(super) fn verifier(
        &self,
        key_id: Option<&str>,
        algorithm: Algorithm,
    ) -> Option<&'static dyn SignatureVerificationAlgorithm> {
        if let (Some(ours), Some(theirs)) = (self.id.as_deref(), key_id)
            && ours != theirs
        {
            return None;
        }
        let (_, verifier) = self.verifiers.iter().find(|(may, _)| *may == algorithm)?;
        Some(*verifier)
    }

    pub(super) fn made(
        &self,
        verifier: &dyn SignatureVerificationAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let verify = |signature: &[u8]| {
            verifier
                .verify_signature(&self.public, message, signature)
                .is_ok()
        };
        let Some(coordinate) = self.kind.coordinate() else {
            return verify(signature);
        };
        match signature.split_at_checked(coordinate) {
            // RFC 7518 section 3.4: r and s, each at its full length.
            Some((r, s)) if s.len() == coordinate => verify(&der::two_integers(r, s)),
            _ => false,
        }
    }
}

impl Jwk {
    fn public(&self) -> Result<(KeyKind, Vec<u8>), UnusableKey> {
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => {
                let (n, e) = (bytes(&self.n, "n")?, bytes(&self.e, "e")?);
                let n = der::without_leading_zeros(&n);
                let unused = n.first().map_or(0, |first| first.leading_zeros() as usize);
                let bits = n.len() * 8 - unused;
                if !RSA_BITS.contains(&bits) {
                    return Err(UnusableKey::Size(bits));
                }
                Ok((KeyKind::Rsa, der::two_integers(n, &e)))
            }
            ("EC", curve) => {
                let (kind, length) = match curve {
                    Some("P-256") => (KeyKind::P256, 32),
                    Some("P-384") => (KeyKind::P384, 48),
                    Some("P-521") => (KeyKind::P521, 66),
                    _ => return Err(UnusableKey::Curve),
                };
                let mut point = Vec::with_capacity(1 + 2 * length);
                // SEC 1 section 2.3.3: uncompressed.
                point.push(4);
                for (value, name) in [(&self.x, "x"), (&self.y, "y")] {
                    let value = bytes(value, name)?;
                    // RFC 7518 section 6.2.1.2: the full length. Shorter ones are in use all the same.
                    let digits = der::without_leading_zeros(&value);
                    let missing = length
                        .checked_sub(digits.len())
                        .ok_or(UnusableKey::Parameter(name))?;
                    point.resize(point.len() + missing, 0);
                    point.extend_from_slice(digits);
                }
                Ok((kind, point))
            }
            ("OKP", Some("Ed25519")) => {
                let x = bytes(&self.x, "x")?;
                if x.len() == 32 {
                    Ok((KeyKind::Ed25519, x))
                } else {
                    Err(UnusableKey::Parameter("x"))
                }
            }
            ("OKP", _) => Err(UnusableKey::Curve),
            _ => Err(UnusableKey::Type),
        }
    }
}

fn bytes(value: &Option<String>, name: &'static str) -> Result<Vec<u8>, UnusableKey> {
    let decoded = value.as_deref().map(|text| URL_SAFE_NO_PAD.decode(text));
    match decoded {
        Some(Ok(bytes)) if !bytes.is_empty() => Ok(bytes),
        _ => Err(UnusableKey::Parameter(name)),
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms = self.verifiers.iter().map(|(algorithm, _)| algorithm.name());
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithms", &algorithms.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
