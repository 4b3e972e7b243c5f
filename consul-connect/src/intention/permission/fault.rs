//! Why permissions cannot be carried out.

use consul_api::Extra;

use super::re2::Invalid;

/// Names the permission by its place in the list, as Consul writes it, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Permissions[{index}]{flaw}")]
pub(crate) struct Fault {
    index: usize,
    flaw: Flaw,
}

/// What is wrong with one permission. Consul refuses to store most of these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    #[error("{place} has the key `{key}`, which this version does not know")]
    UnknownKey { place: String, key: String },
    #[error(" has no action")]
    NoAction,
    #[error(" has the action {0:?}, which is unknown to this version")]
    UnknownAction(String),
    #[error(" has no HTTP part, so it may be about any request")]
    NoHttp,
    #[error(".HTTP is empty, so it may be about any request")]
    EmptyHttp,
    #[error(".HTTP has more than one kind of path")]
    SeveralPaths,
    #[error(".HTTP.{key} {path:?} does not begin with `/`")]
    Path { key: &'static str, path: String },
    #[error(".HTTP.PathRegex {pattern:?} is not valid: {invalid}")]
    PathRegex { pattern: String, invalid: Invalid },
    #[error(".HTTP.Methods has {0:?}, which is no method in upper case")]
    Method(String),
    #[error(".HTTP.Header[{index}]{flaw}")]
    Header { index: usize, flaw: HeaderFlaw },
}

/// What is wrong with the rule about one header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderFlaw {
    #[error(" has the key `{0}`, which this version does not know")]
    UnknownKey(String),
    #[error(" has the name {0:?}, which no header of a request can have")]
    Name(String),
    #[error(" says nothing about the header's value")]
    NoMatcher,
    #[error(" says more than one thing about the header's value")]
    SeveralMatchers,
    #[error(" has IgnoreCase, which says nothing with Present or Regex")]
    IgnoreCase,
    #[error(".Regex {pattern:?} is not valid: {invalid}")]
    Regex { pattern: String, invalid: Invalid },
}

impl Fault {
    pub(super) fn new(index: usize, flaw: Flaw) -> Self {
        Self { index, flaw }
    }
}

/// There is more to it than this version understands.
pub(super) fn refuse_unknown_keys(place: &str, extra: &Extra) -> Result<(), Flaw> {
    match extra.keys().next() {
        None => Ok(()),
        Some(key) => Err(Flaw::UnknownKey {
            place: place.to_owned(),
            key: key.clone(),
        }),
    }
}
