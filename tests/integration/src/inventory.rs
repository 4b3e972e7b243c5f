//! A small gRPC service, written as tonic's generator would: how many of something are there, once or as a stream.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use futures_util::{StreamExt, future::BoxFuture, stream};
use http::{Request, Response};
use tonic::{
    Status,
    body::Body,
    codegen::BoxStream,
    server::{Grpc, NamedService, ServerStreamingService, UnaryService},
};
use tonic_prost::ProstCodec;
use tower_mesh::Peer;

/// What is asked.
#[derive(Clone, PartialEq, prost::Message)]
#[non_exhaustive]
pub struct Item {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// What is answered.
#[derive(Clone, PartialEq, prost::Message)]
#[non_exhaustive]
pub struct Stock {
    /// How many there are.
    #[prost(uint32, tag = "1")]
    pub count: u32,
    /// Who asked, as the server knows it.
    #[prost(string, tag = "2")]
    pub caller: String,
}

/// Answers with the length of the item's name, and to a stream with one number after the other up to it.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct InventoryServer;

impl NamedService for InventoryServer {
    const NAME: &'static str = "shop.Inventory";
}

fn answer(request: &tonic::Request<Item>) -> Result<Stock, Status> {
    let caller = request
        .extensions()
        .get::<Peer>()
        .ok_or_else(|| Status::internal("no peer"))?;
    let name = &request.get_ref().name;
    let count = u32::try_from(name.len()).map_err(|_e| Status::invalid_argument("too long"))?;
    Ok(Stock {
        count,
        caller: caller.id().service().to_string(),
    })
}

impl UnaryService<Item> for InventoryServer {
    type Response = Stock;
    type Future = BoxFuture<'static, Result<tonic::Response<Stock>, Status>>;

    fn call(&mut self, request: tonic::Request<Item>) -> Self::Future {
        Box::pin(async move { answer(&request).map(tonic::Response::new) })
    }
}

impl ServerStreamingService<Item> for InventoryServer {
    type Response = Stock;
    type ResponseStream = BoxStream<Stock>;
    type Future = BoxFuture<'static, Result<tonic::Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: tonic::Request<Item>) -> Self::Future {
        Box::pin(async move {
            let last = answer(&request)?;
            let counts = (1..=last.count).map(move |count| {
                Ok(Stock {
                    count,
                    ..last.clone()
                })
            });
            Ok(tonic::Response::new(stream::iter(counts).boxed()))
        })
    }
}

impl<B> tower::Service<Request<B>> for InventoryServer
where
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<tonic::codegen::StdError> + Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let me = *self;
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<Stock, Item>::default());
            Ok(match request.uri().path() {
                "/shop.Inventory/Count" => grpc.unary(me, request).await,
                "/shop.Inventory/CountUp" => grpc.server_streaming(me, request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

/// The client, as tonic's generator would write it.
#[derive(Clone, Debug)]
pub struct InventoryClient<T>(tonic::client::Grpc<T>);

impl<T> InventoryClient<T>
where
    T: tonic::client::GrpcService<Body>,
    T::Error: Into<tonic::codegen::StdError>,
    T::ResponseBody: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    <T::ResponseBody as http_body::Body>::Error: Into<tonic::codegen::StdError> + Send,
{
    /// A client over any channel.
    pub fn new(inner: T) -> Self {
        Self(tonic::client::Grpc::new(inner))
    }

    async fn ready(&mut self) -> Result<(), Status> {
        self.0
            .ready()
            .await
            .map_err(|e| Status::unknown(format!("not ready: {}", e.into())))
    }

    /// One answer.
    ///
    /// # Errors
    /// The server's status, or what kept it from being reached.
    pub async fn count(&mut self, name: &str) -> Result<Stock, Status> {
        self.ready().await?;
        let request = tonic::Request::new(Item {
            name: name.to_owned(),
        });
        let path = http::uri::PathAndQuery::from_static("/shop.Inventory/Count");
        Ok(self
            .0
            .unary(request, path, ProstCodec::default())
            .await?
            .into_inner())
    }

    /// All answers of a stream.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    pub async fn count_up(&mut self, name: &str) -> Result<Vec<Stock>, Status> {
        self.ready().await?;
        let request = tonic::Request::new(Item {
            name: name.to_owned(),
        });
        let path = http::uri::PathAndQuery::from_static("/shop.Inventory/CountUp");
        let mut answers = self
            .0
            .server_streaming(request, path, ProstCodec::default())
            .await?
            .into_inner();
        let mut all = Vec::new();
        while let Some(stock) = answers.message().await? {
            all.push(stock);
        }
        Ok(all)
    }
}
