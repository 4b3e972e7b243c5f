use std::{
    fmt,
    task::{Context, Poll},
};

use consul_connect::NormalizationPolicy;
use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::{Denied, Dialect, Refusal, ResponseBody, ResponseFuture};
use crate::{
    Peer,
    serve::{Unfit, normalize},
};

/// Puts a [`NormalizeService`] in front of a service, for servers that are put together by hand.
///
/// ```
/// use axum::Router;
/// use tower::Layer as _;
/// use tower_mesh::{
///     authorize::{AuthorizeLayer, NormalizeLayer, dangerously_allow_all},
///     consul_connect::NormalizationPolicy,
/// };
///
/// # let router: Router = Router::new();
/// let decided = AuthorizeLayer::new(dangerously_allow_all()).layer(router);
/// let app = NormalizeLayer::new(NormalizationPolicy::default()).layer(decided);
/// # let _ = app;
/// ```
///
/// # Security
///
/// It must be in front of the [`AuthorizeLayer`](super::AuthorizeLayer), and of whatever looks at paths. A layer that an axum
/// `Router` was given is not: a router runs its layers when it has chosen the route.
#[derive(Clone, Debug)]
pub struct NormalizeLayer {
    policy: NormalizationPolicy,
}

impl NormalizeLayer {
    /// A layer that does what `policy` says at that moment.
    pub fn new(policy: NormalizationPolicy) -> Self {
        Self { policy }
    }
}

impl<S> Layer<S> for NormalizeLayer {
    type Service = NormalizeService<S>;

    fn layer(&self, inner: S) -> NormalizeService<S> {
        NormalizeService {
            inner,
            policy: self.policy.clone(),
        }
    }
}

/// Hands on requests in their one spelling, and answers those that have none. See [`NormalizeLayer`].
#[derive(Clone)]
pub struct NormalizeService<S> {
    inner: S,
    policy: NormalizationPolicy,
}

impl<S, B, R> Service<Request<B>> for NormalizeService<S>
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
        let refusal = match self.policy.current() {
            Ok(rules) => match normalize(rules, &mut head) {
                Ok(()) => {
                    let request = Request::from_parts(head, body);
                    return ResponseFuture::passed(self.inner.call(request));
                }
                Err(Unfit::Elsewhere(location)) => Refusal::redirect(location),
                Err(Unfit::Malformed(reason)) => {
                    tracing::debug!(method = %head.method, %reason, "request refused");
                    Refusal::Malformed.answer(Dialect::of(&head))
                }
            },
            Err(reason) => {
                let denied = Denied::new(reason, head.extensions.get::<Peer>().cloned());
                denied.log(&head);
                denied.answer(Dialect::of(&head), false)
            }
        };
        ResponseFuture::refused(refusal)
    }
}

impl<S: fmt::Debug> fmt::Debug for NormalizeService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NormalizeService")
            .field("inner", &self.inner)
            .field("policy", &self.policy)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use consul_connect::{EscapedSlashes, RequestNormalization};
    use http::StatusCode;
    use http_body_util::{BodyExt as _, Full};
    use tower::{ServiceExt as _, service_fn};

    use super::*;
    use crate::authorize::{AuthorizeLayer, Decision, Permit, Reason, from_fn};

    /// The answer of an application that tells its path, behind a policy that denies `/admin`.
    async fn ask(rules: RequestNormalization, target: &str) -> (StatusCode, String) {
        let app = service_fn(|request: Request<()>| async move {
            let path = request.uri().path().to_owned();
            Ok::<_, Infallible>(Response::new(Full::<bytes::Bytes>::from(path)))
        });
        let policy = from_fn(|_caller, head| match head {
            Some(head) if head.uri.path() == "/admin" => {
                Decision::Deny(Reason::fixed("test", "an administrator's"))
            }
            _ => Decision::Allow(Permit::by_default()),
        });
        let normalization = NormalizationPolicy::fixed(rules);
        let app = NormalizeLayer::new(normalization).layer(AuthorizeLayer::new(policy).layer(app));
        let request = Request::get(target).body(()).expect("a request");
        let response = app.oneshot(request).await.expect("infallible");
        let status = response.status();
        let place = response.headers().get("location").cloned();
        if let Some(place) = place {
            return (status, place.to_str().expect("text").to_owned());
        }
        let body = response.into_body().collect().await.expect("a body");
        let text = String::from_utf8(body.to_bytes().into());
        (status, text.expect("text"))
    }

    #[tokio::test]
    async fn what_is_inside_sees_the_one_spelling() {
        let mut rules = RequestNormalization::default();
        let answer = ask(rules, "/a/../b").await;
        assert_eq!(answer, (StatusCode::OK, "/b".to_owned()));
        let (status, _) = ask(rules, "/a/%2e%2e/admin").await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        let (status, _) = ask(rules, "/%00").await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        rules.escaped_slashes = EscapedSlashes::UnescapeAndRedirect;
        let answer = ask(rules, "/a%2Fb").await;
        assert_eq!(answer, (StatusCode::TEMPORARY_REDIRECT, "/a/b".to_owned()));
    }
}
