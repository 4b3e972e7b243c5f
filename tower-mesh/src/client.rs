//! Calling an upstream.
//!
//! One type for everything: HTTP/1.1, h2 and gRPC, by a small builder, by `http::Request`, or as
//! the tower service that a generated tonic client takes.

mod builder;
mod deadline;
mod head;
mod replay;
mod response;
mod send;

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use consul_connect::{Connector, Identity, ServiceName};
use http::{Method, Request, Response as HttpResponse};

pub use builder::RequestBuilder;
pub use response::Response;

use crate::{
    body::Body,
    error::{BoxError, Error},
    measure::Sink,
    resolve::Resolve,
    upstream::{Context as Upstreams, ContextConfig, Upstream, UpstreamStatus},
};

/// How long a response head may take unless the caller says otherwise. Envoy's default, which is
/// what a service behind a sidecar was used to.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);

/// Calls one upstream. Cheap to clone; all clones, and all clients of one name of one mesh, share
/// its endpoints and connections.
///
/// It is a tower [`Service`](tower_service::Service) of `http::Request<B>` for every body, and
/// always ready: what must wait, waits in the call. A generated tonic client takes it as it is, for
/// example `GreeterClient::new(mesh.client("greeter"))`.
///
/// The upstream's name is the authority of requests that bring none. An authority or `Host` that a
/// request does bring is passed on, and never decides where it goes.
///
/// # Sending again
///
/// A request that was certainly not sent goes to another endpoint, up to three in all, whatever its
/// method. One that was sent goes again only if its body is made of bytes and either the peer said
/// that it did not look at it, or its method is idempotent and the connection was lost before a
/// response began.
///
/// # gRPC
///
/// A failure of a gRPC call is a response: `grpc-status` 14 (unavailable), 4 (deadline exceeded), 7
/// or 13 with the error's words, so that a generated client reports the right code. The [`Error`] is
/// in the response's extensions.
///
/// # Shutdown
///
/// What follows Consul for this upstream stops with the last clone, and not before the mesh has
/// forgotten it: see [`Mesh::client`](crate::Mesh::client). Responses that are being read end by
/// themselves.
#[derive(Clone)]
pub struct Client {
    upstream: Arc<Upstream>,
    limits: Limits,
}

#[derive(Clone, Copy)]
struct Limits {
    timeout: Option<Duration>,
    idle: Option<Duration>,
}

impl Client {
    pub(crate) fn of(upstream: Arc<Upstream>) -> Self {
        Self {
            upstream,
            limits: Limits {
                timeout: Some(DEFAULT_TIMEOUT),
                idle: None,
            },
        }
    }

    /// A client of `service` without Consul: instances come from `resolve`, for example
    /// [`resolve::fixed`](crate::resolve::fixed), and must prove to be `service` in the trust domain
    /// and datacenter of `identity`.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn with_resolver(identity: Identity, service: ServiceName, resolve: impl Resolve) -> Self {
        let sink = Sink::of(identity.current().id().service().as_str());
        let connector = Connector::new(identity);
        let config = ContextConfig::default();
        let upstreams = Upstreams::new(None, connector, Arc::new(resolve), config, sink);
        Self::of(upstreams.upstream(&service.into()))
    }

    /// The same client with another limit on how long the head of a response may take, from the end
    /// of the request's body; `None` for no limit. Default 15 s. Bodies of responses have no limit.
    ///
    /// While a streaming body is under way, the same limit holds for finding the upstream, for each
    /// try to connect, and for the peer's taking of each piece: an upload that goes on may take as
    /// long as it likes, and one that the peer stops reading ends.
    ///
    /// A [`RequestBuilder::timeout`] or a `grpc-timeout` of a request goes before it.
    #[must_use]
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.limits.timeout = timeout.into();
        self
    }

    /// The same client with a limit on the pause between two pieces of a response body. Default
    /// none: a stream may be silent for as long as it likes, and a peer that died is found by h2
    /// pings within half a minute.
    ///
    /// It is also, in place of the [`timeout`](Self::timeout), how long the peer may take no piece of
    /// a streaming request body before it answers.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.limits.idle = timeout.into();
        self
    }

    /// The upstream's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.upstream.name()
    }

    /// What is known of the upstream now.
    #[must_use]
    pub fn status(&self) -> UpstreamStatus {
        self.upstream.status()
    }

    /// Waits until it is known where the upstream is: its first call would no longer wait for
    /// Consul. That it has an endpoint is not promised.
    ///
    /// # Errors
    ///
    /// As soon as waiting is of no use: the name is wrong, or Consul refuses to tell.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn resolved(&self) -> Result<(), Error> {
        self.upstream.ready().await.map(drop)
    }

    /// A `GET` of a path, which may have a query.
    pub fn get(&self, path: impl AsRef<str>) -> RequestBuilder<'_> {
        self.request(Method::GET, path)
    }

    /// A `POST` to a path.
    pub fn post(&self, path: impl AsRef<str>) -> RequestBuilder<'_> {
        self.request(Method::POST, path)
    }

    /// A `PUT` to a path.
    pub fn put(&self, path: impl AsRef<str>) -> RequestBuilder<'_> {
        self.request(Method::PUT, path)
    }

    /// A `PATCH` of a path.
    pub fn patch(&self, path: impl AsRef<str>) -> RequestBuilder<'_> {
        self.request(Method::PATCH, path)
    }

    /// A `DELETE` of a path.
    pub fn delete(&self, path: impl AsRef<str>) -> RequestBuilder<'_> {
        self.request(Method::DELETE, path)
    }

    /// A `HEAD` of a path.
    pub fn head(&self, path: impl AsRef<str>) -> RequestBuilder<'_> {
        self.request(Method::HEAD, path)
    }

    /// A request with any method.
    pub fn request(&self, method: Method, path: impl AsRef<str>) -> RequestBuilder<'_> {
        RequestBuilder::new(self, method, path.as_ref())
    }

    /// Sends a request, when the future is polled, and returns the response when its head has arrived.
    ///
    /// # Errors
    ///
    /// [`Error::kind`](crate::Error::kind) tells whether anything was sent:
    /// [`is_unsent`](crate::Error::is_unsent). Statuses are no errors.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the request: an HTTP/1.1 connection is closed, an h2 stream
    /// reset. The peer may have acted on it.
    pub fn send<B>(&self, request: Request<B>) -> ResponseFuture
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let upstream = Arc::clone(&self.upstream);
        ResponseFuture(Box::pin(send::send(upstream, self.limits, request)))
    }
}

impl<B> tower_service::Service<Request<B>> for Client
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = HttpResponse<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        self.send(request)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("upstream", &self.name())
            .finish_non_exhaustive()
    }
}

/// A response that is awaited. Nothing is sent before it is polled.
///
/// # Cancel safety
///
/// As [`Client::send`].
pub struct ResponseFuture(Pin<Box<dyn Future<Output = Result<HttpResponse<Body>, Error>> + Send>>);

impl Future for ResponseFuture {
    type Output = Result<HttpResponse<Body>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
