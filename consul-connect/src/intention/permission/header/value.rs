//! What a value must be.

use std::fmt;

use consul_api::intention as wire;

use crate::intention::permission::{expressions::Expressions, fault::HeaderFlaw, re2::Re2};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ValueMatch {
    Text {
        kind: Kind,
        text: Box<[u8]>,
        /// Of ASCII.
        ignore_case: bool,
    },
    Regex(Re2),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Exact,
    Prefix,
    Suffix,
    Contains,
}

impl ValueMatch {
    /// `None`: nothing is said about the value.
    pub(super) fn compile(
        wire: &wire::HeaderPermission,
        expressions: &mut Expressions,
    ) -> Result<Option<Self>, HeaderFlaw> {
        let texts = [
            (Kind::Exact, &wire.exact),
            (Kind::Prefix, &wire.prefix),
            (Kind::Suffix, &wire.suffix),
            (Kind::Contains, &wire.contains),
        ];
        let mut set = texts.into_iter().filter(|(_, text)| !text.is_empty());
        let regex = Some(wire.regex.as_str()).filter(|regex| !regex.is_empty());
        match (set.next(), set.next(), regex) {
            (None, _, None) => Ok(None),
            (Some((kind, text)), None, None) => Ok(Some(Self::Text {
                kind,
                text: text.as_bytes().into(),
                ignore_case: wire.ignore_case,
            })),
            (None, _, Some(_)) if wire.ignore_case => Err(HeaderFlaw::IgnoreCase),
            (None, _, Some(pattern)) => match expressions.compile(pattern) {
                Ok(regex) => Ok(Some(Self::Regex(regex))),
                Err(invalid) => Err(HeaderFlaw::Regex {
                    pattern: pattern.to_owned(),
                    invalid,
                }),
            },
            _ => Err(HeaderFlaw::SeveralMatchers),
        }
    }

    pub(super) fn matches(&self, given: &[u8]) -> bool {
        match self {
            Self::Regex(regex) => regex.matches_all(given),
            Self::Text {
                kind,
                text,
                ignore_case,
            } => {
                let equal = if *ignore_case {
                    <[u8]>::eq_ignore_ascii_case
                } else {
                    <[u8]>::eq
                };
                kind.compares(given, text, equal)
            }
        }
    }
}

impl Kind {
    fn compares(self, given: &[u8], text: &[u8], equal: fn(&[u8], &[u8]) -> bool) -> bool {
        let length = text.len();
        match self {
            Self::Exact => equal(given, text),
            Self::Prefix => given.get(..length).is_some_and(|start| equal(start, text)),
            Self::Suffix => given
                .len()
                .checked_sub(length)
                .is_some_and(|start| equal(&given[start..], text)),
            // `text` is not empty: that is no matcher.
            Self::Contains => given.windows(length.max(1)).any(|part| equal(part, text)),
        }
    }
}

impl fmt::Display for ValueMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Text {
            kind,
            text,
            ignore_case,
        } = self
        else {
            let Self::Regex(regex) = self else {
                return Ok(());
            };
            return write!(f, "matching `{}`", regex.pattern());
        };
        f.write_str(match kind {
            Kind::Exact => "equal to",
            Kind::Prefix => "starting with",
            Kind::Suffix => "ending with",
            Kind::Contains => "containing",
        })?;
        write!(f, " `{}`", String::from_utf8_lossy(text))?;
        if *ignore_case {
            f.write_str(" in any case")?;
        }
        Ok(())
    }
}
