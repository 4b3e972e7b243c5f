//! Where in a request a token is.

use std::borrow::Cow;

use consul_api::config_entry as wire;
use http::{HeaderName, header, request::Parts};
use percent_encoding::percent_decode;

/// One place to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Header { name: HeaderName, prefix: Box<str> },
    Query(Box<str>),
    Cookie(Box<str>),
}

/// Why a location cannot be looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidLocation {
    #[error("it has keys this version does not know: `{0}`")]
    UnknownKeys(String),
    #[error("it is not exactly one of a header, a query parameter and a cookie")]
    NotOne,
    #[error("its name {0:?} is none")]
    Name(String),
}

impl Place {
    /// What Consul documents for a provider without locations.
    pub(super) fn defaults() -> Vec<Self> {
        let header = Self::Header {
            name: header::AUTHORIZATION,
            prefix: "Bearer ".into(),
        };
        vec![header, Self::Query("access_token".into())]
    }

    /// The place, and whether the application is to see the token.
    ///
    /// # Errors
    /// What this version does not understand, or Consul should not have accepted.
    pub(super) fn compile(wire: &wire::JwtLocation) -> Result<(Self, bool), InvalidLocation> {
        known(&wire.extra)?;
        let named = |name: &str| match name {
            "" => Err(InvalidLocation::Name(String::new())),
            name => Ok(name.into()),
        };
        match (&wire.header, &wire.query_param, &wire.cookie) {
            (Some(header), None, None) => {
                known(&header.extra)?;
                let name = HeaderName::try_from(header.name.as_str())
                    .ok()
                    .ok_or_else(|| InvalidLocation::Name(header.name.clone()))?;
                let prefix = header.value_prefix.as_str().into();
                Ok((Self::Header { name, prefix }, header.forward))
            }
            (None, Some(parameter), None) => {
                known(&parameter.extra)?;
                Ok((Self::Query(named(&parameter.name)?), false))
            }
            (None, None, Some(cookie)) => {
                known(&cookie.extra)?;
                Ok((Self::Cookie(named(&cookie.name)?), false))
            }
            _ => Err(InvalidLocation::NotOne),
        }
    }

    /// Whether something stands there that is not the token and that an application may take for it: the scheme in another case,
    /// or what comes before the prefix.
    pub(super) fn has_stray(&self, head: &Parts) -> bool {
        let Self::Header { name, prefix } = self else {
            return false;
        };
        let prefix = prefix.as_bytes();
        let begins = |value: &[u8]| {
            value
                .get(..prefix.len())
                .is_some_and(|first| first.eq_ignore_ascii_case(prefix))
        };
        let mut lines = head.headers.get_all(name).iter();
        lines.any(|line| {
            let value = line.as_bytes().trim_ascii();
            let is_exact = value.starts_with(prefix);
            !is_exact && (begins(value) || after(value, prefix).is_some())
        })
    }

    /// What is there: whoever finds several has to take all of them for tokens, because the application may take any.
    pub(super) fn find<'a>(&self, head: &'a Parts) -> Vec<Cow<'a, [u8]>> {
        match self {
            Self::Header { name, prefix } => in_header(head, name, prefix.as_bytes())
                .into_iter()
                .collect(),
            Self::Query(name) => pairs(head.uri.query().unwrap_or_default())
                .filter(|pair| pair.is_named(name))
                .map(|pair| Cow::from(percent_decode(pair.value.as_bytes())))
                .collect(),
            Self::Cookie(name) => head
                .headers
                .get_all(header::COOKIE)
                .iter()
                .flat_map(|cookies| cookies.as_bytes().split(|byte| *byte == b';'))
                .filter_map(|cookie| in_cookie(cookie, name.as_bytes()))
                .map(Cow::Borrowed)
                .collect(),
        }
    }
}

fn known(extra: &consul_api::Extra) -> Result<(), InvalidLocation> {
    if extra.is_empty() {
        return Ok(());
    }
    let keys: Vec<&str> = extra.keys().map(String::as_str).collect();
    Err(InvalidLocation::UnknownKeys(keys.join("`, `")))
}

/// A header that is repeated is one list, as Envoy takes it: RFC 9110 section 5.3. The prefix may stand anywhere in it, and
/// what is in no token may follow it; behind the token there is to be nothing, so a list can have a token at its end only.
fn in_header<'a>(head: &'a Parts, name: &HeaderName, prefix: &[u8]) -> Option<Cow<'a, [u8]>> {
    let mut values = head
        .headers
        .get_all(name)
        .iter()
        .map(|value| value.as_bytes());
    let first = values.next()?;
    match values.next() {
        None => Some(Cow::Borrowed(after(first, prefix)?)),
        Some(second) => {
            let all: Vec<&[u8]> = [first, second].into_iter().chain(values).collect();
            let joined = all.join(&b',');
            Some(Cow::Owned(after(&joined, prefix)?.to_vec()))
        }
    }
}

fn after<'a>(value: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    if prefix.is_empty() {
        return Some(value.trim_ascii());
    }
    let at = value
        .windows(prefix.len())
        .position(|part| part == prefix)?;
    let rest = &value[at + prefix.len()..];
    let in_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let start = rest.iter().position(in_token).unwrap_or(rest.len());
    Some(rest[start..].trim_ascii_end())
}

fn in_cookie<'a>(cookie: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let equals = cookie.iter().position(|byte| *byte == b'=')?;
    let (named, value) = (
        cookie[..equals].trim_ascii(),
        cookie[equals + 1..].trim_ascii(),
    );
    // Applications differ in whether they decode it.
    if named != name && !percent_decode(named).eq(name.iter().copied()) {
        return None;
    }
    let quoted = value
        .strip_prefix(b"\"")
        .and_then(|value| value.strip_suffix(b"\""));
    Some(quoted.unwrap_or(value))
}

/// One `name=value` of a query, as it is written.
#[derive(Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) text: &'a str,
    name: &'a str,
    value: &'a str,
}

impl Pair<'_> {
    pub(super) fn is_named(&self, name: &str) -> bool {
        percent_decode(self.name.as_bytes()).eq(name.bytes())
    }
}

pub(super) fn pairs(query: &str) -> impl Iterator<Item = Pair<'_>> {
    query.split('&').map(|text| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        Pair { text, name, value }
    })
}
