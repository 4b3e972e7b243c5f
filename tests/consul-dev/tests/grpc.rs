//! The certificate authority over gRPC: signing by CSR and the stream of roots.

use std::time::Duration;

use consul_dev::{ConsulDev, Fault, FaultRule, Policy};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, SanType};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

#[derive(Clone, PartialEq, prost::Message)]
struct SignRequest {
    #[prost(string, tag = "1")]
    csr: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SignResponse {
    #[prost(string, tag = "2")]
    cert_pem: String,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Empty {}

#[derive(Clone, PartialEq, prost::Message)]
struct Roots {
    #[prost(string, tag = "1")]
    active_root_id: String,
    #[prost(string, tag = "2")]
    trust_domain: String,
    #[prost(message, repeated, tag = "3")]
    roots: Vec<Root>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Root {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(bool, tag = "7")]
    active: bool,
}

const SIGN: &str = "/hashicorp.consul.connectca.ConnectCAService/Sign";
const WATCH: &str = "/hashicorp.consul.connectca.ConnectCAService/WatchRoots";

async fn channel(dev: &ConsulDev) -> Channel {
    Channel::from_shared(format!("http://{}", dev.grpc_addr()))
        .expect("an address")
        .connect()
        .await
        .expect("connects")
}

fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    if !token.is_empty() {
        request
            .metadata_mut()
            .insert("x-consul-token", token.parse().expect("a token"));
    }
    request
}

async fn sign(dev: &ConsulDev, token: &str, csr: String) -> Result<String, Status> {
    let mut client = tonic::client::Grpc::new(channel(dev).await);
    client.ready().await.expect("ready");
    let codec = ProstCodec::<SignRequest, SignResponse>::default();
    let request = with_token(SignRequest { csr }, token);
    client
        .unary(request, PathAndQuery::from_static(SIGN), codec)
        .await
        .map(|response: Response<SignResponse>| response.into_inner().cert_pem)
}

async fn watch(dev: &ConsulDev, token: &str) -> Result<Streaming<Roots>, Status> {
    let mut client = tonic::client::Grpc::new(channel(dev).await);
    client.ready().await.expect("ready");
    let codec = ProstCodec::<Empty, Roots>::default();
    client
        .server_streaming(
            with_token(Empty {}, token),
            PathAndQuery::from_static(WATCH),
            codec,
        )
        .await
        .map(Response::into_inner)
}

fn csr(uris: &[String], email: bool) -> String {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for uri in uris {
        params
            .subject_alt_names
            .push(SanType::URI(uri.as_str().try_into().expect("ASCII")));
    }
    if email {
        params
            .subject_alt_names
            .push(SanType::Rfc822Name("a@b".try_into().expect("ASCII")));
    }
    params
        .serialize_request(&key)
        .expect("a request")
        .pem()
        .expect("PEM")
}

#[tokio::test]
async fn a_request_for_a_service_is_signed() {
    let dev = ConsulDev::start().await.expect("starts");
    let pem = sign(&dev, "", csr(&[dev.service_uri("web")], false))
        .await
        .expect("signed");
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"));
}

#[tokio::test]
async fn what_consul_refuses_to_sign_is_refused_with_its_code() {
    let dev = ConsulDev::start().await.expect("starts");
    let web = dev.service_uri("web");
    let cases = [
        ("no URI", csr(&[], false), Code::InvalidArgument),
        (
            "two URIs",
            csr(&[web.clone(), dev.service_uri("api")], false),
            Code::InvalidArgument,
        ),
        (
            "an e-mail",
            csr(std::slice::from_ref(&web), true),
            Code::InvalidArgument,
        ),
        (
            "another datacenter",
            csr(&[web.replace("/dc/dc1/", "/dc/dc2/")], false),
            Code::InvalidArgument,
        ),
        (
            "another namespace",
            csr(&[web.replace("/ns/default/", "/ns/x/")], false),
            Code::InvalidArgument,
        ),
        (
            "another trust domain",
            csr(
                &["spiffe://x.consul/ns/default/dc/dc1/svc/web".to_owned()],
                false,
            ),
            Code::InvalidArgument,
        ),
        (
            "no SPIFFE path",
            csr(&[format!("spiffe://{}/x", dev.trust_domain())], false),
            Code::Internal,
        ),
        ("no PEM", "x".to_owned(), Code::InvalidArgument),
    ];
    for (what, request, code) in cases {
        let status = sign(&dev, "", request).await.expect_err(what);
        assert_eq!(status.code(), code, "{what}: {status}");
    }
}

#[tokio::test]
async fn tokens_decide_what_is_signed_and_watched() {
    let dev = ConsulDev::builder()
        .acl(true)
        .start()
        .await
        .expect("starts");
    let web = dev
        .create_token(Policy::new().service_write("web"))
        .secret_id;
    let api = dev
        .create_token(Policy::new().service_write("api"))
        .secret_id;
    let request = || csr(&[dev.service_uri("web")], false);
    assert!(sign(&dev, &web, request()).await.is_ok());
    for (token, code) in [
        (api.as_str(), Code::PermissionDenied),
        ("", Code::PermissionDenied),
        ("nobody", Code::Unauthenticated),
    ] {
        let status = sign(&dev, token, request()).await.expect_err("refused");
        assert_eq!(status.code(), code);
    }
    assert_eq!(
        watch(&dev, "").await.expect_err("refused").code(),
        Code::Unauthenticated
    );
    assert!(watch(&dev, &api).await.is_ok());
}

#[tokio::test]
async fn the_stream_begins_with_the_roots_and_follows_their_changes() {
    let dev = ConsulDev::start().await.expect("starts");
    let mut stream = watch(&dev, "").await.expect("a stream");
    let first = stream.message().await.expect("a message").expect("roots");
    assert_eq!(first.trust_domain, dev.trust_domain());
    assert_eq!(first.roots.len(), 1);
    dev.set_intention("a", "b", true)
        .expect("an unrelated change");
    let new = dev.rotate_root().expect("rotates");
    let second = tokio::time::timeout(Duration::from_secs(20), stream.message())
        .await
        .expect("in time")
        .expect("a message")
        .expect("roots");
    assert_eq!(second.active_root_id, new);
    assert_eq!(second.roots.iter().filter(|root| root.active).count(), 1);
    assert_eq!(second.roots.len(), 2);
}

#[tokio::test]
async fn faults_reach_grpc_too() {
    let dev = ConsulDev::start().await.expect("starts");
    let request = || csr(&[dev.service_uri("web")], false);
    dev.fault(FaultRule::new(SIGN, Fault::rate_limited_write()).times(1));
    dev.fault(FaultRule::new(SIGN, Fault::csr_limited()).times(1));
    for code in [Code::Unavailable, Code::ResourceExhausted] {
        assert_eq!(
            sign(&dev, "", request()).await.expect_err("refused").code(),
            code
        );
    }
    assert!(sign(&dev, "", request()).await.is_ok());
    let mut stream = watch(&dev, "").await.expect("a stream");
    stream.message().await.expect("a message");
    dev.grpc_down().await.expect("down");
    assert!(stream.message().await.is_err(), "the stream breaks");
    dev.grpc_up().await.expect("up");
    assert!(sign(&dev, "", request()).await.is_ok());
    assert_eq!(dev.request_count(SIGN), 4);
}
