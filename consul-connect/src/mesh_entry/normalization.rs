//! What is done to requests before rules are asked, as the `mesh` config entry or the program says it.

use std::fmt;

use consul_api::config_entry as wire;

/// What is done to a request before rules are asked about it. The application sees the request as the rules saw it.
///
/// The default is Consul's: paths are normalised, and nothing else is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestNormalization {
    /// Leaves paths as they came: dot segments, escapes and backslashes stay.
    ///
    /// # Security
    /// Rules about paths can then be got around: `/public/../admin` begins with `/public`.
    pub insecure_disable_path_normalization: bool,
    /// Takes slashes that follow each other for one.
    pub merge_slashes: bool,
    /// What becomes of a path with an escaped slash or backslash in it.
    pub escaped_slashes: EscapedSlashes,
    /// What becomes of headers with an underscore in their name.
    pub underscore_headers: UnderscoreHeaders,
}

/// What becomes of a path with `%2F` or `%5C` in it. Applications disagree on whether these separate segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EscapedSlashes {
    /// It stays as it is.
    #[default]
    KeepUnchanged,
    /// The request is refused: 400.
    Reject,
    /// The caller is sent to the path without them: 307. gRPC knows no redirects, so there it is a refusal.
    UnescapeAndRedirect,
    /// They become slashes, before the path is normalised.
    UnescapeAndForward,
}

/// What becomes of headers with an underscore in their name. Some applications take it for a hyphen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnderscoreHeaders {
    /// They are headers like others.
    #[default]
    Allow,
    /// The request is refused: 400.
    Reject,
    /// They are removed.
    Drop,
}

/// The `mesh` entry asks for something that is not known here. No guess at it would be safe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is no {key} known here")]
#[non_exhaustive]
pub struct UnknownNormalization {
    /// The setting.
    pub key: &'static str,
    /// What it is set to.
    pub value: String,
}

/// The one door from the config entry.
impl TryFrom<&wire::RequestNormalization> for RequestNormalization {
    type Error = UnknownNormalization;

    fn try_from(wire: &wire::RequestNormalization) -> Result<Self, Self::Error> {
        let unknown = |key, value: &str| UnknownNormalization {
            key,
            value: value.to_owned(),
        };
        let escaped_slashes = match wire.path_with_escaped_slashes_action.as_str() {
            // What the implementation does by default is to keep them, in Envoy as well.
            "" | "IMPLEMENTATION_SPECIFIC_DEFAULT" | "KEEP_UNCHANGED" => {
                EscapedSlashes::KeepUnchanged
            }
            "REJECT_REQUEST" => EscapedSlashes::Reject,
            "UNESCAPE_AND_REDIRECT" => EscapedSlashes::UnescapeAndRedirect,
            "UNESCAPE_AND_FORWARD" => EscapedSlashes::UnescapeAndForward,
            other => return Err(unknown("PathWithEscapedSlashesAction", other)),
        };
        let underscore_headers = match wire.headers_with_underscores_action.as_str() {
            "" | "ALLOW" => UnderscoreHeaders::Allow,
            "REJECT_REQUEST" => UnderscoreHeaders::Reject,
            "DROP_HEADER" => UnderscoreHeaders::Drop,
            other => return Err(unknown("HeadersWithUnderscoresAction", other)),
        };
        Ok(Self {
            insecure_disable_path_normalization: wire.insecure_disable_path_normalization,
            merge_slashes: wire.merge_slashes,
            escaped_slashes,
            underscore_headers,
        })
    }
}

impl fmt::Display for RequestNormalization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.insecure_disable_path_normalization {
            true => "paths NOT NORMALIZED",
            false => "paths normalized",
        })?;
        if self.merge_slashes {
            f.write_str(", slashes merged")?;
        }
        f.write_str(match self.escaped_slashes {
            EscapedSlashes::KeepUnchanged => "",
            EscapedSlashes::Reject => ", escaped slashes refused",
            EscapedSlashes::UnescapeAndRedirect => ", escaped slashes redirected",
            EscapedSlashes::UnescapeAndForward => ", escaped slashes unescaped",
        })?;
        f.write_str(match self.underscore_headers {
            UnderscoreHeaders::Allow => "",
            UnderscoreHeaders::Reject => ", headers with underscores refused",
            UnderscoreHeaders::Drop => ", headers with underscores dropped",
        })
    }
}
