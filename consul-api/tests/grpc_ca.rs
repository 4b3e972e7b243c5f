//! The mesh CA over gRPC.
#![cfg(feature = "grpc")]

use std::time::Duration;

use consul_api::{
    Client, Config, Error, Token,
    grpc::{Roots, RootsStream},
};
use consul_dev::{ConsulDev, Fault, FaultRule, Policy};
use futures_util::StreamExt;
use rcgen::{CertificateParams, KeyPair, SanType};
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(20);
const SIGN: &str = "/hashicorp.consul.connectca.ConnectCAService/Sign";
const WATCH_ROOTS: &str = "/hashicorp.consul.connectca.ConnectCAService/WatchRoots";

fn client(dev: &ConsulDev, token: Token) -> Client {
    let config = Config::new(dev.http_addr())
        .expect("an address")
        .with_token(token);
    Client::new(config.with_grpc_address(dev.grpc_addr().parse().expect("an address")))
        .expect("a client")
}

fn csr(uri: &str) -> String {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(uri.try_into().expect("a URI"))];
    params
        .serialize_request(&key)
        .expect("a request")
        .pem()
        .expect("PEM")
}

async fn item(roots: &mut RootsStream) -> Result<Roots, Error> {
    timeout(LONG, roots.next())
        .await
        .expect("an item in time")
        .expect("the stream never ends")
}

#[tokio::test]
async fn signs_a_request_leaf_first() {
    let dev = ConsulDev::start().await.expect("a Consul");
    let grpc = client(&dev, Token::anonymous()).grpc().expect("an address");
    let chain = grpc
        .sign(&csr(&dev.service_uri("web")))
        .await
        .expect("a chain");
    assert!(chain.starts_with("-----BEGIN CERTIFICATE-----"), "{chain}");
}

#[tokio::test]
async fn says_why_a_request_is_refused() {
    let dev = ConsulDev::builder()
        .acl(true)
        .start()
        .await
        .expect("a Consul");
    let csr_of_web = csr(&dev.service_uri("web"));
    let grpc = |token| client(&dev, token).grpc().expect("an address");

    let manager = grpc(Token::new(dev.management_token()));
    let error = manager.sign("no PEM").await.expect_err("no request");
    assert_eq!(
        (
            error.status().map(|status| status.as_u16()),
            error.is_retryable()
        ),
        (Some(400), false),
        "{error}"
    );

    let other = dev.create_token(Policy::service_identity("other"));
    let error = grpc(Token::new(&other.secret_id))
        .sign(&csr_of_web)
        .await
        .expect_err("another service's token");
    assert!(error.is_permission_denied(), "{error}");
    assert!(
        !format!("{error:?}").contains(&other.secret_id),
        "{error:?}"
    );

    let unknown = grpc(Token::new("00000000-1111-2222-3333-444444444444"));
    assert!(
        unknown
            .sign(&csr_of_web)
            .await
            .expect_err("an unknown token")
            .is_unknown_token()
    );

    dev.fault(FaultRule::new(SIGN, Fault::csr_limited()).times(1));
    let error = manager.sign(&csr_of_web).await.expect_err("the limit");
    assert!(error.is_rate_limited() && error.is_retryable(), "{error}");
    manager.sign(&csr_of_web).await.expect("after the limit");
}

#[tokio::test]
async fn an_address_nobody_listens_at_is_named() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("bound")
        .to_string();
    let client = Client::new(Config::default()).expect("a client");
    let error = client
        .grpc_at(&unused)
        .expect("an address")
        .sign("")
        .await
        .expect_err("nobody is there");
    assert!(
        error.is_connect() && error.to_string().contains(&unused),
        "{error}"
    );
    let error = client
        .grpc_at("unix:///nobody/listens/here")
        .expect("an address")
        .sign("")
        .await
        .expect_err("no socket");
    assert!(
        error.is_connect() && error.to_string().contains("/nobody/listens/here"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let dev = ConsulDev::start().await.expect("a Consul");
    dev.fault(FaultRule::new(SIGN, Fault::Hang));
    let grpc = client(&dev, Token::anonymous())
        .grpc()
        .expect("an address")
        .with_timeout(Duration::from_millis(50));
    let error = timeout(LONG, grpc.sign(&csr(&dev.service_uri("web"))))
        .await
        .expect("in time")
        .expect_err("no answer");
    assert!(
        error.is_timeout() && error.to_string().contains(dev.grpc_addr()),
        "{error}"
    );
}

#[tokio::test]
async fn plaintext_to_another_host_is_refused() {
    let refused = |config: Config| {
        Client::new(config)
            .expect("a client")
            .grpc_at("10.0.0.1:8502")
            .err()
    };
    assert!(refused(Config::default()).is_some_and(|error| error.is_plaintext_refused()));
    assert!(refused(Config::default().allow_plaintext_consul()).is_none());
}

#[tokio::test]
async fn the_roots_come_whole_and_again_with_each_rotation() {
    let dev = ConsulDev::start().await.expect("a Consul");
    let mut stream = client(&dev, Token::anonymous())
        .grpc()
        .expect("an address")
        .watch_roots();
    let first = item(&mut stream).await.expect("the roots");
    assert_eq!(
        (first.trust_domain.as_str(), first.roots.len()),
        (dev.trust_domain().as_str(), 1)
    );
    assert_eq!(first.active_root_id, dev.active_root());
    assert_eq!(
        (first.roots[0].active, first.roots[0].rotated_out_at),
        (true, None)
    );
    let new = dev.rotate_root().expect("another root");
    let second = item(&mut stream).await.expect("the roots");
    assert_eq!(
        (second.active_root_id.as_str(), second.roots.len()),
        (new.as_str(), 2)
    );
    let retired = second
        .roots
        .iter()
        .find(|root| !root.active)
        .expect("the old root");
    assert!(retired.rotated_out_at.is_some());
}

#[tokio::test]
async fn the_stream_of_roots_mends_itself_and_says_what_was_wrong() {
    let dev = ConsulDev::start().await.expect("a Consul");
    let mut stream = client(&dev, Token::anonymous())
        .grpc()
        .expect("an address")
        .watch_roots();
    let before = item(&mut stream).await.expect("the roots");
    dev.grpc_down().await.expect("down");
    item(&mut stream).await.expect_err("it is gone");
    assert!(
        item(&mut stream)
            .await
            .is_err_and(|error| error.is_connect()),
        "nobody listens"
    );
    dev.grpc_up().await.expect("up");
    let after = loop {
        if let Ok(roots) = item(&mut stream).await {
            break roots;
        }
    };
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_replaced_token_is_used_for_the_next_attempt() {
    let dev = ConsulDev::builder()
        .acl(true)
        .start()
        .await
        .expect("a Consul");
    let client = client(&dev, Token::new("00000000-1111-2222-3333-444444444444"));
    let mut stream = client.grpc().expect("an address").watch_roots();
    assert!(
        item(&mut stream)
            .await
            .is_err_and(|error| error.is_unknown_token())
    );
    client.replace_token(Token::new(dev.management_token()));
    item(&mut stream).await.expect("the roots");
    assert!(dev.request_count(WATCH_ROOTS) >= 2);
}
