//! One connection over an in-memory stream, spoken to by hyper's clients.

mod normalization;
mod open_requests;
mod panics;
mod requests;
mod stopping;
mod upgrades;

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use consul_connect::{Peer, ServiceId};
use futures_util::{StreamExt as _, stream};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{io::DuplexStream, sync::mpsc, task::JoinHandle};
use tower_service::Service;

use super::{
    admission::Admission,
    callers::Callers,
    connection::{self, Control, Order},
    limits::Limits,
    open,
    protocol::Protocol,
    request::Requests,
};
use crate::{
    authorize::{Authorize, dangerously_allow_all},
    error::BoxError,
    measure::{Exchanges, Inbound, Sink},
};

type Reply = Response<Full<Bytes>>;

/// A connection being served, seen by the test.
struct Served {
    orders: mpsc::UnboundedSender<Order>,
    task: JoinHandle<()>,
}

impl Served {
    fn order(&self, order: Order) {
        self.orders.send(order).expect("it is being served");
    }

    async fn ended(self) {
        self.task
            .await
            .expect("the connection's task does not panic");
    }
}

pub(super) fn web() -> Peer {
    let id = ServiceId::new(
        "test.consul".parse().expect("a domain"),
        "dc1",
        "web".parse().expect("a name"),
    );
    Peer::for_test(id)
}

fn exchanges() -> Arc<Exchanges> {
    Inbound::new(Sink::of("api")).caller(&web())
}

fn serve_with<S, B>(
    app: S,
    authorize: impl Authorize,
    negotiated: Option<Protocol>,
) -> (DuplexStream, Served)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    serve_under(Limits::default(), app, authorize, negotiated)
}

fn serve_under<S, B>(
    limits: Limits,
    app: S,
    authorize: impl Authorize,
    negotiated: Option<Protocol>,
) -> (DuplexStream, Served)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let admission = Admission {
        authorize: Arc::new(authorize),
        ..Admission::default()
    };
    let callers = Callers::One(web(), exchanges());
    let open = Arc::new(open::Requests::new(None, Duration::ZERO));
    let requests = Requests::new(app, Arc::new(admission), callers, open);
    serve_requests(limits, requests, negotiated)
}

fn serve_requests<S, B>(
    limits: Limits,
    requests: Requests<S>,
    negotiated: Option<Protocol>,
) -> (DuplexStream, Served)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (orders, inbox) = mpsc::unbounded_channel();
    let inbox = stream::unfold(inbox, |mut inbox: mpsc::UnboundedReceiver<Order>| async {
        Some((inbox.recv().await?, inbox))
    });
    let task = tokio::spawn(async move {
        let control = Control::new(inbox.boxed(), Arc::clone(requests.open()), None);
        connection::serve(far, negotiated, requests, Arc::new(limits), control).await;
    });
    (near, Served { orders, task })
}

fn serve<S, B>(app: S) -> (DuplexStream, Served)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    serve_with(app, dangerously_allow_all(), None)
}

async fn h1(io: DuplexStream) -> http1::SendRequest<Full<Bytes>> {
    let (client, connection) = http1::handshake(TokioIo::new(io))
        .await
        .expect("a handshake");
    tokio::spawn(connection.with_upgrades());
    client
}

async fn h2(io: DuplexStream) -> http2::SendRequest<Full<Bytes>> {
    let (client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(io))
        .await
        .expect("a handshake");
    tokio::spawn(connection);
    client
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("http://api{path}"))
        .body(Full::default())
        .expect("a request")
}

fn grpc(path: &str) -> Request<Full<Bytes>> {
    let mut request = get(path);
    *request.method_mut() = http::Method::POST;
    request.headers_mut().insert(
        "content-type",
        http::HeaderValue::from_static("application/grpc"),
    );
    request
}

fn reply(text: impl Into<Bytes>) -> Reply {
    Response::new(Full::new(text.into()))
}

async fn text(response: Response<Incoming>) -> String {
    let bytes = response
        .into_body()
        .collect()
        .await
        .expect("a whole body")
        .to_bytes();
    String::from_utf8(bytes.into()).expect("text")
}

/// An application that answers `hello`.
pub(super) fn hello() -> impl Service<
    Request<Incoming>,
    Response = Reply,
    Error = Infallible,
    Future = impl Future<Output = Result<Reply, Infallible>> + Send,
> + Clone
+ Send
+ 'static {
    tower::service_fn(|_request: Request<Incoming>| async { Ok::<_, Infallible>(reply("hello")) })
}
