use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use http::StatusCode;
use http_body_util::StreamBody;
use tokio::time::Instant;

use super::*;
use crate::authorize::{Caller, Decision, Permit, Reason, from_fn};

#[tokio::test(start_paused = true)]
async fn speaks_what_alpn_settled_and_what_the_first_bytes_say() {
    for negotiated in [None, Some(Protocol::Http1)] {
        let (io, _served) = serve_with(hello(), dangerously_allow_all(), negotiated);
        let response = h1(io)
            .await
            .send_request(get("/"))
            .await
            .expect("a response");
        assert_eq!(text(response).await, "hello");
    }
    for negotiated in [None, Some(Protocol::H2)] {
        let (io, _served) = serve_with(hello(), dangerously_allow_all(), negotiated);
        let response = h2(io)
            .await
            .send_request(get("/"))
            .await
            .expect("a response");
        assert_eq!(response.version(), http::Version::HTTP_2);
        assert_eq!(text(response).await, "hello");
    }
}

#[tokio::test(start_paused = true)]
async fn the_application_sees_the_peer_and_never_what_a_caller_claims_to_be() {
    let app = tower::service_fn(|request: Request<Incoming>| async move {
        let peer = request.extensions().get::<Peer>().expect("a peer");
        let claims = request
            .headers()
            .get_all("x-forwarded-client-cert")
            .iter()
            .count();
        let permit = request.extensions().get::<Permit>().is_some();
        Ok::<_, Infallible>(reply(format!("{peer} {claims} {permit}")))
    });
    let sees_no_claim = from_fn(|_caller, head| match head {
        Some(head) if head.headers.contains_key("x-forwarded-client-cert") => {
            Decision::Deny(Reason::fixed("test", "the policy saw the claim"))
        }
        _ => Decision::Allow(Permit::by_default()),
    });
    let (io, _served) = serve_with(app, sees_no_claim, None);
    let mut request = get("/");
    for claim in [
        "URI=spiffe://test.consul/ns/default/dc/dc1/svc/admin",
        "By=x",
    ] {
        let claim = http::HeaderValue::from_static(claim);
        request
            .headers_mut()
            .append("x-forwarded-client-cert", claim);
    }
    let response = h1(io)
        .await
        .send_request(request)
        .await
        .expect("a response");
    assert_eq!(
        text(response).await,
        "spiffe://test.consul/ns/default/dc/dc1/svc/web 0 true"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_speaks_the_callers_protocol_and_reaches_no_application() {
    let reached = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reached);
    let app = tower::service_fn(move |_request: Request<Incoming>| {
        count.fetch_add(1, Ordering::Relaxed);
        async { Ok::<_, Infallible>(reply("never")) }
    });
    let deny = || {
        from_fn(|caller, _head| {
            assert!(matches!(caller, Caller::Peer(peer) if peer.id().service().as_str() == "web"));
            Decision::Deny(Reason::fixed("test", "a secret reason"))
        })
    };

    let (io, _served) = serve_with(app.clone(), deny(), None);
    let response = h1(io)
        .await
        .send_request(get("/"))
        .await
        .expect("a response");
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(text(response).await, "RBAC: access denied");

    let (io, _served) = serve_with(app, deny(), None);
    let response = h2(io)
        .await
        .send_request(grpc("/p.S/M"))
        .await
        .expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/grpc");
    assert_eq!(response.headers()["grpc-status"], "7");
    assert_eq!(response.headers()["grpc-message"], "RBAC: access denied");
    assert_eq!(text(response).await, "");

    assert_eq!(reached.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn the_refusal_of_a_head_request_has_no_body() {
    let head = || {
        let mut request = get("/");
        *request.method_mut() = http::Method::HEAD;
        request
    };
    let deny = || from_fn(|_, _| Decision::Deny(Reason::fixed("test", "denied")));
    let (io, _served) = serve_with(hello(), deny(), None);
    let response = h1(io).await.send_request(head()).await;
    let response = response.expect("a response");
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(text(response).await, "");

    let (io, _served) = serve_with(hello(), deny(), None);
    let response = h2(io).await.send_request(head()).await;
    // A body would be an error of the protocol.
    let response = response.expect("a response");
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(response.headers()["content-length"], "19");
    assert_eq!(text(response).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_connect_without_a_path_reaches_no_rule_and_no_application() {
    for version in [http::Version::HTTP_11, http::Version::HTTP_2] {
        let request = Request::connect("db.internal:5432").version(version);
        let request = request.body(Full::default()).expect("a CONNECT request");
        let (io, _served) = serve(hello());
        let response = match version {
            http::Version::HTTP_2 => h2(io).await.send_request(request).await,
            _ => h1(io).await.send_request(request).await,
        };
        let status = response.expect("a response").status();
        assert_eq!(status, StatusCode::BAD_REQUEST, "{version:?}");
    }
}

/// Says when it is dropped.
struct Notice(Option<tokio::sync::oneshot::Sender<()>>);

impl Drop for Notice {
    fn drop(&mut self) {
        let _ = self.0.take().map(|sender| sender.send(()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_grpc_deadline_stops_the_handler_and_says_so() {
    let (dropped, is_dropped) = tokio::sync::oneshot::channel();
    let notice = Arc::new(std::sync::Mutex::new(Some(Notice(Some(dropped)))));
    let app = tower::service_fn(move |_request: Request<Incoming>| {
        let notice = notice.lock().expect("not poisoned").take();
        async move {
            std::future::pending::<()>().await;
            drop(notice);
            Ok::<_, Infallible>(reply("never"))
        }
    });
    let (io, _served) = serve(app);
    let mut client = h2(io).await;
    let mut request = grpc("/p.S/M");
    request
        .headers_mut()
        .insert("grpc-timeout", http::HeaderValue::from_static("250m"));
    let began = Instant::now();
    let response = client.send_request(request).await.expect("a response");
    assert_eq!(response.headers()["grpc-status"], "4");
    assert_eq!(began.elapsed(), Duration::from_millis(250));
    is_dropped.await.expect("the handler was dropped");
}

#[tokio::test(start_paused = true)]
async fn a_grpc_deadline_ends_a_stream_whose_head_is_out() {
    let app = tower::service_fn(|_request: Request<Incoming>| async {
        let first = http_body::Frame::data(Bytes::from_static(b"first"));
        let frames = stream::iter([Ok::<_, Infallible>(first)]).chain(stream::pending());
        Ok::<_, Infallible>(Response::new(StreamBody::new(frames)))
    });
    let (io, _served) = serve(app);
    let mut client = h2(io).await;
    let mut request = grpc("/p.S/M");
    request
        .headers_mut()
        .insert("grpc-timeout", http::HeaderValue::from_static("2S"));
    let response = client.send_request(request).await.expect("a response");
    let whole = response
        .into_body()
        .collect()
        .await
        .expect("an orderly end");
    assert_eq!(whole.trailers().expect("trailers")["grpc-status"], "4");
    assert_eq!(whole.to_bytes(), "first");
}

#[tokio::test(start_paused = true)]
async fn a_timeout_header_means_nothing_outside_grpc() {
    let app = tower::service_fn(|_request: Request<Incoming>| async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok::<_, Infallible>(reply("slow"))
    });
    let (io, _served) = serve(app);
    let mut request = get("/");
    request
        .headers_mut()
        .insert("grpc-timeout", http::HeaderValue::from_static("1S"));
    let response = h1(io)
        .await
        .send_request(request)
        .await
        .expect("a response");
    assert_eq!(text(response).await, "slow");
}

#[tokio::test(start_paused = true)]
async fn errors_and_panics_are_the_requests_own_and_the_connection_goes_on() {
    let app = tower::service_fn(|request: Request<Incoming>| async move {
        match request.uri().path() {
            "/error" => Err(std::io::Error::other("a secret of the application")),
            "/panic" => panic!("on purpose"),
            _ => Ok(reply("hello")),
        }
    });
    let (io, _served) = serve(app);
    let mut client = h1(io).await;
    for path in ["/error", "/panic"] {
        let response = client.send_request(get(path)).await.expect("a response");
        assert_eq!(
            response.status(),
            StatusCode::INTERNAL_SERVER_ERROR,
            "{path}"
        );
        assert_eq!(text(response).await, "internal server error", "{path}");
    }
    let response = client.send_request(get("/")).await.expect("a response");
    assert_eq!(text(response).await, "hello");

    let (io, _served) = serve(app);
    let mut client = h2(io).await;
    for path in ["/error", "/panic"] {
        let response = client.send_request(grpc(path)).await.expect("a response");
        assert_eq!(response.headers()["grpc-status"], "13", "{path}");
    }
    let response = client.send_request(get("/")).await.expect("a response");
    assert_eq!(text(response).await, "hello");
}

#[tokio::test(start_paused = true)]
async fn a_service_is_polled_ready_before_each_call() {
    let app = tower::ServiceBuilder::new()
        .layer(tower::limit::ConcurrencyLimitLayer::new(1))
        .service(hello());
    let (io, _served) = serve(app);
    let client = h2(io).await;
    let calls = (0..8).map(|_| {
        let mut client = client.clone();
        async move { text(client.send_request(get("/")).await.expect("a response")).await }
    });
    assert_eq!(futures_util::future::join_all(calls).await, ["hello"; 8]);
}

#[tokio::test(start_paused = true)]
async fn an_oversized_head_is_refused() {
    let (io, _served) = serve(hello());
    let mut request = get("/");
    let big = http::HeaderValue::try_from("x".repeat(70_000)).expect("a value");
    request.headers_mut().insert("x-big", big);
    let response = h1(io)
        .await
        .send_request(request)
        .await
        .expect("a response");
    assert_eq!(
        response.status(),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );
}
