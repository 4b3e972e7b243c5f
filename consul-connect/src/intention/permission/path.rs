//! The path a permission is about.

use std::fmt;

use consul_api::intention as wire;

use super::{expressions::Expressions, fault::Flaw, re2::Re2};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PathMatch {
    Exact(Box<str>),
    /// By bytes: `/admin` is a prefix of `/administrator`.
    Prefix(Box<str>),
    Regex(Re2),
}

impl PathMatch {
    /// `None`: any path, and none.
    pub(super) fn compile(
        wire: &wire::HttpPermission,
        expressions: &mut Expressions,
    ) -> Result<Option<Self>, Flaw> {
        let path =
            match (
                wire.path_exact.as_str(),
                wire.path_prefix.as_str(),
                wire.path_regex.as_str(),
            ) {
                ("", "", "") => return Ok(None),
                (exact, "", "") => Self::Exact(absolute("PathExact", exact)?),
                ("", prefix, "") => Self::Prefix(absolute("PathPrefix", prefix)?),
                ("", "", pattern) => {
                    Self::Regex(expressions.compile(pattern).map_err(|invalid| {
                        Flaw::PathRegex {
                            pattern: pattern.to_owned(),
                            invalid,
                        }
                    })?)
                }
                _ => return Err(Flaw::SeveralPaths),
            };
        Ok(Some(path))
    }

    /// `given`: without query and fragment.
    pub(super) fn matches(&self, given: &str) -> bool {
        match self {
            Self::Exact(exact) => *given == **exact,
            Self::Prefix(prefix) => given.starts_with(&**prefix),
            Self::Regex(regex) => regex.matches_all(given.as_bytes()),
        }
    }
}

/// Any other path is one that no rule can have been meant for.
fn absolute(key: &'static str, path: &str) -> Result<Box<str>, Flaw> {
    if path.starts_with('/') {
        return Ok(path.into());
    }
    let path = path.to_owned();
    Err(Flaw::Path { key, path })
}

impl fmt::Display for PathMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(exact) => write!(f, "`{exact}`"),
            Self::Prefix(prefix) => write!(f, "starting with `{prefix}`"),
            Self::Regex(regex) => write!(f, "matching `{}`", regex.pattern()),
        }
    }
}
