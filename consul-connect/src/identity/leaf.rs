use std::{fmt, sync::Arc};

use rustls::{crypto::CryptoProvider, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject};

use super::{InvalidMaterial, Material};
use crate::{
    ServiceId,
    tls::{Roots, Usage, verify},
};

/// Our certificate chain and its key, for one period of validity.
#[derive(Clone)]
pub struct Leaf {
    key: Arc<CertifiedKey>,
    id: ServiceId,
    not_before: UnixTime,
    not_after: UnixTime,
    serial: Arc<str>,
}

impl Leaf {
    /// Who it says we are.
    pub fn id(&self) -> &ServiceId {
        &self.id
    }

    /// When it begins to be valid.
    pub fn not_before(&self) -> UnixTime {
        self.not_before
    }

    /// When it ends.
    pub fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// The serial number, as hex bytes joined by `:`.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    pub(crate) fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert
    }

    /// Parses it, and verifies it as a peer would, for both parts it will play.
    pub(super) fn validate(
        material: &Material,
        chain: Vec<CertificateDer<'static>>,
        roots: &Roots,
        provider: &CryptoProvider,
        now: UnixTime,
    ) -> Result<Self, InvalidMaterial> {
        let key =
            PrivateKeyDer::from_pem_slice(material.key_pem.expose().as_bytes()).map_err(|_e| {
                InvalidMaterial::Key("it is not PEM of a SEC1, PKCS#8 or PKCS#1 key".into())
            })?;
        let key = provider
            .key_provider
            .load_private_key(key)
            .map_err(|e| InvalidMaterial::Key(e.to_string()))?;
        let algorithms = &provider.signature_verification_algorithms;
        let verified = verify(&chain, roots, algorithms, Usage::Client, now)
            .and_then(|_| verify(&chain, roots, algorithms, Usage::Server, now))
            .map_err(InvalidMaterial::Leaf)?;
        let key = CertifiedKey::new(chain, key);
        key.keys_match()
            .map_err(|_e| InvalidMaterial::KeyMismatch)?;
        Ok(Self {
            key: Arc::new(key),
            id: verified.id,
            not_before: verified.not_before,
            not_after: verified.not_after,
            serial: verified.serial.into(),
        })
    }
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf")
            .field("id", &self.id)
            .field("serial", &self.serial)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}
