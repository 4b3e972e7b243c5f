//! The limits of one direction, held against what this build can do. Pure.

use std::sync::Arc;

use rustls::{
    CipherSuite, NamedGroup, SupportedCipherSuite, SupportedProtocolVersion,
    crypto::CryptoProvider,
    version::{TLS12, TLS13},
};

use super::parameters::{TlsLimits, TlsVersion};

static ONLY_12: [&SupportedProtocolVersion; 1] = [&TLS12];
static ONLY_13: [&SupportedProtocolVersion; 1] = [&TLS13];
static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

/// What one direction may speak: enough to make a configuration from, without another look at the limits.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    spoken: Result<Spoken, Arc<str>>,
    status: TlsSideStatus,
}

#[derive(Clone, Debug)]
pub(super) struct Spoken {
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) versions: &'static [&'static SupportedProtocolVersion],
}

/// What is spoken in one direction, and what those who wrote the limits should know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsSideStatus {
    /// The versions that are spoken; empty if every handshake is refused.
    pub versions: Vec<TlsVersion>,
    /// The cipher suites TLS 1.2 is restricted to; empty: not restricted, or TLS 1.2 is not spoken.
    pub cipher_suites: Vec<String>,
    /// Why every handshake is refused, if it is.
    pub refused: Option<String>,
    /// What was asked for and cannot be had to the letter.
    pub findings: Vec<String>,
}

impl Side {
    /// Every handshake is refused.
    pub(super) fn refusing(why: impl Into<String>) -> Self {
        let why = why.into();
        Self {
            spoken: Err(why.as_str().into()),
            status: TlsSideStatus {
                refused: Some(why),
                ..TlsSideStatus::default()
            },
        }
    }

    /// Nothing here ever widens what was asked for: what cannot be done is left out, and if nothing is left, every
    /// handshake is refused.
    pub(super) fn new(limits: &TlsLimits, provider: &Arc<CryptoProvider>) -> Self {
        let mut findings = Vec::new();
        let spoken = spoken(limits, provider, &mut findings);
        let mut side = match spoken {
            Ok(spoken) => {
                let on = |version| match version {
                    TlsVersion::V1_2 => spoken.versions.contains(&&TLS12),
                    _ => spoken.versions.contains(&&TLS13),
                };
                let mut versions = TlsVersion::SPOKEN.to_vec();
                versions.retain(|version| on(*version));
                let restricted = !limits.cipher_suites.is_empty();
                let suites = spoken.provider.cipher_suites.iter();
                let cipher_suites = suites
                    .filter(|suite| restricted && on(TlsVersion::V1_2) && is_12(suite))
                    .map(|suite| name(suite.suite()).to_owned())
                    .collect();
                Self {
                    spoken: Ok(spoken),
                    status: TlsSideStatus {
                        versions,
                        cipher_suites,
                        ..TlsSideStatus::default()
                    },
                }
            }
            Err(why) => Self::refusing(why),
        };
        side.status.findings = findings;
        side
    }

    pub(super) fn spoken(&self) -> Result<&Spoken, &Arc<str>> {
        self.spoken.as_ref()
    }

    pub(super) fn status(&self) -> &TlsSideStatus {
        &self.status
    }
}

fn spoken(
    limits: &TlsLimits,
    provider: &Arc<CryptoProvider>,
    findings: &mut Vec<String>,
) -> Result<Spoken, String> {
    let least = TlsVersion::V1_2;
    let min = match limits.min {
        Some(min) if min < least => {
            findings.push(format!(
                "a minimum of {min} means {least}, the least spoken here"
            ));
            least
        }
        min => min.unwrap_or(least),
    };
    let max = limits.max.unwrap_or(TlsVersion::V1_3);
    if max < least {
        return Err(format!(
            "the maximum is {max}, and the least spoken here is {least}"
        ));
    }
    if max < min {
        return Err(format!("the maximum is {max} and the minimum {min}"));
    }
    let mut chosen = CryptoProvider::clone(provider);
    restrict_suites(&mut chosen, &limits.cipher_suites, findings);
    restrict_groups(&mut chosen, &limits.curves, findings);
    if chosen.kx_groups.is_empty() {
        return Err("no curve is left that keys could be exchanged with".to_owned());
    }
    let has_12 = chosen.cipher_suites.iter().any(is_12);
    let versions: &'static [_] = match (min, max) {
        (TlsVersion::V1_3, _) => &ONLY_13,
        (_, TlsVersion::V1_2) if !has_12 => {
            return Err(format!(
                "no cipher suite is left for {least}, and nothing above it is allowed"
            ));
        }
        (_, TlsVersion::V1_2) => &ONLY_12,
        _ if !has_12 => {
            findings.push(format!(
                "no cipher suite is left for {least}, so only TLS 1.3 is spoken"
            ));
            &ONLY_13
        }
        _ => &BOTH,
    };
    let provider = match limits.cipher_suites.is_empty() && limits.curves.is_empty() {
        true => Arc::clone(provider),
        false => Arc::new(chosen),
    };
    Ok(Spoken { provider, versions })
}

/// Of TLS 1.2 only: what comes with TLS 1.3 stays.
fn restrict_suites(provider: &mut CryptoProvider, wanted: &[String], findings: &mut Vec<String>) {
    if wanted.is_empty() {
        return;
    }
    for wanted in wanted {
        let known = provider
            .cipher_suites
            .iter()
            .find(|suite| name(suite.suite()) == wanted);
        match known {
            Some(suite) if is_12(suite) => {}
            Some(_) => findings.push(format!(
                "`{wanted}` belongs to TLS 1.3, whose cipher suites cannot be chosen"
            )),
            None => findings.push(format!(
                "`{wanted}` is no cipher suite that can be used here, and is left out"
            )),
        }
    }
    provider
        .cipher_suites
        .retain(|suite| !is_12(suite) || wanted.iter().any(|wanted| wanted == name(suite.suite())));
}

fn restrict_groups(provider: &mut CryptoProvider, wanted: &[String], findings: &mut Vec<String>) {
    if wanted.is_empty() {
        return;
    }
    let has = |provider: &CryptoProvider, wanted: &str| {
        let mut groups = provider.kx_groups.iter();
        groups.any(|group| curve(group.name()) == wanted)
    };
    for wanted in wanted.iter().filter(|wanted| !has(provider, wanted)) {
        findings.push(format!(
            "`{wanted}` is no curve that can be used here, and is left out"
        ));
    }
    provider
        .kx_groups
        .retain(|group| wanted.iter().any(|wanted| wanted == curve(group.name())));
}

fn is_12(suite: &SupportedCipherSuite) -> bool {
    suite.tls13().is_none()
}

/// The IANA name. rustls has a prefix of its own for those of TLS 1.3.
pub(crate) fn name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        other => other.as_str().unwrap_or("unknown"),
    }
}

/// As Envoy names it.
fn curve(group: NamedGroup) -> &'static str {
    match group {
        NamedGroup::secp256r1 => "P-256",
        NamedGroup::secp384r1 => "P-384",
        NamedGroup::secp521r1 => "P-521",
        other => other.as_str().unwrap_or("unknown"),
    }
}
