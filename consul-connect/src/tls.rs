//! TLS from one snapshot of the identity.
//!
//! A configuration is made for one connection and then forgotten. It holds the verifier of that connection, which knows
//! the roots of one generation and whom to expect, and has no way to be exchanged for a hostname verifier: nothing here
//! looks at names. Making it costs well under a microsecond, because the parsed key is shared. Which versions and cipher
//! suites it may use is what the [`TlsPolicy`] says at that moment.
//!
//! Resumption is off on both sides. A resumed session skips the verifier, and with it a removed root, an expired leaf and
//! the expected identity.

mod parameters;
mod policy;
mod refusal;
mod roots;
mod side;
mod svid;
mod trust;
mod verifier;
mod verify;

pub use parameters::{TlsLimits, TlsParameters, TlsVersion, UnknownTlsVersion};
pub(crate) use policy::TlsCell;
pub use policy::{TlsPolicy, TlsStatus};
pub use refusal::InvalidPeer;
pub(crate) use refusal::{Cause, cause_of, identity_alert};
pub use roots::{InvalidRoots, Roots};
pub use side::TlsSideStatus;
pub(crate) use side::{Side, name};
pub(crate) use trust::{Admits, Trust};
pub(crate) use verifier::{ClientSide, ServerSide};
pub(crate) use verify::{Usage, inspect, verify};

use std::sync::Arc;

use rustls::{
    ClientConfig, ServerConfig,
    client::Resumption,
    crypto::CryptoProvider,
    server::NoServerSessionStorage,
    sign::{CertifiedKey, SingleCertAndKey},
    time_provider::TimeProvider,
};

/// What the two sides of a connection have in common.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) time: Arc<dyn TimeProvider>,
    pub(crate) key: Arc<CertifiedKey>,
}

/// Why there is no TLS to speak.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoTls {
    #[error("the TLS parameters of the mesh leave nothing to speak: {0}")]
    Refused(Arc<str>),
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

impl NoTls {
    fn refused(why: &Arc<str>) -> Self {
        Self::Refused(Arc::clone(why))
    }
}

pub(crate) fn server_config(
    common: &Common,
    verifier: Arc<ServerSide>,
    side: &Side,
    alpn: &[Vec<u8>],
) -> Result<Arc<ServerConfig>, NoTls> {
    let spoken = side.spoken().map_err(NoTls::refused)?;
    let mut config =
        ServerConfig::builder_with_details(Arc::clone(&spoken.provider), Arc::clone(&common.time))
            .with_protocol_versions(spoken.versions)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&common.key))));
    config.alpn_protocols = alpn.to_vec();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

pub(crate) fn client_config(
    common: &Common,
    verifier: Arc<ClientSide>,
    side: &Side,
    alpn: &[Vec<u8>],
    sni: bool,
) -> Result<Arc<ClientConfig>, NoTls> {
    let spoken = side.spoken().map_err(NoTls::refused)?;
    let mut config =
        ClientConfig::builder_with_details(Arc::clone(&spoken.provider), Arc::clone(&common.time))
            .with_protocol_versions(spoken.versions)?
            .dangerous() // rustls' word for "not the web's verifier"
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&common.key))));
    config.alpn_protocols = alpn.to_vec();
    config.resumption = Resumption::disabled();
    config.enable_sni = sni;
    Ok(Arc::new(config))
}
