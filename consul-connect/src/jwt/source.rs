//! Where a provider's keys come from.

use std::{path::PathBuf, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use consul_api::{Extra, config_entry as wire, duration::GoDuration};
use reqwest::Url;

/// Where keys come from.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum KeySource {
    /// The entry itself has them.
    Inline(Vec<u8>),
    /// A file of this host.
    File(PathBuf),
    /// They are fetched.
    Remote(Box<Remote>),
}

/// A key set to be fetched.
#[derive(Clone, PartialEq)]
pub(super) struct Remote {
    pub(super) url: Url,
    pub(super) request_timeout: Duration,
    pub(super) connect_timeout: Duration,
    /// How old they get before they are fetched again.
    pub(super) cache: Duration,
    /// Between failed attempts: the first time, and at most.
    pub(super) back_off: (Duration, Duration),
    pub(super) trust: Trust,
}

/// Whose certificates are accepted where keys are fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// What the configuration of this process says, or else the system's.
    Configured,
    /// A PEM file of this host.
    File(PathBuf),
    /// PEM in an environment variable of this process.
    Variable(String),
    Pem(Vec<u8>),
}

/// Why no keys can be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidSource {
    #[error("its key set has keys this version does not know: `{0}`")]
    UnknownKeys(String),
    #[error("its key set is not exactly one of local and remote")]
    NotOne,
    #[error("its local key set is not exactly one of a text in Base64 and a file")]
    NotOneLocal,
    #[error("its local key set is no Base64")]
    Base64,
    #[error("the URI of its key set is none, or not of `http` or `https`")]
    Uri,
    #[error("the {0} of its key set is none")]
    Duration(&'static str),
    #[error("its trusted certificates are not exactly one of a file, a variable and PEM")]
    NotOneTrust,
    #[error(
        "its trusted certificates are those of a provider instance, which only an Envoy can have"
    )]
    ProviderInstance,
}

const SECOND: Duration = Duration::from_secs(1);

impl KeySource {
    /// # Errors
    /// What this version does not understand or cannot carry out.
    pub(super) fn compile(wire: Option<&wire::JsonWebKeySet>) -> Result<Self, InvalidSource> {
        let set = wire.ok_or(InvalidSource::NotOne)?;
        known(&set.extra)?;
        match (&set.local, &set.remote) {
            (Some(local), None) => Self::local(local),
            (None, Some(remote)) => {
                Remote::compile(remote).map(|remote| Self::Remote(Box::new(remote)))
            }
            _ => Err(InvalidSource::NotOne),
        }
    }

    fn local(wire: &wire::LocalJwks) -> Result<Self, InvalidSource> {
        known(&wire.extra)?;
        match (wire.jwks.as_str(), wire.filename.as_str()) {
            ("", "") => Err(InvalidSource::NotOneLocal),
            (text, "") => STANDARD
                .decode(text)
                .map(Self::Inline)
                .ok()
                .ok_or(InvalidSource::Base64),
            ("", file) => Ok(Self::File(file.into())),
            _ => Err(InvalidSource::NotOneLocal),
        }
    }
}

impl Remote {
    fn compile(wire: &wire::RemoteJwks) -> Result<Self, InvalidSource> {
        known(&wire.extra)?;
        let url = Url::parse(&wire.uri).ok().ok_or(InvalidSource::Uri)?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(InvalidSource::Uri);
        }
        let request_timeout = match u64::try_from(wire.request_timeout_ms) {
            Ok(0) => SECOND * 5,
            Ok(milliseconds) => Duration::from_millis(milliseconds),
            Err(_) => return Err(InvalidSource::Duration("timeout")),
        };
        let cache = duration(wire.cache_duration, SECOND * 300, "cache duration")?;
        let retry = wire.retry_policy.as_ref();
        let pauses = retry.and_then(|retry| retry.retry_policy_back_off.as_ref());
        for extra in [
            retry.map(|retry| &retry.extra),
            pauses.map(|pauses| &pauses.extra),
        ] {
            extra.map_or(Ok(()), known)?;
        }
        let base = pauses
            .map(|pauses| pauses.base_interval)
            .unwrap_or_default();
        let base = duration(base, SECOND, "first pause")?;
        let longest = pauses.map(|pauses| pauses.max_interval).unwrap_or_default();
        let longest = duration(longest, base.saturating_mul(10), "longest pause")?;
        let (connect, trust) = match &wire.jwks_cluster {
            None => (GoDuration::default(), Trust::Configured),
            Some(cluster) => {
                known(&cluster.extra)?;
                (cluster.connect_timeout, Trust::compile(cluster)?)
            }
        };
        Ok(Self {
            url,
            request_timeout,
            connect_timeout: duration(connect, SECOND * 5, "connect timeout")?,
            // A key set is not a thing to be asked for all the time, whoever writes nanoseconds by mistake.
            cache: cache.max(SECOND),
            back_off: (base.max(SECOND / 10), longest.max(base).max(SECOND / 10)),
            trust,
        })
    }

    /// Whether anybody on the way could put other keys in the place of these.
    pub(super) fn is_open_to_others(&self) -> bool {
        let host = self.url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let local = host == "localhost"
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        self.url.scheme() != "https" && !local
    }

    /// Where, for people: without what may be a secret.
    pub(super) fn shown(&self) -> String {
        let mut url = self.url.clone();
        url.set_query(None);
        // Both only fail for URLs that cannot have them.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.to_string()
    }
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote")
            .field("url", &self.shown())
            .field("cache", &self.cache)
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}

impl Trust {
    fn compile(cluster: &wire::JwksCluster) -> Result<Self, InvalidSource> {
        let Some(certificates) = &cluster.tls_certificates else {
            return Ok(Self::Configured);
        };
        known(&certificates.extra)?;
        if certificates.ca_certificate_provider_instance.is_some() {
            return Err(InvalidSource::ProviderInstance);
        }
        let Some(ca) = &certificates.trusted_ca else {
            return Ok(Self::Configured);
        };
        known(&ca.extra)?;
        let ways = [
            &ca.filename,
            &ca.environment_variable,
            &ca.inline_string,
            &ca.inline_bytes,
        ];
        match ways.map(|way| way.as_str()) {
            ["", "", "", ""] => Err(InvalidSource::NotOneTrust),
            [file, "", "", ""] => Ok(Self::File(file.into())),
            ["", variable, "", ""] => Ok(Self::Variable(variable.to_owned())),
            ["", "", text, ""] => Ok(Self::Pem(text.as_bytes().to_vec())),
            ["", "", "", bytes] => STANDARD
                .decode(bytes)
                .map(Self::Pem)
                .ok()
                .ok_or(InvalidSource::Base64),
            _ => Err(InvalidSource::NotOneTrust),
        }
    }
}

fn known(extra: &Extra) -> Result<(), InvalidSource> {
    if extra.is_empty() {
        return Ok(());
    }
    let keys: Vec<&str> = extra.keys().map(String::as_str).collect();
    Err(InvalidSource::UnknownKeys(keys.join("`, `")))
}

/// 0 means the default.
fn duration(
    wire: GoDuration,
    default: Duration,
    name: &'static str,
) -> Result<Duration, InvalidSource> {
    match Duration::try_from(wire) {
        Ok(Duration::ZERO) => Ok(default),
        Ok(duration) => Ok(duration),
        Err(_) => Err(InvalidSource::Duration(name)),
    }
}
