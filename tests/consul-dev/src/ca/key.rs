//! Keys of authorities and of leafs.

use rcgen::{KeyPair, PublicKeyData as _, RsaKeySize, SignatureAlgorithm};

use super::CaError;

/// The key types a root can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyKind {
    /// ECDSA on P-256, Consul's default.
    #[default]
    EcP256,
    /// ECDSA on P-384. Leafs are signed with SHA-256 all the same, as the real one does.
    EcP384,
    /// RSA, 2048 bits. Leafs keep P-256 keys and are signed with SHA-256.
    Rsa2048,
}

impl KeyKind {
    /// `PrivateKeyType` and `PrivateKeyBits` of Consul's configuration.
    pub(crate) fn wire(self) -> (&'static str, u64) {
        match self {
            Self::EcP256 => ("ec", 256),
            Self::EcP384 => ("ec", 384),
            Self::Rsa2048 => ("rsa", 2048),
        }
    }

    /// The kind for a configuration's `PrivateKeyType` and `PrivateKeyBits`, where this crate can make it.
    pub(crate) fn from_wire(kind: &str, bits: u64) -> Option<Self> {
        match (kind, bits) {
            ("ec" | "", 256 | 0) => Some(Self::EcP256),
            ("ec" | "", 384) => Some(Self::EcP384),
            ("rsa", 2048 | 0) => Some(Self::Rsa2048),
            _ => None,
        }
    }

    fn algorithm(self) -> &'static SignatureAlgorithm {
        match self {
            Self::EcP256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Self::EcP384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Self::Rsa2048 => &rcgen::PKCS_RSA_SHA256,
        }
    }
}

/// A private key of the authority or of a leaf that was minted for a test.
#[derive(Debug)]
pub(crate) struct CaKey {
    pub(crate) kind: KeyKind,
    pub(crate) pair: KeyPair,
}

impl CaKey {
    pub(crate) fn generate(kind: KeyKind) -> Result<Self, CaError> {
        let pair = match kind {
            KeyKind::Rsa2048 => KeyPair::generate_rsa_for(kind.algorithm(), RsaKeySize::_2048),
            KeyKind::EcP256 | KeyKind::EcP384 => KeyPair::generate_for(kind.algorithm()),
        }
        .map_err(|error| CaError::Key(error.to_string()))?;
        Ok(Self { kind, pair })
    }

    /// SHA-256 of the public key, whole: what Consul writes as key identifier.
    pub(crate) fn identifier(&self) -> Vec<u8> {
        super::der::sha256(&self.pair.subject_public_key_info())
    }
}
