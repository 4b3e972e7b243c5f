//! What TLS may be spoken, as the `mesh` config entry or the program says it.

use std::{fmt, str::FromStr};

use consul_api::config_entry as wire;

/// A version of TLS that can be asked for. Only 1.2 and 1.3 are spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.0, which is never spoken here.
    V1_0,
    /// TLS 1.1, which is never spoken here.
    V1_1,
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

impl TlsVersion {
    pub(super) const SPOKEN: [Self; 2] = [Self::V1_2, Self::V1_3];
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1_0 => "TLS 1.0",
            Self::V1_1 => "TLS 1.1",
            Self::V1_2 => "TLS 1.2",
            Self::V1_3 => "TLS 1.3",
        })
    }
}

/// As Consul and Envoy spell it: `TLSv1_2`.
impl FromStr for TlsVersion {
    type Err = UnknownTlsVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "TLSv1_0" => Ok(Self::V1_0),
            "TLSv1_1" => Ok(Self::V1_1),
            "TLSv1_2" => Ok(Self::V1_2),
            "TLSv1_3" => Ok(Self::V1_3),
            other => Err(UnknownTlsVersion(other.to_owned())),
        }
    }
}

/// Not the name of a version of TLS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no version of TLS known here")]
#[non_exhaustive]
pub struct UnknownTlsVersion(pub String);

/// What TLS may be spoken in one direction. The default asks for nothing: 1.2 and 1.3, with every cipher suite there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsLimits {
    /// The least. One below 1.2 means 1.2.
    pub min: Option<TlsVersion>,
    /// The most. One below 1.2 leaves nothing that is spoken here, so every handshake is refused.
    pub max: Option<TlsVersion>,
    /// The cipher suites of TLS 1.2, by their IANA names; empty: all there are. Those of TLS 1.3 cannot be chosen, as they
    /// cannot in Envoy.
    pub cipher_suites: Vec<String>,
    /// The groups keys are exchanged with, as Envoy names them (`X25519MLKEM768`, `X25519`, `P-256`, `P-384`); empty: all
    /// there are.
    pub curves: Vec<String>,
}

/// What TLS may be spoken, in both directions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsParameters {
    /// With those who call us.
    pub incoming: TlsLimits,
    /// With those we call.
    pub outgoing: TlsLimits,
}

/// The one door from the config entry. An unknown version is an error, because no guess at it would be safe; whether a
/// cipher suite is known is for the cryptography in use to say.
impl TryFrom<&wire::MeshTlsDirection> for TlsLimits {
    type Error = UnknownTlsVersion;

    fn try_from(wire: &wire::MeshTlsDirection) -> Result<Self, Self::Error> {
        let version = |text: &str| match text {
            "" | "TLS_AUTO" => Ok(None),
            named => named.parse().map(Some),
        };
        Ok(Self {
            min: version(&wire.tls_min_version)?,
            max: version(&wire.tls_max_version)?,
            cipher_suites: wire.cipher_suites.clone(),
            curves: wire.ecdh_curves.clone(),
        })
    }
}
