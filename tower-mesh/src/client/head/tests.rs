use super::*;

fn prepared(request: http::request::Builder) -> (Prepared, Request<Body>) {
    let mut request = request.body(Body::empty()).expect("a request");
    let is_grpc = crate::grpc::content_type(request.headers()).is_some();
    let prepared = prepare(&mut request, is_grpc, "api").expect("prepared");
    (prepared, request)
}

fn shaped(request: &mut Request<Body>, prepared: &Prepared, protocol: Protocol) {
    let own = OwnAuthority::from(Authority::from_static("api"));
    shape(request, prepared, &own, protocol).expect("a request");
}

#[test]
fn the_upstream_is_the_authority_where_the_request_has_none() {
    let (known, mut request) = prepared(Request::get("/a?b=c"));
    assert_eq!(known.want, Want::Any);
    shaped(&mut request, &known, Protocol::Http1);
    assert_eq!(request.uri(), "/a?b=c");
    assert_eq!(request.headers()[HOST], "api");
    shaped(&mut request, &known, Protocol::Http2);
    assert_eq!(request.uri(), "https://api/a?b=c");
}

#[test]
fn an_authority_of_the_request_is_kept() {
    for request in [
        Request::get("http://shop.example:8080/a"),
        Request::get("/a").header(HOST, "shop.example:8080"),
    ] {
        let (known, mut request) = prepared(request);
        shaped(&mut request, &known, Protocol::Http2);
        assert_eq!(request.uri(), "https://shop.example:8080/a");
        assert!(!request.headers().contains_key(HOST));
        shaped(&mut request, &known, Protocol::Http1);
        assert_eq!(request.headers()[HOST], "shop.example:8080");
    }
}

#[test]
fn a_try_on_http1_can_be_followed_by_one_on_h2() {
    let (known, mut request) = prepared(Request::get("http://shop.example/a"));
    shaped(&mut request, &known, Protocol::Http1);
    shaped(&mut request, &known, Protocol::Http2);
    assert_eq!(request.uri(), "https://shop.example/a");
    assert_eq!(request.version(), Version::HTTP_2);
    assert!(!request.headers().contains_key(HOST));
}

#[test]
fn credentials_in_an_authority_do_not_reach_host() {
    let (known, mut request) = prepared(Request::get("http://me:secret@shop/a"));
    shaped(&mut request, &known, Protocol::Http1);
    assert_eq!(request.headers()[HOST], "shop");
}

#[test]
fn an_empty_path_is_the_root() {
    let (known, mut request) = prepared(Request::get("http://shop"));
    shaped(&mut request, &known, Protocol::Http1);
    assert_eq!(request.uri(), "/");
}

#[test]
fn what_is_for_one_connection_is_not_passed_on() {
    let (_, request) = prepared(
        Request::get("/")
            .header("connection", "close, x-mine")
            .header("x-mine", "1")
            .header("keep-alive", "timeout=5")
            .header("proxy-connection", "keep-alive")
            .header("transfer-encoding", "chunked")
            .header("upgrade", "h2c")
            .header("te", "gzip")
            .header("x-kept", "1"),
    );
    let names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["x-kept"]);
}

#[test]
fn te_trailers_stays() {
    let (known, request) = prepared(
        Request::post("/")
            .header("te", "trailers, deflate")
            .header("content-type", "application/grpc+proto"),
    );
    assert_eq!(request.headers()[TE], "trailers");
    assert_eq!(known.want, Want::Http2);
}

#[test]
fn nobody_can_forward_a_client_certificate() {
    let (_, request) =
        prepared(Request::get("/").header("x-forwarded-client-cert", "URI=spiffe://x"));
    assert!(request.headers().is_empty());
}

#[test]
fn an_upgrade_needs_http1_and_keeps_its_headers() {
    let (known, request) = prepared(
        Request::get("/")
            .header("connection", "keep-alive, Upgrade")
            .header("upgrade", "websocket"),
    );
    assert_eq!(known.want, Want::Http1);
    assert_eq!(request.headers()[CONNECTION], "upgrade");
    assert_eq!(request.headers()[UPGRADE], "websocket");
}

#[test]
fn a_request_that_names_h2_needs_it() {
    let (known, _) = prepared(Request::get("/").version(Version::HTTP_2));
    assert_eq!(known.want, Want::Http2);
}

#[test]
fn a_tunnel_is_refused() {
    let mut request = Request::connect("api:80")
        .body(Body::empty())
        .expect("a request");
    let error = prepare(&mut request, false, "api").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}
