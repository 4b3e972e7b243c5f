//! May they: the question asked of every connection and every request.
//!
//! [`Authorize`] is an open trait. [`Intentions`](crate::Intentions) is the implementation a mesh member uses. Closures are
//! policies too ([`from_fn`], [`per_request`]), and several become one with [`and`](Authorize::and) and
//! [`or`](Authorize::or):
//!
//! ```
//! use consul_connect::{Authorize, Intentions, authorize};
//! use consul_connect::{Caller, Decision, Permit, Reason};
//!
//! /// What the intentions allow, if it also happens in the caller's own tenancy.
//! fn policy(intentions: Intentions) -> impl Authorize {
//!     intentions.and(authorize::per_request(|_caller, head| {
//!         if head.headers.contains_key("x-tenant") {
//!             Decision::Allow(Permit::by_default())
//!         } else {
//!             Decision::Deny(Reason::fixed("tenant", "the request names no tenant"))
//!         }
//!     }))
//! }
//! # let _ = policy;
//! ```
//!
//! Implementations answer from memory: both methods run on the connection's task and must neither block nor wait.

mod answer;
mod as_of;
mod changes;
mod closure;
mod combine;

use std::sync::Arc;

use http::request::Parts;

use crate::{Peer, jwt::RequestEdits};

pub use answer::{Permit, Reason, Rule};
pub use as_of::AsOf;
pub use changes::Changes;
pub use closure::{FromFn, PerRequest, dangerously_allow_all, from_fn, per_request};
pub use combine::{And, Or};

/// Who asks.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Caller<'a> {
    /// A peer whose certificate was verified.
    Peer(&'a Peer),
    /// Nobody that was verified. Only a permissive deployment ever sees it.
    Unauthenticated,
}

/// Decides about connections and requests.
pub trait Authorize: Send + Sync + 'static {
    /// Decides about a connection, before any byte of it reaches the application.
    fn connection(&self, caller: Caller<'_>) -> Verdict;

    /// Decides about one request of a connection.
    fn request(&self, caller: Caller<'_>, head: &Parts) -> Decision;

    /// What is to be done to a request, whoever lets it in, so that the application can believe what it reads: a policy that
    /// takes tokens out of requests has a say in this also where [another one](Self::or) allows.
    ///
    /// Its own [`Permit`]s carry it already. Nothing, if not said otherwise.
    fn edits(&self, head: &Parts) -> RequestEdits {
        let _ = head;
        RequestEdits::default()
    }

    /// When the rules change. Each change makes open connections be decided again.
    fn changes(&self) -> Changes {
        Changes::never()
    }

    /// Allows what both allow.
    fn and<B: Authorize>(self, other: B) -> And<Self, B>
    where
        Self: Sized,
    {
        And::new(self, other)
    }

    /// Allows what either allows.
    fn or<B: Authorize>(self, other: B) -> Or<Self, B>
    where
        Self: Sized,
    {
        Or::new(self, other)
    }
}

impl<A: Authorize + ?Sized> Authorize for Arc<A> {
    fn connection(&self, caller: Caller<'_>) -> Verdict {
        (**self).connection(caller)
    }

    fn request(&self, caller: Caller<'_>, head: &Parts) -> Decision {
        (**self).request(caller, head)
    }

    fn edits(&self, head: &Parts) -> RequestEdits {
        (**self).edits(head)
    }

    fn changes(&self) -> Changes {
        (**self).changes()
    }
}

/// The answer about a connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// It may be used.
    Allow(Permit),
    /// It may not.
    Deny(Reason),
    /// Only its requests can be decided. A plain byte stream has none, so there it is a refusal.
    PerRequest,
}

/// The answer about a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Decision {
    /// It may pass.
    Allow(Permit),
    /// It may not.
    Deny(Reason),
}

impl Decision {
    /// Whether the request may pass.
    pub fn is_allow(&self) -> bool {
        matches!(self, Self::Allow(_))
    }
}

impl Verdict {
    /// Whether the connection may be used, whatever is asked on it.
    pub fn is_allow(&self) -> bool {
        matches!(self, Self::Allow(_))
    }
}

impl From<Decision> for Verdict {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Allow(permit) => Self::Allow(permit),
            Decision::Deny(reason) => Self::Deny(reason),
        }
    }
}

/// The answer to a caller that was not verified.
pub(crate) const UNAUTHENTICATED: Reason = Reason::fixed(
    "unauthenticated",
    "the caller presented no verified identity",
);
