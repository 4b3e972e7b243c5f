//! A `jwt-provider` config entry, compiled: who issues tokens, and where and how they are taken.

use consul_api::config_entry as wire;
use http::{HeaderName, HeaderValue, header};
use rustls_pki_types::UnixTime;

use super::{
    InvalidToken,
    key_set::KeySet,
    location::{InvalidLocation, Place},
    source::{InvalidSource, KeySource},
    token::Token,
};

/// What Consul documents for `ClockSkewSeconds`.
const CLOCK_SKEW: u64 = 30;
/// What an Envoy under Consul 1.22 allows, whatever is configured. Nothing makes us more lenient.
const MAX_CLOCK_SKEW: u64 = 60;

/// Who issues tokens, and how they are checked. Its keys are elsewhere: they come later and change more often.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Provider {
    issuer: Box<str>,
    /// Without what makes no difference, see [`audience`]. Empty: any, or none.
    audiences: Box<[Box<str>]>,
    pub(super) places: Vec<Place>,
    /// Whether a verified token stays in the request. Consul says it of a header, and means the provider.
    pub(super) forward: bool,
    pub(super) payload_header: Option<HeaderName>,
    pad_payload: bool,
    clock_skew: u64,
}

/// Why no token of a provider can be accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidProvider {
    #[error("it has keys this version does not know: `{0}`")]
    UnknownKeys(String),
    #[error("it has no issuer")]
    NoIssuer,
    #[error("location {position}: {why}")]
    Location {
        position: usize,
        why: InvalidLocation,
    },
    #[error("its claims cannot be forwarded in the header {0:?}")]
    PayloadHeader(String),
    #[error("its clock skew of {0} s is none")]
    ClockSkew(i64),
    #[error("{0}")]
    Source(InvalidSource),
}

impl Provider {
    /// The provider, and where its keys come from.
    ///
    /// # Errors
    /// What this version does not understand or cannot carry out. A provider is taken whole or not at all.
    pub(super) fn compile(wire: &wire::JwtProvider) -> Result<(Self, KeySource), InvalidProvider> {
        let forwarding = wire.forwarding.as_ref();
        let nested = forwarding.map(|forwarding| &forwarding.extra);
        let unknown = wire
            .extra
            .keys()
            .chain(nested.into_iter().flatten().map(|(key, _)| key));
        let unknown: Vec<&str> = unknown.map(String::as_str).collect();
        if !unknown.is_empty() {
            return Err(InvalidProvider::UnknownKeys(unknown.join("`, `")));
        }
        // Envoy compares the claim with it in any case, so that without one no token would ever do.
        if wire.issuer.is_empty() {
            return Err(InvalidProvider::NoIssuer);
        }
        let clock_skew = match u64::try_from(wire.clock_skew_seconds) {
            Ok(0) => CLOCK_SKEW,
            Ok(seconds) => seconds.min(MAX_CLOCK_SKEW),
            Err(_) => return Err(InvalidProvider::ClockSkew(wire.clock_skew_seconds)),
        };
        let (mut places, mut forward) = (Vec::with_capacity(wire.locations.len()), false);
        for (position, location) in wire.locations.iter().enumerate() {
            let (place, forwarded) = Place::compile(location)
                .map_err(|why| InvalidProvider::Location { position, why })?;
            // Consul tells the sidecar once for all places: the last header's word.
            if matches!(place, Place::Header { .. }) {
                forward = forwarded;
            }
            places.push(place);
        }
        if places.is_empty() {
            places = Place::defaults();
        }
        let payload_header = match forwarding.map(|forwarding| forwarding.header_name.as_str()) {
            None | Some("") => None,
            Some(name) => Some(payload_header(name)?),
        };
        let source =
            KeySource::compile(wire.json_web_key_set.as_ref()).map_err(InvalidProvider::Source)?;
        let provider = Self {
            issuer: wire.issuer.as_str().into(),
            audiences: wire
                .audiences
                .iter()
                .map(|one| audience(one).into())
                .collect(),
            places,
            forward,
            payload_header,
            pad_payload: forwarding.is_some_and(|forwarding| forwarding.pad_forward_payload_header),
            clock_skew,
        };
        Ok((provider, source))
    }

    /// What an entry forwards claims in, whatever else is wrong with it.
    pub(super) fn payload_header_of(wire: &wire::JwtProvider) -> Option<HeaderName> {
        let name = wire
            .forwarding
            .as_ref()
            .map(|forwarding| &*forwarding.header_name)?;
        payload_header(name).ok()
    }

    /// The token, if it is one of this provider and valid now.
    ///
    /// # Errors
    /// Why not: the first of form, issuer, time, audience and signature that is wrong.
    pub(super) fn verify<'a>(
        &self,
        keys: &KeySet,
        text: &'a [u8],
        now: UnixTime,
    ) -> Result<Token<'a>, InvalidToken> {
        let token = Token::parse(text)?;
        if token.claims.issuer() != Some(&self.issuer) {
            return Err(InvalidToken::Issuer);
        }
        token.claims.valid_at(now.as_secs(), self.clock_skew)?;
        let ours = |theirs: &str| {
            let theirs = audience(theirs);
            self.audiences.iter().any(|ours| **ours == *theirs)
        };
        if !self.audiences.is_empty() && !token.claims.audiences().any(ours) {
            return Err(InvalidToken::Audience);
        }
        keys.verify(
            token.algorithm,
            token.key_id.as_deref(),
            token.signed.as_bytes(),
            &token.signature,
        )?;
        Ok(token)
    }

    /// The claims of a verified token for the application, if it is to see them.
    pub(super) fn payload(&self, token: &Token<'_>) -> Option<(HeaderName, HeaderValue)> {
        let name = self.payload_header.clone()?;
        let mut text = token.payload.to_owned();
        while self.pad_payload && !text.len().is_multiple_of(4) {
            text.push('=');
        }
        // Base64url has nothing a header could not have.
        Some((name, HeaderValue::try_from(text).ok()?))
    }
}

/// An audience without what Envoy does not look at: the scheme of a URL and one slash at the end.
fn audience(name: &str) -> &str {
    let name = name
        .strip_prefix("http://")
        .or_else(|| name.strip_prefix("https://"))
        .unwrap_or(name);
    name.strip_suffix('/').unwrap_or(name)
}

/// A header to write claims into: not one that decides where a message ends or whom it is for.
fn payload_header(name: &str) -> Result<HeaderName, InvalidProvider> {
    let invalid = || InvalidProvider::PayloadHeader(name.to_owned());
    let header = HeaderName::try_from(name).ok().ok_or_else(invalid)?;
    let taken = [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::HOST,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    if taken.contains(&header) {
        return Err(invalid());
    }
    Ok(header)
}
