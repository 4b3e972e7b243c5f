//! One request after the other, however it is sent.

use bytes::Bytes;
use http::{Request, Uri, uri::PathAndQuery};
use http_body_util::{BodyExt, Empty as NoBody};
use hyper::client::conn::{http1, http2};
use tonic::client::{Grpc, GrpcService};
use tonic_prost::ProstCodec;

use super::bench::{Blob, Empty, METHOD, PATH};

const KILOBYTE: usize = 1024;

/// Sends the next request when it is told to, and reads the whole answer.
pub(super) trait Caller: Send + 'static {
    fn call(&mut self) -> impl Future<Output = Result<(), String>> + Send;
}

type Nothing = NoBody<Bytes>;

fn get(uri: &'static str) -> Request<Nothing> {
    let mut request = Request::new(NoBody::new());
    *request.uri_mut() = Uri::from_static(uri);
    request
}

async fn kilobyte<B>(response: http::Response<B>) -> Result<(), String>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(|e| e.to_string())?.to_bytes();
    match head.status.is_success() && body.len() == KILOBYTE {
        true => Ok(()),
        false => Err(format!("{} with {} bytes", head.status, body.len())),
    }
}

impl Caller for http1::SendRequest<Nothing> {
    async fn call(&mut self) -> Result<(), String> {
        self.ready().await.map_err(|e| e.to_string())?;
        let mut request = get(PATH);
        let host = http::HeaderValue::from_static("bench");
        request.headers_mut().insert(http::header::HOST, host);
        let response = self.send_request(request).await;
        kilobyte(response.map_err(|e| e.to_string())?).await
    }
}

impl Caller for http2::SendRequest<Nothing> {
    async fn call(&mut self) -> Result<(), String> {
        self.ready().await.map_err(|e| e.to_string())?;
        let response = self.send_request(get("http://bench/kilobyte")).await;
        kilobyte(response.map_err(|e| e.to_string())?).await
    }
}

/// A client of the mesh, over whatever it speaks.
pub(super) struct Member(pub(super) tower_mesh::Client);

impl Caller for Member {
    async fn call(&mut self) -> Result<(), String> {
        let response = tower::Service::call(&mut self.0, get(PATH)).await;
        kilobyte(response.map_err(|e| e.to_string())?).await
    }
}

/// gRPC over any channel.
pub(super) struct Unary<T>(Grpc<T>);

impl<T> Unary<T> {
    pub(super) fn new(channel: T) -> Self {
        Self(Grpc::with_origin(channel, Uri::from_static("http://bench")))
    }
}

impl<T> Caller for Unary<T>
where
    T: GrpcService<tonic::body::Body> + Send + 'static,
    T::Future: Send,
    T::Error: Into<tonic::codegen::StdError>,
    T::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <T::ResponseBody as http_body::Body>::Error: Into<tonic::codegen::StdError> + Send,
{
    async fn call(&mut self) -> Result<(), String> {
        self.0.ready().await.map_err(|e| e.into().to_string())?;
        let codec = ProstCodec::<Empty, Blob>::default();
        let path = PathAndQuery::from_static(METHOD);
        let answer = self
            .0
            .unary(tonic::Request::new(Empty {}), path, codec)
            .await;
        match answer.map_err(|e| e.to_string())?.into_inner().data.len() {
            KILOBYTE => Ok(()),
            other => Err(format!("{other} bytes")),
        }
    }
}

/// hyper's sender as a channel.
pub(super) struct Bare(pub(super) http2::SendRequest<tonic::body::Body>);

impl tower::Service<Request<tonic::body::Body>> for Bare {
    type Response = http::Response<hyper::body::Incoming>;
    type Error = hyper::Error;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
