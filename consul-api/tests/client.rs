//! The client over real sockets: what it sends, what it refuses to do, and what it makes of answers that are no good.

use std::{
    io::ErrorKind,
    sync::{Arc, Mutex},
    time::Duration,
};

use consul_api::{Client, Config, Error, Request, Token};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UnixListener},
};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nnull";

/// The heads of the requests that have come in, each whole.
type Heads = Arc<Mutex<Vec<String>>>;

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, heads: &Heads, reply: &str) {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    heads
        .lock()
        .expect("no panic")
        .push(String::from_utf8(head).expect("text"));
    let _ = stream.write_all(reply.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Answers every request with `reply`; gives its port.
async fn server(reply: impl Into<String>) -> (u16, Heads) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let heads = Heads::default();
    let (seen, reply) = (Arc::clone(&heads), reply.into());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            answer(stream, &seen, &reply).await;
        }
    });
    (port, heads)
}

fn config(port: u16) -> Config {
    Config::new(format!("127.0.0.1:{port}")).expect("an address")
}

fn client(config: Config) -> Client {
    Client::new(config).expect("a client")
}

fn anything() -> Request<Value> {
    Request::get(["anything"])
}

fn seen(heads: &Heads) -> Vec<String> {
    heads.lock().expect("no panic").clone()
}

fn text_of(error: &Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(&format!(" {cause} {cause:?}"));
        next = cause.source();
    }
    text
}

#[tokio::test]
async fn the_token_goes_into_its_header_and_can_be_replaced() {
    let (port, heads) = server(OK).await;
    let client = client(
        config(port)
            .with_token(Token::new("first"))
            .with_basic_auth("ann", "pw"),
    );
    let clone = client.clone();
    let other = client.with_token(Token::new("other"));
    client.send(&anything()).await.expect("an answer");
    client.replace_token(Token::new("second"));
    clone.send(&anything()).await.expect("an answer");
    other.send(&anything()).await.expect("an answer");
    client.replace_token(Token::anonymous());
    client.send(&anything()).await.expect("an answer");

    let tokens: Vec<Option<String>> = seen(&heads)
        .iter()
        .map(|head| {
            head.lines()
                .find_map(|line| line.strip_prefix("x-consul-token: "))
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(
        tokens,
        [
            Some("first".into()),
            Some("second".into()),
            Some("other".into()),
            None
        ]
    );
    assert!(seen(&heads)[0].contains("authorization: Basic YW5uOnB3"));
    assert!(seen(&heads)[0].starts_with("GET /v1/anything HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_token_file_is_read_again_when_it_changes_and_kept_when_it_goes_away() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("token");
    let (port, heads) = server(OK).await;
    let client = client(config(port).with_token(Token::file(&file)));

    let error = client.send(&anything()).await.expect_err("no file");
    assert!(
        error.is_config() && error.to_string().contains("token"),
        "{error}"
    );
    for content in ["one\n", "  rotated  \n"] {
        // As Vault and Kubernetes do it: another file takes the name.
        let fresh = directory.path().join("fresh");
        std::fs::write(&fresh, content).expect("written");
        std::fs::rename(&fresh, &file).expect("renamed");
        client.send(&anything()).await.expect("an answer");
    }
    std::fs::write(&file, "").expect("written");
    client
        .send(&anything())
        .await
        .expect("the last token is kept");
    std::fs::remove_file(&file).expect("removed");
    client
        .send(&anything())
        .await
        .expect("the last token is kept");

    let heads = seen(&heads);
    assert!(
        heads[0].contains("x-consul-token: one\r\n")
            && heads[1].contains("x-consul-token: rotated\r\n")
    );
    assert!(
        heads[2].contains("x-consul-token: rotated\r\n")
            && heads[3].contains("x-consul-token: rotated\r\n")
    );
}

#[tokio::test]
async fn no_error_shows_the_token() {
    const SECRET: &str = "2f1d8e5c-secret";
    let repeating = format!(
        "HTTP/1.1 500 No\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{SECRET}",
        SECRET.len()
    );
    let garbage = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\n{{{";
    for reply in [repeating.as_str(), garbage, "nonsense\r\n\r\n", ""] {
        let (port, _) = server(reply).await;
        let client = client(
            config(port)
                .with_token(Token::new(SECRET))
                .with_basic_auth("ann", "hunter2"),
        );
        let error = client.send(&anything()).await.expect_err("no good answer");
        let text = format!("{} {client:?}", text_of(&error));
        assert!(
            !text.contains(SECRET) && !text.contains("hunter2") && !text.contains("YW5uOm"),
            "{text}"
        );
    }
    let unsendable = client(config(1).with_token(Token::new("not\u{7f}sendable")));
    let error = unsendable.send(&anything()).await.expect_err("no header");
    assert!(
        error.is_config() && !text_of(&error).contains("sendable"),
        "{}",
        text_of(&error)
    );
}

#[tokio::test]
async fn keys_and_rules_are_not_asked_for_over_plaintext_from_another_host() {
    let far = || Config::new("consul.invalid:8500").expect("an address");
    let client = client(far());
    for error in [
        client
            .agent()
            .connect_ca_leaf("web")
            .await
            .expect_err("refused"),
        client
            .agent()
            .connect_ca_roots()
            .await
            .expect_err("refused"),
        client.connect_ca().roots().await.expect_err("refused"),
        client
            .connect_ca()
            .configuration()
            .await
            .expect_err("refused"),
        client
            .intentions()
            .match_destination("web")
            .await
            .expect_err("refused"),
        client.intentions().list().await.expect_err("refused"),
        client
            .agent()
            .connect_authorize("web", "spiffe://x", "1")
            .await
            .expect_err("refused"),
        client
            .config_entries()
            .service_intentions("web")
            .await
            .expect_err("refused"),
    ] {
        assert!(
            error.is_plaintext_refused() && !error.is_retryable(),
            "{error}"
        );
        assert!(error.to_string().contains("consul.invalid"), "{error}");
    }
    // What is no secret fails for another reason, here that the name does not exist; so does what was allowed.
    assert!(
        client
            .health()
            .connect("web")
            .await
            .expect_err("no such host")
            .is_connect()
    );
    let allowed = crate::client(far().allow_plaintext_consul());
    assert!(
        allowed
            .connect_ca()
            .roots()
            .await
            .expect_err("no such host")
            .is_connect()
    );
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (port, heads) = server("HTTP/1.1 302 Found\r\nlocation: /v1/elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    let error = client(config(port))
        .send(&anything())
        .await
        .expect_err("no value");
    assert_eq!(error.status().map(|status| status.as_u16()), Some(302));
    assert_eq!(seen(&heads).len(), 1);
}

#[tokio::test]
async fn an_answer_over_the_cap_is_refused_whether_it_says_so_or_not() {
    let body = "9".repeat(100);
    let announced =
        format!("HTTP/1.1 200 OK\r\ncontent-length: 100\r\nconnection: close\r\n\r\n{body}");
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n64\r\n{body}\r\n0\r\n\r\n"
    );
    for reply in [announced, chunked] {
        let (port, _) = server(reply).await;
        let error = client(config(port).with_max_reply_bytes(99))
            .send(&anything())
            .await
            .expect_err("too large");
        assert!(
            error.is_decode() && error.to_string().contains("larger"),
            "{error}"
        );
        client(config(port).with_max_reply_bytes(100))
            .send(&anything())
            .await
            .expect("just right");
    }
}

#[tokio::test]
async fn nobody_there_is_an_error_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let error = client(config(port))
        .send(&anything())
        .await
        .expect_err("nobody");
    assert!(
        error.is_connect() && error.is_retryable() && !error.is_timeout(),
        "{error}"
    );
    assert!(
        error.to_string().starts_with("reading /v1/anything"),
        "{error}"
    );
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        if error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == ErrorKind::ConnectionRefused)
        {
            return;
        }
        cause = error.source();
    }
    panic!("the refusal is not among the causes of {error:?}");
}

#[tokio::test]
async fn silence_ends_with_a_timeout_and_a_blocking_read_is_given_its_wait() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let client = client(config(port).with_timeout(Duration::from_millis(100)));
    let error = client.send(&anything()).await.expect_err("silence");
    assert!(error.is_timeout() && error.is_retryable(), "{error}");

    let started = tokio::time::Instant::now();
    let read = client
        .health()
        .connect("web")
        .index(7)
        .wait(Duration::from_millis(480));
    assert!(read.await.expect_err("silence").is_timeout());
    // The wait, the sixteenth Consul may add to it, and the usual time.
    assert!(started.elapsed() >= Duration::from_millis(610));
    drop(listener);
}

#[cfg(unix)]
#[tokio::test]
async fn unix_sockets_are_local_and_say_localhost() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("consul.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let heads = Heads::default();
    let seen_by_server = Arc::clone(&heads);
    tokio::spawn(async move {
        let reply = "HTTP/1.1 200 OK\r\ncontent-length: 18\r\nconnection: close\r\n\r\n{\"TrustDomain\":\"\"}";
        while let Ok((stream, _)) = listener.accept().await {
            answer(stream, &seen_by_server, reply).await;
        }
    });
    let client = client(Config::new(format!("unix://{}", path.display())).expect("an address"));
    let roots = client
        .agent()
        .connect_ca_roots()
        .await
        .expect("an answer")
        .value;
    assert_eq!(roots.trust_domain, "");
    assert!(
        seen(&heads)[0].contains("host: localhost\r\n"),
        "{:?}",
        seen(&heads)
    );
}

#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
#[tokio::test]
async fn without_a_crypto_provider_plaintext_works_and_https_is_a_configuration_error() {
    let (port, _) = server(OK).await;
    client(config(port))
        .send(&anything())
        .await
        .expect("an answer");
    let error = Client::new(Config::new("https://localhost").expect("an address"))
        .expect_err("no provider");
    assert!(
        error.is_config() && error.to_string().contains("aws-lc-rs"),
        "{error}"
    );
}

#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
mod tls {
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa,
        KeyPair,
    };
    use rustls::{ServerConfig, server::WebPkiClientVerifier};
    use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    use tokio_rustls::TlsAcceptor;

    use super::*;

    struct Authority(CertifiedIssuer<'static, KeyPair>);

    impl Authority {
        fn new() -> Self {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            Self(
                CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"))
                    .expect("an authority"),
            )
        }

        fn pem(&self) -> String {
            self.0.pem()
        }

        /// Certificate and key as PEM.
        fn issue(&self, name: &str) -> (String, String) {
            let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
            params.extended_key_usages = vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ];
            let key = KeyPair::generate().expect("a key");
            let certificate = params.signed_by(&key, &self.0).expect("a certificate");
            (certificate.pem(), key.serialize_pem())
        }
    }

    fn provider() -> Arc<rustls::crypto::CryptoProvider> {
        #[cfg(feature = "aws-lc-rs")]
        return Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        #[cfg(not(feature = "aws-lc-rs"))]
        return Arc::new(rustls::crypto::ring::default_provider());
    }

    /// What the server saw of each handshake: SNI and ALPN.
    type Hellos = Arc<Mutex<Vec<(Option<String>, bool)>>>;

    async fn https(authority: &Authority, name: &str, ask_client: bool) -> (u16, Heads, Hellos) {
        let (certificate, key) = authority.issue(name);
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = if ask_client {
            let mut roots = rustls::RootCertStore::empty();
            roots
                .add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("PEM"))
                .expect("a root");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
                .build()
                .expect("a verifier");
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")];
        let mut config = builder
            .with_single_cert(
                chain,
                PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM"),
            )
            .expect("a certificate");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (heads, hellos) = (Heads::default(), Hellos::default());
        let (seen, greeted) = (Arc::clone(&heads), Arc::clone(&hellos));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(stream) = acceptor.accept(stream).await {
                    let connection = stream.get_ref().1;
                    greeted.lock().expect("no panic").push((
                        connection.server_name().map(str::to_owned),
                        connection.alpn_protocol() == Some(b"http/1.1"),
                    ));
                    answer(stream, &seen, OK).await;
                }
            }
        });
        (port, heads, hellos)
    }

    fn https_config(port: u16) -> Config {
        Config::new(format!("https://127.0.0.1:{port}")).expect("an address")
    }

    #[tokio::test]
    async fn a_private_authority_and_a_server_name_make_a_connection_to_an_ip_address() {
        let authority = Authority::new();
        let (port, heads, hellos) = https(&authority, "server.dc1.consul", false).await;
        let trusting = https_config(port).with_ca_pem(authority.pem());

        let error = client(trusting.clone())
            .send(&anything())
            .await
            .expect_err("another name");
        assert!(error.is_connect(), "{}", text_of(&error));
        client(trusting.with_tls_server_name("server.dc1.consul"))
            .send(&anything())
            .await
            .expect("an answer");
        assert_eq!(
            hellos.lock().expect("no panic").last(),
            Some(&(Some("server.dc1.consul".to_owned()), true))
        );
        assert!(
            seen(&heads)[0].contains(&format!("host: 127.0.0.1:{port}\r\n")),
            "{:?}",
            seen(&heads)
        );
    }

    #[tokio::test]
    async fn an_ip_address_can_be_the_name_to_check() {
        let authority = Authority::new();
        let (port, ..) = https(&authority, "10.11.12.13", false).await;
        let config = Config::new(format!("https://localhost:{port}"))
            .expect("an address")
            .with_ca_pem(authority.pem());
        assert!(
            client(config.clone())
                .send(&anything())
                .await
                .expect_err("another name")
                .is_connect()
        );
        client(config.with_tls_server_name("10.11.12.13"))
            .send(&anything())
            .await
            .expect("an answer");
    }

    #[tokio::test]
    async fn a_foreign_authority_is_refused_unless_verification_is_switched_off() {
        let (port, ..) = https(&Authority::new(), "127.0.0.1", false).await;
        let config = https_config(port).with_ca_pem(Authority::new().pem());
        assert!(
            client(config.clone())
                .send(&anything())
                .await
                .expect_err("a foreign authority")
                .is_connect()
        );
        let off = config.danger_accept_invalid_certificates();
        assert!(off.is_verification_off());
        client(off).send(&anything()).await.expect("an answer");
    }

    #[tokio::test]
    async fn a_client_certificate_is_presented_from_memory_and_from_files() {
        let authority = Authority::new();
        let (port, ..) = https(&authority, "127.0.0.1", true).await;
        let config = https_config(port).with_ca_pem(authority.pem());
        client(config.clone())
            .send(&anything())
            .await
            .expect_err("no certificate");

        let (certificate, key) = authority.issue("client");
        client(
            config
                .clone()
                .with_client_certificate_pem(certificate.clone(), key.clone()),
        )
        .send(&anything())
        .await
        .expect("an answer");

        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str, content: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, content).expect("written");
            path
        };
        let (certificate, key) = (file("cert.pem", &certificate), file("key.pem", &key));
        let authorities = tempfile::tempdir().expect("a directory");
        std::fs::write(authorities.path().join("ca.pem"), authority.pem()).expect("written");
        let from_files = https_config(port)
            .with_ca_path(authorities.path())
            .with_client_certificate_files(certificate, key);
        client(from_files)
            .send(&anything())
            .await
            .expect("an answer");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_unix_socket_can_speak_tls_under_the_server_name() {
        let authority = Authority::new();
        let (certificate, key) = authority.issue("server.dc1.consul");
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")];
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                chain,
                PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM"),
            )
            .expect("a certificate");
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("consul.sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let heads = Heads::default();
        let seen_by_server = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(stream) = acceptor.accept(stream).await {
                    answer(stream, &seen_by_server, OK).await;
                }
            }
        });
        let config = Config::new(format!("unix://{}", path.display()))
            .expect("an address")
            .with_tls()
            .with_ca_pem(authority.pem())
            .with_tls_server_name("server.dc1.consul");
        client(config).send(&anything()).await.expect("an answer");
        assert!(
            seen(&heads)[0].contains("host: localhost\r\n"),
            "{:?}",
            seen(&heads)
        );
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let certificates = [
            https_config(1).with_ca_file("/nonexistent/ca.pem"),
            https_config(1).with_ca_pem("no certificate"),
            https_config(1).with_client_certificate_pem(
                Authority::new().pem(),
                "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n",
            ),
        ];
        for config in certificates {
            let error = Client::new(config).expect_err("unusable");
            assert!(
                error.is_config() && !text_of(&error).contains("secret"),
                "{}",
                text_of(&error)
            );
        }
    }
}
