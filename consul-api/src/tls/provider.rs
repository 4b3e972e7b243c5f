//! The crypto provider, always given explicitly: never the process's default, and never made the process's default.

use super::Provider;
use crate::error::Error;

/// aws-lc-rs if compiled in, else ring.
///
/// # Errors
/// A configuration error if neither is.
pub(crate) fn compiled_in() -> Result<Provider, Error> {
    #[cfg(feature = "aws-lc-rs")]
    let provider = Ok(std::sync::Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ));
    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    let provider = Ok(std::sync::Arc::new(rustls::crypto::ring::default_provider()));
    #[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
    let provider = Err(Error::config(
        "TLS to Consul needs the feature `aws-lc-rs` or `ring` of consul-api, and neither is compiled in",
    ));
    provider
}

#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
pub(crate) mod none;
