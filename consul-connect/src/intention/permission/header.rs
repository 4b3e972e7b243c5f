//! What a header must be.
//!
//! A value is compared as Envoy 1.38 does: each line of a repeated header by itself, and one hit is enough; `Invert` turns the
//! outcome of all lines round. Some headers are one line by then: see [`name`]. A header that is not there has no value that
//! could be the right one or the wrong one, so only `Present` can speak about it.

mod name;
mod value;

use std::fmt;

use consul_api::intention as wire;

pub use self::name::{ENVOY_ORDERS, join_lines, list_separator};
use self::{name::Name, value::ValueMatch};
use super::{expressions::Expressions, fault::HeaderFlaw, request::Request};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeaderMatch {
    name: Name,
    matcher: Matcher,
    invert: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Matcher {
    Present,
    Value(ValueMatch),
}

impl HeaderMatch {
    pub(super) fn matches(&self, request: &Request<'_>) -> bool {
        match &self.matcher {
            Matcher::Present => self.name.is_present(request) != self.invert,
            Matcher::Value(value) => self
                .name
                .any(request, |given| value.matches(given))
                .is_some_and(|hit| hit != self.invert),
        }
    }

    /// # Errors
    /// What is wrong with it.
    pub(super) fn compile(
        wire: &wire::HeaderPermission,
        expressions: &mut Expressions,
    ) -> Result<Self, HeaderFlaw> {
        if let Some(key) = wire.extra.keys().next() {
            return Err(HeaderFlaw::UnknownKey(key.clone()));
        }
        let name = Name::compile(&wire.name).ok_or_else(|| HeaderFlaw::Name(wire.name.clone()))?;
        let value = ValueMatch::compile(wire, expressions)?;
        let matcher = match (wire.present, value) {
            (true, None) if wire.ignore_case => return Err(HeaderFlaw::IgnoreCase),
            (true, None) => Matcher::Present,
            (true, Some(_)) => return Err(HeaderFlaw::SeveralMatchers),
            (false, Some(value)) => Matcher::Value(value),
            (false, None) => return Err(HeaderFlaw::NoMatcher),
        };
        Ok(Self {
            name,
            matcher,
            invert: wire.invert,
        })
    }
}

impl fmt::Display for HeaderMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = if self.invert { "not " } else { "" };
        match &self.matcher {
            Matcher::Present => write!(f, "`{}` {not}present", self.name),
            Matcher::Value(value) => write!(f, "`{}` {not}{value}", self.name),
        }
    }
}
