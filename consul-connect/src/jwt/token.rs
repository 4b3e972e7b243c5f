//! A token taken apart, nothing of it believed yet.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

use super::{InvalidToken, algorithm::Algorithm, claims::Claims, invalid::Part};

/// Longer tokens are not looked at. An HTTP server takes little more in all headers together.
pub(super) const MAX_LENGTH: usize = 16 * 1024;

/// A token in the compact form (RFC 7515 section 3.1).
pub(super) struct Token<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    pub(super) claims: Claims,
    /// The claims as they are in the token, in Base64url.
    pub(super) payload: &'a str,
    /// What was signed.
    pub(super) signed: &'a str,
    pub(super) signature: Vec<u8>,
}

/// Unknown parameters are ignored, as RFC 7515 section 4 wants it; a repeated one of these is an error.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

/// Whatever it is.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl<'a> Token<'a> {
    /// # Errors
    /// If it has another form, is unsigned or signed in a way nobody verifies here. The signature is not verified.
    pub(super) fn parse(text: &'a [u8]) -> Result<Self, InvalidToken> {
        if text.len() > MAX_LENGTH {
            return Err(InvalidToken::TooLong { limit: MAX_LENGTH });
        }
        let malformed = |part| move || InvalidToken::Malformed(part);
        let text = std::str::from_utf8(text).ok();
        let (signed, signature) = text
            .and_then(|text| text.rsplit_once('.'))
            .ok_or_else(malformed(Part::Form))?;
        let (header, payload) = signed
            .split_once('.')
            .filter(|(_, payload)| !payload.contains('.'))
            .ok_or_else(malformed(Part::Form))?;

        let header = decode(header).ok_or_else(malformed(Part::Header))?;
        // An array of its values would do for serde.
        let header: Header = header
            .trim_ascii_start()
            .starts_with(b"{")
            .then(|| serde_json::from_slice(&header).ok())
            .flatten()
            .ok_or_else(malformed(Part::Header))?;
        let algorithm = Algorithm::of_token(&header.alg)?;
        if header.crit {
            return Err(InvalidToken::Critical);
        }
        let claims = decode(payload).ok_or_else(malformed(Part::Claims))?;
        let claims = Claims::parse(&claims)?;
        let signature = decode(signature)
            .filter(|signature| !signature.is_empty())
            .ok_or_else(malformed(Part::Signature))?;
        Ok(Self {
            algorithm,
            key_id: header.kid,
            claims,
            payload,
            signed,
            signature,
        })
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}
