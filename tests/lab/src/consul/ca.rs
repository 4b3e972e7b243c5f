//! The mesh's CA: keys of our own, and rotation.

use std::fmt;

use serde_json::{Value, json};

use super::Agent;
use crate::Error;

/// A CA of a test's own: whoever holds the key can sign leafs that Consul itself would refuse to.
#[derive(Clone)]
pub struct OwnCa {
    key_pem: String,
    root_pem: String,
}

impl OwnCa {
    /// From a private key and its self-signed certificate, both PEM.
    #[must_use]
    pub fn new(key_pem: impl Into<String>, root_pem: impl Into<String>) -> Self {
        Self {
            key_pem: key_pem.into(),
            root_pem: root_pem.into(),
        }
    }

    /// The private key, PEM.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The root certificate, PEM.
    #[must_use]
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }
}

impl fmt::Debug for OwnCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnCa").finish_non_exhaustive()
    }
}

impl Agent {
    /// Replaces the configuration of the built-in CA. Another key, key type or key size rotates the root:
    /// `{"PrivateKeyType": "rsa", "PrivateKeyBits": 2048}`.
    ///
    /// # Errors
    /// When Consul refuses.
    pub async fn configure_ca(&self, config: &Value) -> Result<(), Error> {
        self.put_ca(config, false).await
    }

    /// As [`configure_ca`](Self::configure_ca), without the old root vouching for the new one.
    ///
    /// # Errors
    /// When Consul refuses.
    pub async fn configure_ca_without_cross_signing(&self, config: &Value) -> Result<(), Error> {
        self.put_ca(config, true).await
    }

    /// Rotates to a CA of our own.
    ///
    /// # Errors
    /// When Consul refuses.
    pub async fn rotate_to(&self, ca: &OwnCa) -> Result<(), Error> {
        self.configure_ca(&json!({ "PrivateKey": ca.key_pem(), "RootCert": ca.root_pem() }))
            .await
    }

    async fn put_ca(&self, config: &Value, force: bool) -> Result<(), Error> {
        let body =
            json!({ "Provider": "consul", "Config": config, "ForceWithoutCrossSigning": force });
        self.http()
            .put("/v1/connect/ca/configuration", &body)
            .await?
            .ok()
            .map(drop)
    }
}
