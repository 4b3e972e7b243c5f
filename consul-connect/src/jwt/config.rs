//! How tokens are verified, as far as Consul does not say it.

use std::{fmt, sync::Arc};

use rustls::{
    crypto::CryptoProvider,
    time_provider::{DefaultTimeProvider, TimeProvider},
};

/// How the tokens that intentions require are verified, as far as Consul's entries do not say it.
#[derive(Clone)]
pub struct JwtConfig {
    pub(super) provider: Option<Arc<CryptoProvider>>,
    pub(super) time: Arc<dyn TimeProvider>,
    pub(super) certificates: Option<Arc<[u8]>>,
    pub(super) plaintext: bool,
}

impl Default for JwtConfig {
    fn default() -> Self {
        Self {
            provider: None,
            time: Arc::new(DefaultTimeProvider),
            certificates: None,
            plaintext: false,
        }
    }
}

impl JwtConfig {
    /// The cryptography to verify with. Default [`crypto_provider`](crate::crypto_provider).
    #[must_use]
    pub fn crypto_provider(mut self, provider: Arc<CryptoProvider>) -> Self {
        self.provider = Some(provider);
        self
    }

    /// The wall clock that tokens are held against. Default: the system's.
    #[must_use]
    pub fn time_provider(mut self, time: Arc<dyn TimeProvider>) -> Self {
        self.time = time;
        self
    }

    /// PEM certificates of the authorities of the servers that keys are fetched from, for entries that name none. Default: those the
    /// system trusts.
    #[must_use]
    pub fn trusted_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.certificates = Some(pem.into().into());
        self
    }

    /// Fetches keys over `http://` from other hosts, too.
    ///
    /// # Security
    /// Whoever is on the way can then give out keys of their own, and with them make every token they like.
    #[must_use]
    pub fn dangerously_allow_plaintext_keys(mut self) -> Self {
        self.plaintext = true;
        self
    }
}

impl fmt::Debug for JwtConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtConfig")
            .field("own_certificates", &self.certificates.is_some())
            .field("plaintext", &self.plaintext)
            .finish_non_exhaustive()
    }
}
