//! Applications that panic after the head of a response is out.

use std::{
    pin::Pin,
    sync::Mutex,
    task::{Context, Poll},
};

use http_body::Frame;
use http_body_util::{Either, StreamBody};
use tokio::sync::oneshot;

use super::*;

type Frames = stream::BoxStream<'static, Result<Frame<Bytes>, Infallible>>;

/// A body that panics at one of the things that are asked of it.
struct Panics(&'static str);

impl Drop for Panics {
    fn drop(&mut self) {
        assert!(self.0 != "/drop", "on purpose, as it is dropped");
    }
}

impl http_body::Body for Panics {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        panic!("on purpose, asked for a frame")
    }

    fn is_end_stream(&self) -> bool {
        assert!(self.0 != "/end", "on purpose, asked for the end");
        false
    }

    fn size_hint(&self) -> http_body::SizeHint {
        assert!(self.0 != "/size", "on purpose, asked for the size");
        http_body::SizeHint::default()
    }
}

const PATHS: [&str; 5] = ["/first", "/later", "/end", "/size", "/drop"];

type Answers = Response<Either<StreamBody<Frames>, Panics>>;

/// Panics in the body of each of [`PATHS`]; `/slow` ends when it is told to, and the others say `hello`.
fn app(
    told: oneshot::Receiver<()>,
) -> impl Service<
    Request<Incoming>,
    Response = Answers,
    Error = Infallible,
    Future = impl Future<Output = Result<Answers, Infallible>> + Send,
> + Clone
+ Send
+ 'static {
    let told = Arc::new(Mutex::new(Some(told)));
    let hello = || Ok(Frame::data(Bytes::from_static(b"hello")));
    tower::service_fn(move |request: Request<Incoming>| {
        let path = request.uri().path();
        let body = if let Some(path) = PATHS.into_iter().find(|one| *one == path) {
            if path == "/later" {
                let broken = stream::once(async { panic!("on purpose, after a frame") });
                Either::Left(StreamBody::new(
                    stream::iter([hello()]).chain(broken).boxed(),
                ))
            } else {
                Either::Right(Panics(path))
            }
        } else if path == "/slow" {
            let told = told.lock().expect("no panic").take().expect("asked once");
            let end = stream::once(async move {
                told.await.expect("told");
                hello()
            });
            Either::Left(StreamBody::new(stream::iter([hello()]).chain(end).boxed()))
        } else {
            Either::Left(StreamBody::new(stream::iter([hello()]).boxed()))
        };
        async { Ok(Response::new(body)) }
    })
}

/// What the caller has of a response, which must not look like a whole one. The head may have gone out or not.
async fn broken(response: hyper::Result<Response<Incoming>>) -> hyper::Error {
    match response {
        Ok(response) => response
            .into_body()
            .collect()
            .await
            .expect_err("half a response must not look like a whole one"),
        Err(error) => error,
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_body_closes_an_http1_connection_before_the_promised_end() {
    for path in PATHS {
        let (_tell, told) = oneshot::channel();
        let (io, served) = serve(app(told));
        let mut client = h1(io).await;
        broken(client.send_request(get(path)).await).await;
        served.ended().await;
        client.ready().await.expect_err("closed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_body_resets_its_h2_stream_and_no_other() {
    let (tell, told) = oneshot::channel();
    let (io, served) = serve(app(told));
    let mut client = h2(io).await;
    let slow = client.send_request(get("/slow")).await.expect("a response");
    for path in PATHS {
        let error = broken(client.send_request(get(path)).await).await;
        let cause = std::error::Error::source(&error).expect("a cause");
        let reset = cause.downcast_ref::<h2::Error>().expect("a reset");
        assert_eq!(reset.reason(), Some(h2::Reason::INTERNAL_ERROR), "{path}");
        let next = client.send_request(get("/")).await.expect("a response");
        assert_eq!(text(next).await, "hello");
    }
    tell.send(()).expect("it waits");
    assert_eq!(text(slow).await, "hellohello");
    drop(client);
    served.ended().await;
}

#[cfg(feature = "metrics")]
#[tokio::test(start_paused = true)]
async fn a_panic_in_a_body_is_counted_as_a_response_that_failed() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let (_tell, told) = oneshot::channel();
    let (io, _served) = serve(app(told));
    let mut client = h2(io).await;
    broken(client.send_request(get("/later")).await).await;
    let whole = client.send_request(get("/")).await.expect("a response");
    assert_eq!(text(whole).await, "hello");
    let rendered = recorder.handle().render();
    let requests: Vec<_> = rendered
        .lines()
        .filter(|line| line.starts_with(crate::metrics::REQUESTS))
        .collect();
    for code in ["body", "200"] {
        let code = format!("code=\"{code}\"");
        let counted = |line: &&str| line.contains(&code) && line.ends_with(" 1");
        assert!(requests.iter().any(counted), "{code}: {requests:?}");
    }
}
