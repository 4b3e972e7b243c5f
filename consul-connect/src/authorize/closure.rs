//! Policies that are closures.

use std::fmt;

use http::request::Parts;

use super::{Authorize, Caller, Decision, Permit, UNAUTHENTICATED, Verdict};

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

/// A policy from a closure that is asked about requests alone: no connection is refused beforehand, and a byte stream, which
/// has no requests, always.
///
/// ```
/// use consul_connect::{authorize, Decision, Permit, Reason};
///
/// let read_only = authorize::per_request(|_caller, head| match head.method.as_str() {
///     "GET" | "HEAD" => Decision::Allow(Permit::by_default()),
///     _ => Decision::Deny(Reason::fixed("read_only", "nothing may be changed here")),
/// });
/// # let _ = read_only;
/// ```
pub fn per_request<F>(decide: F) -> PerRequest<F>
where
    F: Fn(Caller<'_>, &Parts) -> Decision + Send + Sync + 'static,
{
    PerRequest(decide)
}

/// Made by [`per_request`].
#[derive(Clone)]
pub struct PerRequest<F>(F);

impl<F> fmt::Debug for PerRequest<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PerRequest")
    }
}

impl<F> Authorize for PerRequest<F>
where
    F: Fn(Caller<'_>, &Parts) -> Decision + Send + Sync + 'static,
{
    fn connection(&self, _caller: Caller<'_>) -> Verdict {
        Verdict::PerRequest
    }

    fn request(&self, caller: Caller<'_>, head: &Parts) -> Decision {
        (self.0)(caller, head)
    }
}

/// Lets every verified peer of the mesh in, whatever the intentions say. For tests and for servers that decide themselves.
///
/// # Security
/// Mutual TLS still holds: the caller is a service of this trust domain, or of a cluster peer that the listener knows. Which
/// one is not asked.
pub fn dangerously_allow_all() -> impl Authorize {
    from_fn(|caller, _head| match caller {
        Caller::Peer(_) => Decision::Allow(Permit::by_default()),
        Caller::Unauthenticated => Decision::Deny(UNAUTHENTICATED),
    })
}
