//! gRPC as a generated tonic client calls it.

use std::time::Duration;

use axum::{Router, extract::Request as AxumRequest, response::IntoResponse, routing::post};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::uri::PathAndQuery;
use tonic::{
    Code, Request, Response, Status, Streaming,
    client::{Grpc as ClientGrpc, GrpcService},
    server::{Grpc as ServerGrpc, StreamingService, UnaryService},
    service::interceptor::InterceptedService,
};
use tonic_prost::ProstCodec;
use tower_mesh::Client;

use crate::world::{BOTH, HTTP11, SILENT, World};

#[derive(Clone, PartialEq, prost::Message)]
struct Word {
    #[prost(string, tag = "1")]
    text: String,
}

fn word(text: &str) -> Word {
    Word {
        text: text.to_owned(),
    }
}

/// What `tonic-build` would generate.
struct EchoClient<T> {
    inner: ClientGrpc<T>,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl<T> EchoClient<T>
where
    T: GrpcService<tonic::body::Body>,
    T::Error: Into<BoxError>,
    T::ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    <T::ResponseBody as http_body::Body>::Error: Into<BoxError> + Send,
{
    fn new(inner: T) -> Self {
        Self {
            inner: ClientGrpc::new(inner),
        }
    }

    fn with_interceptor<F>(inner: T, interceptor: F) -> EchoClient<InterceptedService<T, F>>
    where
        F: tonic::service::Interceptor,
        T::ResponseBody: Default,
        T: tower::Service<
                http::Request<tonic::body::Body>,
                Response = http::Response<<T as GrpcService<tonic::body::Body>>::ResponseBody>,
            >,
        <T as tower::Service<http::Request<tonic::body::Body>>>::Error:
            Into<BoxError> + Send + Sync,
    {
        EchoClient::new(InterceptedService::new(inner, interceptor))
    }

    async fn ready(&mut self) -> Result<(), Status> {
        let ready = self.inner.ready().await;
        ready.map_err(|error| Status::unknown(error.into().to_string()))
    }

    async fn unary(
        &mut self,
        request: impl tonic::IntoRequest<Word>,
    ) -> Result<Response<Word>, Status> {
        self.ready().await?;
        let path = PathAndQuery::from_static("/echo.Echo/Unary");
        self.inner
            .unary(request.into_request(), path, ProstCodec::default())
            .await
    }

    async fn chat(
        &mut self,
        words: impl tonic::IntoStreamingRequest<Message = Word>,
    ) -> Result<Response<Streaming<Word>>, Status> {
        self.ready().await?;
        let path = PathAndQuery::from_static("/echo.Echo/Chat");
        self.inner
            .streaming(words.into_streaming_request(), path, ProstCodec::default())
            .await
    }
}

#[derive(Clone)]
struct Unary;

impl UnaryService<Word> for Unary {
    type Response = Word;
    type Future = futures_util::future::BoxFuture<'static, Result<Response<Word>, Status>>;

    fn call(&mut self, request: Request<Word>) -> Self::Future {
        Box::pin(async move {
            let intercepted = request.metadata().contains_key("x-intercepted");
            match request.into_inner().text.as_str() {
                "never" => std::future::pending().await,
                "refuse" => Err(Status::failed_precondition("no: 100%")),
                text => Ok(Response::new(word(&format!("{text} {intercepted}")))),
            }
        })
    }
}

#[derive(Clone)]
struct Chat;

impl StreamingService<Word> for Chat {
    type Response = Word;
    type ResponseStream = stream::BoxStream<'static, Result<Word, Status>>;
    type Future =
        futures_util::future::BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Word>>) -> Self::Future {
        let words = request.into_inner();
        Box::pin(async move {
            let echo = words.map(|word| match word {
                Ok(word) if word.text == "refuse" => Err(Status::aborted("enough")),
                other => other,
            });
            Ok(Response::new(echo.boxed()))
        })
    }
}

fn app() -> Router {
    Router::new()
        .route(
            "/echo.Echo/Unary",
            post(async |request: AxumRequest| {
                let mut grpc = ServerGrpc::new(ProstCodec::<Word, Word>::default());
                grpc.unary(Unary, request).await.into_response()
            }),
        )
        .route(
            "/echo.Echo/Chat",
            post(async |request: AxumRequest| {
                let mut grpc = ServerGrpc::new(ProstCodec::<Word, Word>::default());
                grpc.streaming(Chat, request).await.into_response()
            }),
        )
}

async fn client(alpn: &[&[u8]]) -> (World, Client) {
    let mut world = World::new().await;
    let address = world.serve("api", alpn, app()).await;
    let client = world.client([address]);
    (world, client)
}

#[tokio::test]
async fn unary_calls_are_answered_with_and_without_alpn() {
    for alpn in [BOTH, SILENT] {
        let (_world, client) = client(alpn).await;
        let mut echo = EchoClient::new(client);
        let answer = echo
            .unary(word("hello"))
            .await
            .expect("an answer")
            .into_inner();
        assert_eq!(answer.text, "hello false");
    }
}

#[tokio::test]
async fn interceptors_work() {
    let (_world, client) = client(BOTH).await;
    let mut echo = EchoClient::with_interceptor(client, |mut request: Request<()>| {
        request
            .metadata_mut()
            .insert("x-intercepted", "1".parse().expect("a value"));
        Ok(request)
    });
    let answer = echo
        .unary(word("hello"))
        .await
        .expect("an answer")
        .into_inner();
    assert_eq!(answer.text, "hello true");
}

#[tokio::test]
async fn a_conversation_goes_both_ways_and_ends_in_its_status() {
    let (_world, client) = client(BOTH).await;
    let mut echo = EchoClient::new(client);
    let (words, outgoing) = tokio::sync::mpsc::unbounded_channel();
    let outgoing = stream::unfold(outgoing, async |mut outgoing| {
        outgoing.recv().await.map(|word| (word, outgoing))
    });
    words.send(word("one")).expect("a stream");
    let mut answers = echo
        .chat(Box::pin(outgoing))
        .await
        .expect("a head")
        .into_inner();
    assert_eq!(answers.message().await.expect("a word"), Some(word("one")));
    words.send(word("two")).expect("a stream");
    assert_eq!(answers.message().await.expect("a word"), Some(word("two")));
    words.send(word("refuse")).expect("a stream");
    let status = answers.message().await.expect_err("a status");
    assert_eq!((status.code(), status.message()), (Code::Aborted, "enough"));
}

#[tokio::test]
async fn a_conversation_outlives_the_limit_on_heads() {
    let (_world, client) = client(BOTH).await;
    let mut echo = EchoClient::new(client.timeout(Duration::from_millis(100)));
    let words = stream::unfold(0, async |sent| {
        tokio::time::sleep(Duration::from_millis(60)).await;
        (sent < 4).then(|| (word(&sent.to_string()), sent + 1))
    });
    let answers = echo
        .chat(Box::pin(words))
        .await
        .expect("a head")
        .into_inner();
    let answers: Vec<_> = answers
        .map(|answer| answer.expect("a word").text)
        .collect()
        .await;
    assert_eq!(answers, ["0", "1", "2", "3"]);
}

#[tokio::test]
async fn statuses_of_the_peer_are_passed_on() {
    let (_world, client) = client(BOTH).await;
    let status = EchoClient::new(client)
        .unary(word("refuse"))
        .await
        .expect_err("a status");
    assert_eq!(
        (status.code(), status.message()),
        (Code::FailedPrecondition, "no: 100%")
    );
}

#[tokio::test]
async fn a_peer_without_h2_is_refused_before_the_call_runs() {
    let (_world, client) = client(HTTP11).await;
    let status = EchoClient::new(client)
        .unary(word("hello"))
        .await
        .expect_err("a status");
    assert_eq!(status.code(), Code::Internal);
    assert!(
        status.message().contains("speaks only HTTP/1.1"),
        "{status}"
    );
}

#[tokio::test]
async fn an_upstream_without_endpoints_is_unavailable() {
    let world = World::new().await;
    let mut echo = EchoClient::new(world.client([]));
    let status = echo.unary(word("hello")).await.expect_err("a status");
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(
        status.message(),
        "no endpoint of `api`: no instance of api in dc1 is known"
    );
    let mut echo = EchoClient::new(world.client([world.nowhere().await]));
    assert_eq!(
        echo.unary(word("hello"))
            .await
            .expect_err("a status")
            .code(),
        Code::Unavailable
    );
}

#[tokio::test]
async fn the_callers_deadline_holds_for_answers_and_streams() {
    let (_world, client) = client(BOTH).await;
    let mut echo = EchoClient::new(client);
    let mut request = Request::new(word("never"));
    request.set_timeout(Duration::from_millis(80));
    let status = echo.unary(request).await.expect_err("late");
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");

    let one = stream::iter([word("one")]).chain(stream::pending());
    let mut request = Request::new(one);
    request.set_timeout(Duration::from_millis(200));
    let mut answers = echo.chat(request).await.expect("a head").into_inner();
    assert_eq!(answers.message().await.expect("a word"), Some(word("one")));
    let status = answers.message().await.expect_err("late");
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
}

#[tokio::test]
async fn a_lost_connection_is_unavailable() {
    let (world, client) = client(BOTH).await;
    let mut echo = EchoClient::new(client);
    let one = stream::iter([word("one")]).chain(stream::pending());
    let mut answers = echo.chat(one).await.expect("a head").into_inner();
    assert_eq!(answers.message().await.expect("a word"), Some(word("one")));
    drop(world);
    let status = answers.message().await.expect_err("gone");
    assert_eq!(status.code(), Code::Unavailable, "{status}");
}
