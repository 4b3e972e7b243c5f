use std::fmt;

use zeroize::Zeroizing;

use crate::TrustDomain;

/// What an identity source delivers: one leaf, its key, and the roots to trust, which belong together.
///
/// It is text as it came. [`Identity`](crate::Identity) parses it, and publishes it only when the leaf fits the key,
/// is valid now, and verifies under these roots exactly as a peer would verify it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Material {
    /// The leaf, then intermediates in any order, as PEM.
    pub chain_pem: String,
    /// The leaf's private key as PEM: SEC1 (`EC PRIVATE KEY`), PKCS#8 or PKCS#1.
    pub key_pem: KeyPem,
    /// Every root to trust, as PEM.
    pub roots_pem: Vec<String>,
    /// The trust domain, where the source knows it apart from the roots themselves.
    pub trust_domain: Option<TrustDomain>,
}

impl Material {
    /// Material whose trust domain is the one its roots name.
    pub fn new(
        chain_pem: impl Into<String>,
        key_pem: impl Into<KeyPem>,
        roots_pem: Vec<String>,
    ) -> Self {
        Self {
            chain_pem: chain_pem.into(),
            key_pem: key_pem.into(),
            roots_pem,
            trust_domain: None,
        }
    }

    /// Names the trust domain the roots stand for.
    #[must_use]
    pub fn with_trust_domain(mut self, trust_domain: TrustDomain) -> Self {
        self.trust_domain = Some(trust_domain);
        self
    }
}

/// A private key as PEM text: never printed, erased from memory when dropped.
#[derive(Clone)]
pub struct KeyPem(Zeroizing<String>);

impl KeyPem {
    /// The PEM text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for KeyPem {
    fn from(pem: String) -> Self {
        Self(Zeroizing::new(pem))
    }
}

impl From<&str> for KeyPem {
    fn from(pem: &str) -> Self {
        Self(Zeroizing::new(pem.to_owned()))
    }
}

impl fmt::Debug for KeyPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPem(..)")
    }
}
