use std::{convert::Infallible, future::pending, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use tower::{ServiceExt as _, service_fn};
use tower_layer::Layer as _;

use super::*;
use crate::Peer;

fn web() -> Peer {
    let domain = "test.consul".parse().expect("a domain");
    let name = "web".parse().expect("a name");
    Peer::for_test(consul_connect::ServiceId::new(domain, "dc1", name))
}

async fn app(request: Request<()>) -> Result<Response<Full<Bytes>>, Infallible> {
    let permitted = request.extensions().get::<Permit>().is_some();
    Ok(Response::new(Full::new(
        format!("permitted: {permitted}").into(),
    )))
}

async fn ask(layer: &AuthorizeLayer, request: Request<()>) -> (StatusCode, http::HeaderMap, Bytes) {
    let response = layer
        .layer(service_fn(app))
        .oneshot(request)
        .await
        .expect("infallible");
    assert_eq!(
        response.status() == StatusCode::OK && !response.headers().contains_key("grpc-status"),
        response.extensions().get::<Denied>().is_none(),
        "the reason goes with the refusal"
    );
    let (head, body) = response.into_parts();
    (
        head.status,
        head.headers,
        body.collect().await.expect("a body").to_bytes(),
    )
}

#[tokio::test]
async fn hands_on_what_is_allowed_with_the_permit() {
    let layer = AuthorizeLayer::new(dangerously_allow_all());
    let mut request = Request::new(());
    request.extensions_mut().insert(web());
    let (status, _, body) = ask(&layer, request).await;
    assert_eq!(
        (status, &*body),
        (StatusCode::OK, b"permitted: true".as_slice())
    );
}

#[tokio::test]
async fn a_request_nobody_verified_is_refused() {
    let layer = AuthorizeLayer::new(dangerously_allow_all());
    let (status, _, body) = ask(&layer, Request::new(())).await;
    assert_eq!(
        (status, &*body),
        (StatusCode::FORBIDDEN, b"RBAC: access denied".as_slice())
    );
}

#[tokio::test]
async fn a_grpc_caller_is_refused_in_its_own_protocol() {
    let layer = AuthorizeLayer::new(dangerously_allow_all());
    let request = Request::builder().header("content-type", "application/grpc+proto");
    let (status, headers, body) = ask(&layer, request.body(()).expect("a request")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["grpc-status"], "7");
    assert_eq!(headers["content-type"], "application/grpc+proto");
    assert!(body.is_empty());
}

#[tokio::test]
async fn a_caller_is_told_why_where_the_program_wants_it() {
    let why = || from_fn(|_, _| Decision::Deny(Reason::fixed("test", "100% closed")));
    let layer = AuthorizeLayer::new(why()).tell_denials();
    let (status, _, body) = ask(&layer, Request::new(())).await;
    assert_eq!(
        (status, &*body),
        (
            StatusCode::FORBIDDEN,
            b"RBAC: access denied: 100% closed".as_slice()
        )
    );
    let request = Request::builder().header("content-type", "application/grpc");
    let (_, headers, _) = ask(&layer, request.body(()).expect("a request")).await;
    assert_eq!(headers["grpc-status"], "7");
    assert_eq!(
        headers["grpc-message"],
        "RBAC: access denied: 100%25 closed"
    );
    // And not where it does not.
    let (_, _, body) = ask(&AuthorizeLayer::new(why()), Request::new(())).await;
    assert_eq!(&*body, b"RBAC: access denied");
}

#[tokio::test]
async fn the_policy_sees_the_head_of_the_request() {
    let layer = AuthorizeLayer::new(from_fn(|_caller, head| {
        match head.map(|head| head.uri.path()) {
            Some("/open") => Decision::Allow(Permit::by_default()),
            _ => Decision::Deny(Reason::fixed("test", "only /open")),
        }
    }));
    for (path, expected) in [
        ("/open", StatusCode::OK),
        ("/closed", StatusCode::FORBIDDEN),
    ] {
        let request = Request::get(path).body(()).expect("a request");
        assert_eq!(ask(&layer, request).await.0, expected, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_timed_body_promises_no_length_and_ends_with_a_status() {
    let inner = http_body_util::StreamBody::new(futures_util::stream::pending::<
        Result<http_body::Frame<Bytes>, Infallible>,
    >());
    let deadline = Box::pin(tokio::time::sleep(Duration::from_secs(3)));
    let body = ResponseBody::timed(inner, deadline);
    assert_eq!(body.size_hint().exact(), None);
    assert!(!body.is_end_stream());
    let whole = tokio::select! {
        whole = body.collect() => whole.expect("an end"),
        () = pending() => unreachable!("never ready"),
    };
    assert_eq!(whole.trailers().expect("trailers")["grpc-status"], "4");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_never_short_of_data_ends_at_its_deadline_too() {
    let began = tokio::time::Instant::now();
    // Ready at every poll; time passes as the caller takes it.
    let inner = http_body_util::StreamBody::new(futures_util::stream::repeat_with(|| {
        Ok::<_, Infallible>(http_body::Frame::data(Bytes::from_static(b"more")))
    }));
    let deadline = Box::pin(tokio::time::sleep(Duration::from_secs(3)));
    let mut body = ResponseBody::timed(inner, deadline);
    loop {
        let frame = body.frame().await.expect("a frame").expect("infallible");
        if let Some(trailers) = frame.trailers_ref() {
            assert_eq!(trailers["grpc-status"], "4");
            break;
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(began.elapsed() < Duration::from_secs(5), "it goes on");
    }
    assert_eq!(began.elapsed(), Duration::from_secs(3));
    assert!(body.is_end_stream());
}
