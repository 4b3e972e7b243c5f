//! A server under TLS 1.3 looks at our certificate when we are done with the handshake. Its refusal is a refusal all the same:
//! not a lost request, and no reason to ask the same server again.

use std::{io::ErrorKind as IoErrorKind, net::SocketAddr, sync::atomic::Ordering};

use consul_connect::{
    Address, Connector, Destination, Identity, RefusedByPeer, authorize::dangerously_allow_all,
    test_util::TestCa,
};
use mesh_tests::{TD, refusing_server};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower_mesh::{
    Client, ErrorKind,
    resolve::{Instance, fixed},
    serve::Server,
};

const BOTH: &[&[u8]] = &[b"h2", b"http/1.1"];
const HTTP11: &[&[u8]] = &[b"http/1.1"];

fn client<const N: usize>(web: &Identity, addresses: [SocketAddr; N]) -> Client {
    let instances = addresses.map(|address| Instance::new(Address::Tcp(address)));
    Client::with_resolver(
        web.clone(),
        "api".parse().expect("a name"),
        fixed(instances),
    )
}

#[tokio::test]
async fn it_is_denied_and_not_sent_again_to_the_one_who_refused() {
    let ca = TestCa::new(TD);
    let (web, _source) = ca.identity("web").await.expect("an identity");
    for alpn in [BOTH, HTTP11] {
        for method in [http::Method::GET, http::Method::POST] {
            let (address, callers) = refusing_server(&ca.material("api"), alpn).await;
            let client = client(&web, [address]);
            let error = client
                .request(method.clone(), "/")
                .body("content")
                .send()
                .await
                .expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::Denied, "{method}: {error:?}");
            assert!(error.is_unsent() && error.is_denied(), "{error:?}");
            assert!(format!("{error:?}").contains("UnknownCA"), "{error:?}");
            assert_eq!(callers.load(Ordering::SeqCst), 1, "{method}, {alpn:?}");
        }
    }
}

#[tokio::test]
async fn another_instance_that_does_not_refuse_is_asked() {
    let ca = TestCa::new(TD);
    let (web, _source) = ca.identity("web").await.expect("an identity");
    let (api, _api_source) = ca.identity("api").await.expect("an identity");
    let server = Server::builder(api, Arc::new(dangerously_allow_all()))
        .bind("127.0.0.1:0")
        .await
        .expect("a server");
    let good = server.local_addr();
    let app = axum::Router::new().fallback(async |body: String| body);
    tokio::spawn(server.run(app));
    let (bad, callers) = refusing_server(&ca.material("api"), BOTH).await;
    let client = client(&web, [bad, good]);
    for _ in 0..20 {
        let sent = client.post("/").body("content").send().await;
        let answer = sent.expect("an answer").text().await.expect("text");
        assert_eq!(answer, "content");
    }
    assert!(callers.load(Ordering::SeqCst) > 0, "it was asked as well");
}

#[tokio::test]
async fn a_byte_stream_says_so_where_its_first_byte_would_be() {
    let ca = TestCa::new(TD);
    let (web, _source) = ca.identity("web").await.expect("an identity");
    let (address, _callers) = refusing_server(&ca.material("api"), &[]).await;
    let destination = Destination::new(address, ca.id("api"));
    let connection = Connector::new(web).connect(&destination).await;
    let mut stream = connection.expect("a handshake that looks done").stream;
    let _ = stream.write_all(b"hello").await;
    let error = stream.read_u8().await.expect_err("refused");
    assert_eq!(error.kind(), IoErrorKind::PermissionDenied);
    let refused = RefusedByPeer::of(&error).expect("the refusal");
    assert_eq!(refused.alert, "UnknownCA");
}
