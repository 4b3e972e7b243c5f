use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::{Authorize, Caller, Decision, Refusal, ResponseBody, ResponseFuture};
use crate::Peer;

/// Puts an [`AuthorizeService`] in front of a service. See the [module](crate::authorize).
#[derive(Clone)]
pub struct AuthorizeLayer {
    authorize: Arc<dyn Authorize>,
}

impl AuthorizeLayer {
    /// A layer that asks `authorize` about every request.
    pub fn new(authorize: impl Authorize) -> Self {
        Self {
            authorize: Arc::new(authorize),
        }
    }
}

impl<S> Layer<S> for AuthorizeLayer {
    type Service = AuthorizeService<S>;

    fn layer(&self, inner: S) -> AuthorizeService<S> {
        AuthorizeService {
            inner,
            authorize: Arc::clone(&self.authorize),
        }
    }
}

/// Hands on the requests that are allowed, with the [`Permit`](super::Permit) in their extensions,
/// and answers the others. See the [module](crate::authorize).
#[derive(Clone)]
pub struct AuthorizeService<S> {
    inner: S,
    authorize: Arc<dyn Authorize>,
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
                head.extensions.insert(permit);
                ResponseFuture::passed(self.inner.call(Request::from_parts(head, body)))
            }
            Decision::Deny(reason) => {
                tracing::debug!(?caller, %reason, "request refused");
                ResponseFuture::refused(Refusal::denied(&head.headers, reason))
            }
            // A later kind of answer that this crate does not know is not a permission.
            unknown => {
                tracing::error!(?caller, ?unknown, "request refused: unknown decision");
                ResponseFuture::refused(Refusal::Denied.answer(super::Dialect::of(&head.headers)))
            }
        }
    }
}

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
