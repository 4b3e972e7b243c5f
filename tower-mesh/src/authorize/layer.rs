use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, request::Parts};
use tower_layer::Layer;
use tower_service::Service;

use super::{Authorize, Caller, Decision, Denied, Dialect, Reason, ResponseBody, ResponseFuture};
use crate::Peer;

/// Puts an [`AuthorizeService`] in front of a service. See the [module](crate::authorize).
#[derive(Clone)]
pub struct AuthorizeLayer {
    authorize: Arc<dyn Authorize>,
    tell_denials: bool,
}

impl AuthorizeLayer {
    /// A layer that asks `authorize` about every request.
    pub fn new(authorize: impl Authorize) -> Self {
        Self {
            authorize: Arc::new(authorize),
            tell_denials: false,
        }
    }

    /// Tells callers why they are denied: in the body of the `403`, in the message of the gRPC status.
    ///
    /// # Security
    ///
    /// The reason names rules and services, and what a token should have said.
    #[must_use]
    pub fn tell_denials(mut self) -> Self {
        self.tell_denials = true;
        self
    }
}

impl<S> Layer<S> for AuthorizeLayer {
    type Service = AuthorizeService<S>;

    fn layer(&self, inner: S) -> AuthorizeService<S> {
        AuthorizeService {
            inner,
            authorize: Arc::clone(&self.authorize),
            tell_denials: self.tell_denials,
        }
    }
}

/// Hands on the requests that are allowed, with the [`Permit`](super::Permit) in their extensions and
/// without what the policy takes out of them, and answers the others. See the [module](crate::authorize).
#[derive(Clone)]
pub struct AuthorizeService<S> {
    inner: S,
    authorize: Arc<dyn Authorize>,
    tell_denials: bool,
}

impl<S, B, R> Service<Request<B>> for AuthorizeService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let caller = head
            .extensions
            .get::<Peer>()
            .map_or(Caller::Unauthenticated, Caller::Peer);
        match self.authorize.request(caller, &head) {
            Decision::Allow(permit) => {
                permit.edits().apply(&mut head);
                head.extensions.insert(permit);
                ResponseFuture::passed(self.inner.call(Request::from_parts(head, body)))
            }
            Decision::Deny(reason) => self.denied(reason, &head),
            // A later kind of answer that this crate does not know is not a permission.
            _ => self.denied(UNKNOWN, &head),
        }
    }
}

impl<S> AuthorizeService<S> {
    fn denied<F, B>(&self, reason: Reason, head: &Parts) -> ResponseFuture<F, B> {
        let denied = Denied::new(reason, head.extensions.get::<Peer>().cloned());
        denied.log(head);
        ResponseFuture::refused(denied.answer(Dialect::of(head), self.tell_denials))
    }
}

const UNKNOWN: Reason = Reason::fixed("unknown", "the policy's answer is of an unknown kind");

impl fmt::Debug for AuthorizeLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizeLayer").finish_non_exhaustive()
    }
}

impl<S: fmt::Debug> fmt::Debug for AuthorizeService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizeService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
