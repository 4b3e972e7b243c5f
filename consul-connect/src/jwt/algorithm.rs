//! What tokens may be signed with: RFC 7518 section 3.1 and RFC 8037.

use rustls::crypto::CryptoProvider;
use rustls_pki_types::{AlgorithmIdentifier, SignatureVerificationAlgorithm, alg_id};

use super::InvalidToken;

/// A signature algorithm with public keys. Those with shared secrets are left out: whoever may verify could sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

/// What a key is, which decides the algorithms it can be used with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    Rsa,
    P256,
    P384,
    P521,
    Ed25519,
}

impl Algorithm {
    pub(super) const ALL: [Self; 10] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::EdDsa,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
    }

    /// The algorithm a token names.
    ///
    /// # Errors
    /// What is wrong with the name. It came with the token and is not repeated, unless it is one of the known words.
    pub(super) fn of_token(name: &str) -> Result<Self, InvalidToken> {
        if let Some(algorithm) = Self::named(name) {
            return Ok(algorithm);
        }
        Err(match name {
            _ if name.eq_ignore_ascii_case("none") => InvalidToken::Unsigned,
            "HS256" | "HS384" | "HS512" => InvalidToken::SharedSecret,
            _ => InvalidToken::UnknownAlgorithm,
        })
    }

    pub(super) const fn kind(self) -> KeyKind {
        match self {
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => {
                KeyKind::Rsa
            }
            Self::Es256 => KeyKind::P256,
            Self::Es384 => KeyKind::P384,
            Self::Es512 => KeyKind::P521,
            Self::EdDsa => KeyKind::Ed25519,
        }
    }

    /// The names of the key and of the signature in X.509.
    const fn identifiers(self) -> (AlgorithmIdentifier, AlgorithmIdentifier) {
        match self {
            Self::Rs256 => (alg_id::RSA_ENCRYPTION, alg_id::RSA_PKCS1_SHA256),
            Self::Rs384 => (alg_id::RSA_ENCRYPTION, alg_id::RSA_PKCS1_SHA384),
            Self::Rs512 => (alg_id::RSA_ENCRYPTION, alg_id::RSA_PKCS1_SHA512),
            Self::Ps256 => (alg_id::RSA_ENCRYPTION, alg_id::RSA_PSS_SHA256),
            Self::Ps384 => (alg_id::RSA_ENCRYPTION, alg_id::RSA_PSS_SHA384),
            Self::Ps512 => (alg_id::RSA_ENCRYPTION, alg_id::RSA_PSS_SHA512),
            Self::Es256 => (alg_id::ECDSA_P256, alg_id::ECDSA_SHA256),
            Self::Es384 => (alg_id::ECDSA_P384, alg_id::ECDSA_SHA384),
            Self::Es512 => (alg_id::ECDSA_P521, alg_id::ECDSA_SHA512),
            Self::EdDsa => (alg_id::ED25519, alg_id::ED25519),
        }
    }

    /// The code that verifies it; `None` if this cryptography has none.
    pub(super) fn verifier(
        self,
        provider: &CryptoProvider,
    ) -> Option<&'static dyn SignatureVerificationAlgorithm> {
        let (key, signature) = self.identifiers();
        let all = provider.signature_verification_algorithms.all;
        all.iter().copied().find(|candidate| {
            candidate.public_key_alg_id() == key && candidate.signature_alg_id() == signature
        })
    }
}

impl KeyKind {
    /// How many bytes a coordinate of its curve has, and each half of a signature.
    pub(super) const fn coordinate(self) -> Option<usize> {
        match self {
            Self::P256 => Some(32),
            Self::P384 => Some(48),
            Self::P521 => Some(66),
            Self::Rsa | Self::Ed25519 => None,
        }
    }
}
