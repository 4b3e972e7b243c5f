//! What a source can tell about material before anybody validates it.

use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject};

use crate::identity::InvalidMaterial;
use crate::tls::{Roots, Usage, verify};
use crate::{InvalidPeer, Material, crypto_provider};

/// Whether leaf and roots are of the same time: the leaf chains to the roots and is of their trust domain.
///
/// Everything else that may be wrong is for [`Identity`](crate::Identity) to say; waiting for the other half does not mend it.
///
/// # Errors
/// How they do not fit.
pub(super) fn fits(material: &Material) -> Result<(), InvalidPeer> {
    let chain: Vec<CertificateDer<'_>> =
        CertificateDer::pem_slice_iter(material.chain_pem.as_bytes())
            .filter_map(Result::ok)
            .collect();
    let pems = material.roots_pem.iter().map(String::as_str);
    let (Ok(roots), Ok(provider)) = (
        Roots::from_pem(pems, material.trust_domain.clone()),
        crypto_provider(),
    ) else {
        return Ok(());
    };
    let algorithms = &provider.signature_verification_algorithms;
    match verify(&chain, &roots, algorithms, Usage::Client, UnixTime::now()) {
        Err(
            misfit @ (InvalidPeer::UnknownIssuer { .. } | InvalidPeer::ForeignTrustDomain { .. }),
        ) => Err(misfit),
        _ => Ok(()),
    }
}

/// Whether the key is the leaf's, and both can be read.
///
/// # Errors
/// What is wrong with them.
pub(super) fn pairs(material: &Material) -> Result<(), InvalidMaterial> {
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(material.chain_pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|cause| InvalidMaterial::Chain(cause.to_string()))?;
    if chain.is_empty() {
        return Err(InvalidMaterial::Chain("it holds no certificate".into()));
    }
    let key = PrivateKeyDer::from_pem_slice(material.key_pem.expose().as_bytes()).map_err(
        |_not_shown| InvalidMaterial::Key("it is not PEM of a SEC1, PKCS#8 or PKCS#1 key".into()),
    )?;
    let Ok(provider) = crypto_provider() else {
        return Ok(());
    };
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|cause| InvalidMaterial::Key(cause.to_string()))?;
    CertifiedKey::new(chain, key)
        .keys_match()
        .map_err(|_mismatch| InvalidMaterial::KeyMismatch)
}

/// Whether waiting does not mend what Consul, or our configuration, said.
pub(super) fn is_permanent(error: &consul_api::Error) -> bool {
    error.is_permission_denied()
        || error.is_unknown_token()
        || error.is_config()
        || error.is_invalid_request()
        || error.is_plaintext_refused()
        || error.status() == Some(http::StatusCode::BAD_REQUEST)
}
