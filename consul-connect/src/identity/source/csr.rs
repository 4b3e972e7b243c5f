//! A key of our own, and the request for a certificate to it.

use crate::{KeyPem, ServiceId};

/// A key that has not left this process, and the request that is sent in its place.
pub(super) struct Request {
    pub(super) key_pem: KeyPem,
    pub(super) csr_pem: String,
}

/// Why a request could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum CsrError {
    #[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
    #[error("making a key and a certificate request for {id}")]
    Generate {
        id: ServiceId,
        #[source]
        cause: rcgen::Error,
    },
    #[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
    #[error(transparent)]
    Provider(#[from] crate::NoCryptoProvider),
}

/// Makes a fresh EC P-256 key and asks for exactly one name, the URI of `id`. The subject stays empty: Consul drops it.
#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
pub(super) fn request(id: &ServiceId) -> Result<Request, CsrError> {
    use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, SanType};
    use zeroize::Zeroize;

    let failed = |cause| CsrError::Generate {
        id: id.clone(),
        cause,
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let uri = id.to_string().try_into().map_err(failed)?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    let mut key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let csr_pem = params
        .serialize_request(&key)
        .and_then(|csr| csr.pem())
        .map_err(failed)?;
    let key_pem = KeyPem::from(key.serialize_pem());
    key.zeroize();
    Ok(Request { key_pem, csr_pem })
}

/// Without cryptography there is no key.
#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
pub(super) fn request(_id: &ServiceId) -> Result<Request, CsrError> {
    Err(crate::NoCryptoProvider.into())
}
