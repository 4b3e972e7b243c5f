//! What is served: a kilobyte, over HTTP and over gRPC.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tonic::{
    Status,
    body::Body,
    server::{Grpc, UnaryService},
};
use tonic_prost::ProstCodec;

type BoxFuture<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;

pub(super) const PATH: &str = "/kilobyte";
pub(super) const METHOD: &str = "/bench.Bench/Kilobyte";

static KILOBYTE: [u8; 1024] = [b'x'; 1024];

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Empty {}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Blob {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) data: Bytes,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Bench;

impl UnaryService<Empty> for Bench {
    type Response = Blob;
    type Future = BoxFuture<Result<tonic::Response<Blob>, Status>>;

    fn call(&mut self, _request: tonic::Request<Empty>) -> Self::Future {
        let data = Bytes::from_static(&KILOBYTE);
        Box::pin(async move { Ok(tonic::Response::new(Blob { data })) })
    }
}

impl<B> tower::Service<Request<B>> for Bench
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<tonic::codegen::StdError> + Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let me = *self;
        Box::pin(async move {
            if request.uri().path() == METHOD {
                let mut grpc = Grpc::new(ProstCodec::<Blob, Empty>::default());
                return Ok(grpc.unary(me, request).await);
            }
            let body = Full::new(Bytes::from_static(&KILOBYTE));
            Ok(Response::new(Body::new(
                body.map_err(|never| match never {}),
            )))
        })
    }
}
