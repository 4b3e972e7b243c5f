use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// The crypto provider this build prefers: aws-lc-rs if it is compiled in, else ring.
///
/// Nothing process-wide is installed or read.
///
/// # Errors
/// [`NoCryptoProvider`] if neither feature is on.
pub fn crypto_provider() -> Result<Arc<CryptoProvider>, NoCryptoProvider> {
    #[cfg(feature = "aws-lc-rs")]
    return Ok(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    return Ok(Arc::new(rustls::crypto::ring::default_provider()));
    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    Err(NoCryptoProvider)
}

/// The build has no cryptography.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no crypto provider is compiled in: enable the feature `aws-lc-rs` or `ring`, or give one")]
#[non_exhaustive]
pub struct NoCryptoProvider;
