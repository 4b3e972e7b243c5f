//! The two names everything else is built from.

use std::{fmt, str::FromStr, sync::Arc};

use super::segment::is_forbidden;

macro_rules! name_impls {
    ($name:ident) => {
        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<&str> for $name {
            type Error = InvalidName;
            fn try_from(value: &str) -> Result<Self, InvalidName> {
                value.parse()
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(value: String) -> Result<Self, InvalidName> {
                value.parse()
            }
        }
    };
}

/// The name of a trust domain, as Consul makes them: `<cluster id>.consul`. Cheap to clone.
///
/// Lower-case letters, digits, `.`, `-` and `_`, at most 255 bytes (SPIFFE-ID §2.1).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(Arc<str>);

/// # Errors
/// [`InvalidName`] if it is empty, too long, or has a character outside the allowed ones.
impl FromStr for TrustDomain {
    type Err = InvalidName;

    fn from_str(value: &str) -> Result<Self, InvalidName> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b);
        check("trust domain", value, value.bytes().all(fits))?;
        Ok(Self(value.into()))
    }
}

name_impls!(TrustDomain);

/// The name of one service: never a wildcard, never a path. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceName(Arc<str>);

/// # Errors
/// [`InvalidName`] if it is empty, `.` or `..`, longer than 255 bytes, or has `*`, `/`, `\`, `%`, `?`, `#` or a control character.
impl FromStr for ServiceName {
    type Err = InvalidName;

    fn from_str(value: &str) -> Result<Self, InvalidName> {
        check(
            "service name",
            value,
            !value.contains(is_forbidden) && !matches!(value, "." | ".."),
        )?;
        Ok(Self(value.into()))
    }
}

name_impls!(ServiceName);

fn check(what: &'static str, value: &str, fits: bool) -> Result<(), InvalidName> {
    let problem = if value.is_empty() {
        "it is empty"
    } else if value.len() > 255 {
        "it is longer than 255 bytes"
    } else if !fits {
        "it has a character that is not allowed there"
    } else {
        return Ok(());
    };
    Err(InvalidName {
        what,
        value: value.chars().take(255).collect(),
        problem,
    })
}

/// Not a usable name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} {value:?}: {problem}")]
pub struct InvalidName {
    what: &'static str,
    value: String,
    problem: &'static str,
}
