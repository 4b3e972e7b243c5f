//! A server of key sets that does what it is told.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    sync::watch,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use crate::task::Task;

/// What it answers.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Keys(String),
    Status(&'static str),
    /// To itself.
    Redirect,
    /// Two megabytes without saying so beforehand.
    Huge,
    /// The end of the connection where the middle of a body should be.
    Cut,
    /// Nothing at all, for ever.
    Silence,
}

pub(super) struct KeyServer {
    address: SocketAddr,
    root: Option<String>,
    answer: Arc<Mutex<Answer>>,
    asked: Arc<watch::Sender<u64>>,
    _task: Task,
}

impl KeyServer {
    pub(super) async fn https(answer: Answer) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let root = params.self_signed(&key).expect("a root").pem();
        let issuer = Issuer::new(params, key);
        let mut leaf = CertificateParams::default();
        let here = "127.0.0.1".parse().expect("an address");
        leaf.subject_alt_names = vec![SanType::IpAddress(here)];
        let key = KeyPair::generate().expect("a key");
        let leaf = leaf.signed_by(&key, &issuer).expect("a leaf");
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(super::cryptography())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], private)
            .expect("a certificate");
        Self::start(answer, Some((root, TlsAcceptor::from(Arc::new(config))))).await
    }

    pub(super) async fn http(answer: Answer) -> Self {
        Self::start(answer, None).await
    }

    async fn start(answer: Answer, tls: Option<(String, TlsAcceptor)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let answer = Arc::new(Mutex::new(answer));
        let asked = Arc::new(watch::Sender::new(0));
        let (root, acceptor) = tls.unzip();
        let (answers, count) = (Arc::clone(&answer), Arc::clone(&asked));
        let _task = Task::spawn(async move {
            let mut connections = Vec::new();
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let (answers, count) = (Arc::clone(&answers), Arc::clone(&count));
                let acceptor = acceptor.clone();
                connections.push(Task::spawn(async move {
                    match acceptor {
                        None => serve(stream, &answers, &count).await,
                        // Refused by the client: what some of these tests are about.
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(stream) => serve(stream, &answers, &count).await,
                            Err(_) => None,
                        },
                    };
                }));
            }
        });
        Self {
            address,
            root,
            answer,
            asked,
            _task,
        }
    }

    pub(super) fn url(&self) -> String {
        let scheme = if self.root.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/keys", self.address)
    }

    pub(super) fn root(&self) -> &str {
        self.root.as_deref().expect("with TLS")
    }

    pub(super) fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    pub(super) fn requests(&self) -> u64 {
        *self.asked.borrow()
    }

    /// Waits until it has been asked this often.
    pub(super) async fn asked(&self, times: u64) {
        let mut asked = self.asked.subscribe();
        let often = asked.wait_for(|count| *count >= times);
        timeout(super::LONG, often)
            .await
            .expect("asked again")
            .expect("it lives");
    }
}

/// One request, and the end of the connection.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    answers: &Mutex<Answer>,
    asked: &watch::Sender<u64>,
) -> Option<Infallible> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    asked.send_modify(|count| *count += 1);
    let answer = answers
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let close = "connection: close\r\n";
    let text = match answer {
        Answer::Keys(set) => format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{close}\r\n{set}",
            set.len()
        ),
        Answer::Status(status) => {
            format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n{close}\r\n")
        }
        Answer::Redirect => {
            format!("HTTP/1.1 302 Found\r\nlocation: /keys\r\ncontent-length: 0\r\n{close}\r\n")
        }
        Answer::Huge => format!(
            "HTTP/1.1 200 OK\r\n{close}\r\n{}",
            "x".repeat(2 * 1024 * 1024)
        ),
        Answer::Cut => format!("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n{close}\r\n{{"),
        Answer::Silence => std::future::pending().await,
    };
    stream.write_all(text.as_bytes()).await.ok()?;
    stream.shutdown().await.ok()?;
    // What is still on its way must not become a reset.
    let mut rest = [0; 1024];
    while let Ok(Ok(1..)) = timeout(Duration::from_secs(5), stream.read(&mut rest)).await {}
    None
}
