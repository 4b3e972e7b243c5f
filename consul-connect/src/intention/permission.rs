//! Permissions: the rules of an intention that are about requests.
//!
//! The first permission whose HTTP part matches a request decides about it. They are compiled all or none: one that cannot be
//! carried out says nothing about which requests it was meant for, so whoever holds the intention has to deny.
//!
//! Matching is Envoy's, seen at 1.38: the path without its query, byte for byte; of a repeated header each line by itself, or
//! joined where Envoy joins ([`header`]); expressions in RE2's dialect ([`re2`]).

mod expressions;
mod fault;
mod header;
mod http;
mod method;
mod path;
mod re2;
mod request;

use std::fmt;

use ::http::request::Parts;
use consul_api::intention as wire;

pub(super) use expressions::Expressions;
pub(super) use fault::Fault;
pub use header::{ENVOY_ORDERS, join_lines, list_separator};

use self::{fault::Flaw, http::HttpPart, request::Request};

/// The permissions of one intention, in the order that Consul keeps.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Permissions(Box<[Permission]>);

/// What is decided about the requests it is about.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Permission {
    pub(super) action: Action,
    http: HttpPart,
    /// What a token must say, for what `action` is to have an effect. Not compiled here.
    pub(super) jwt: Option<wire::JwtRequirement>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Allow,
    Deny,
}

impl Permissions {
    /// # Errors
    /// The first thing that keeps one of them from being carried out. Then the whole intention must deny.
    pub(super) fn compile(
        wire: &[wire::Permission],
        expressions: &mut Expressions,
    ) -> Result<Self, Fault> {
        wire.iter()
            .enumerate()
            .map(|(index, permission)| {
                Permission::compile(permission, expressions).map_err(|flaw| Fault::new(index, flaw))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The first one whose HTTP part matches, and its place. `None`: the default decides, not another intention.
    pub(super) fn first(&self, head: &Parts) -> Option<(usize, &Permission)> {
        let request = Request::new(head);
        self.iter()
            .enumerate()
            .find(|(_, permission)| permission.http.matches(&request))
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Permission> {
        self.0.iter()
    }
}

impl Permission {
    /// Whether the request is one that it is about.
    pub(super) fn matches(&self, head: &Parts) -> bool {
        self.http.matches(&Request::new(head))
    }

    fn compile(wire: &wire::Permission, expressions: &mut Expressions) -> Result<Self, Flaw> {
        fault::refuse_unknown_keys("", &wire.extra)?;
        let action = match wire.action.as_deref().unwrap_or_default() {
            "allow" => Action::Allow,
            "deny" => Action::Deny,
            "" => return Err(Flaw::NoAction),
            other => return Err(Flaw::UnknownAction(other.to_owned())),
        };
        let http = wire.http.as_ref().ok_or(Flaw::NoHttp)?;
        Ok(Self {
            action,
            http: HttpPart::compile(http, expressions)?,
            jwt: wire.jwt.clone(),
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}

/// Which requests it is about, not what is decided about them.
impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.http.fmt(f)
    }
}

#[cfg(test)]
mod tests;
