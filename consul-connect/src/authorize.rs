//! May they: the question asked of every connection and every request.
//!
//! [`Authorize`] is an open trait. [`Intentions`](crate::Intentions) is the implementation a mesh member uses; a closure
//! ([`from_fn`]) is one for tests and for policies of your own.
//!
//! Implementations answer from memory: both methods run on the connection's task and must neither block nor wait.

use std::{fmt, sync::Arc};

use http::request::Parts;
use tokio::sync::watch;

use crate::Peer;

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

    /// The generation of the rules. Each new value makes open connections be decided again; `None` if the rules never change.
    fn changes(&self) -> Option<watch::Receiver<u64>> {
        None
    }
}

impl<A: Authorize + ?Sized> Authorize for Arc<A> {
    fn connection(&self, caller: Caller<'_>) -> Verdict {
        (**self).connection(caller)
    }

    fn request(&self, caller: Caller<'_>, head: &Parts) -> Decision {
        (**self).request(caller, head)
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
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

impl From<Decision> for Verdict {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Allow(permit) => Self::Allow(permit),
            Decision::Deny(reason) => Self::Deny(reason),
        }
    }
}

/// Evidence that somebody was allowed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Permit {
    rule: Option<Arc<Rule>>,
}

impl Permit {
    /// Allowed by a named rule.
    pub fn by_rule(rule: Arc<Rule>) -> Self {
        Self { rule: Some(rule) }
    }

    /// Allowed although no rule names the caller: by the default policy, or by a closure.
    pub fn by_default() -> Self {
        Self { rule: None }
    }

    /// The rule that allowed it; `None` if the default did.
    pub fn rule(&self) -> Option<&Rule> {
        self.rule.as_deref()
    }
}

/// Why somebody was denied. `Display` is a sentence a person can act on. Cheap to clone.
#[derive(Clone)]
pub struct Reason {
    code: &'static str,
    text: Text,
    rule: Option<Arc<Rule>>,
}

#[derive(Clone)]
enum Text {
    Fixed(&'static str),
    Shared(Arc<str>),
}

impl Reason {
    /// A reason in words that were made beforehand; `code` is a short metric label such as `intention` or `default`.
    pub fn new(code: &'static str, text: impl Into<Arc<str>>) -> Self {
        Self {
            code,
            text: Text::Shared(text.into()),
            rule: None,
        }
    }

    /// A reason that is always the same sentence.
    pub const fn fixed(code: &'static str, text: &'static str) -> Self {
        Self {
            code,
            text: Text::Fixed(text),
            rule: None,
        }
    }

    /// Names the rule that decided.
    #[must_use]
    pub fn with_rule(mut self, rule: Arc<Rule>) -> Self {
        self.rule = Some(rule);
        self
    }

    /// A short, stable word for metrics and logs.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The rule that denied it; `None` if the default or a fault did.
    pub fn rule(&self) -> Option<&Rule> {
        self.rule.as_deref()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.text {
            Text::Fixed(text) => text,
            Text::Shared(text) => text,
        })
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reason({}: {self})", self.code)
    }
}

/// The rule behind an answer, for logs and `explain`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rule {
    /// The source it names, `*` for any.
    pub source: String,
    /// The destination it names, `*` for any.
    pub destination: String,
    /// Consul's precedence, 1 to 9; 9 is the most specific.
    pub precedence: u32,
    /// Which of its permissions decided, counted from 0.
    pub permission: Option<usize>,
}

impl Rule {
    /// A rule about a whole source.
    pub fn new(source: impl Into<String>, destination: impl Into<String>, precedence: u32) -> Self {
        Self {
            source: source.into(),
            destination: destination.into(),
            precedence,
            permission: None,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} => {} (precedence {}",
            self.source, self.destination, self.precedence
        )?;
        if let Some(permission) = self.permission {
            write!(f, ", permission {permission}")?;
        }
        f.write_str(")")
    }
}

/// A policy from a closure. It gets the request's head, or `None` when a connection is decided.
///
/// ```
/// use consul_connect::{authorize, Caller, Decision, Permit, Reason};
///
/// let only_web = authorize::from_fn(|caller, _head| match caller {
///     Caller::Peer(peer) if peer.id().service().as_str() == "web" => Decision::Allow(Permit::by_default()),
///     _ => Decision::Deny(Reason::fixed("closure", "only `web` may call")),
/// });
/// # let _ = only_web;
/// ```
pub fn from_fn<F>(decide: F) -> FromFn<F>
where
    F: Fn(Caller<'_>, Option<&Parts>) -> Decision + Send + Sync + 'static,
{
    FromFn(decide)
}

/// Made by [`from_fn`].
#[derive(Clone)]
pub struct FromFn<F>(F);

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromFn")
    }
}

impl<F> Authorize for FromFn<F>
where
    F: Fn(Caller<'_>, Option<&Parts>) -> Decision + Send + Sync + 'static,
{
    fn connection(&self, caller: Caller<'_>) -> Verdict {
        (self.0)(caller, None).into()
    }

    fn request(&self, caller: Caller<'_>, head: &Parts) -> Decision {
        (self.0)(caller, Some(head))
    }
}

/// Lets every verified peer of the mesh in, whatever the intentions say. For tests and for servers that decide themselves.
///
/// # Security
/// Mutual TLS still holds: the caller is a service of this trust domain. Which one is not asked.
pub fn dangerously_allow_all() -> impl Authorize {
    from_fn(|caller, _head| match caller {
        Caller::Peer(_) => Decision::Allow(Permit::by_default()),
        Caller::Unauthenticated => Decision::Deny(UNAUTHENTICATED),
    })
}

/// The answer to a caller that was not verified.
pub(crate) const UNAUTHENTICATED: Reason = Reason::fixed(
    "unauthenticated",
    "the caller presented no verified identity",
);
