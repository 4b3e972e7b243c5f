//! No session is ever resumed, by us or with us: a resumed one would skip the certificate, and with it the roots and the rules
//! of now.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use consul_connect::{
    Authorize, Connector, Decision, Destination, InvalidPeer, Listener, Material, Permit, Reason,
    Refused, authorize, crypto_provider, test_util::TestCa,
};
use mesh_tests::{
    TD, raw_client_config, raw_parts,
    stress::{NOWHERE, times},
};
use rustls::{
    ClientConfig, HandshakeKind, ServerConfig,
    client::Resumption,
    server::{ServerSessionMemoryCache, WebPkiClientVerifier},
};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const VERSIONS: [&rustls::SupportedProtocolVersion; 2] =
    [&rustls::version::TLS13, &rustls::version::TLS12];

/// A client of another make that resumes whatever it can.
fn resuming(
    material: Material,
    version: &'static rustls::SupportedProtocolVersion,
) -> Arc<ClientConfig> {
    let mut config = raw_client_config(Some(material), &[version]);
    config.resumption = Resumption::in_memory_sessions(1024);
    Arc::new(config)
}

/// One attempt: what it was for the client, and what the listener said.
async fn attempt(
    config: &Arc<ClientConfig>,
    listener: &Listener,
) -> (Option<HandshakeKind>, Result<(), Refused>) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let client = async {
        let name = ServerName::try_from("api").expect("a name");
        let mut tls = TlsConnector::from(Arc::clone(config))
            .connect(name, near)
            .await
            .ok()?;
        let kind = tls.get_ref().1.handshake_kind();
        // Tickets come after the handshake: read on until the end.
        let _ = tls.write_all(b"x").await;
        let _ = tls.flush().await;
        let _ = tls.read(&mut [0]).await;
        kind
    };
    let server = async {
        let accepted = listener.accept_io(far, NOWHERE).await;
        let mut stream = accepted?.stream;
        let _ = stream.read(&mut [0]).await;
        let _ = stream.write_all(b"y").await;
        let _ = stream.flush().await;
        Ok(())
    };
    tokio::join!(client, server)
}

async fn listener(
    ca: &TestCa,
    authorize: Arc<dyn Authorize>,
) -> (
    Listener,
    consul_connect::identity::source::Pusher,
    consul_connect::Identity,
) {
    let (api, source) = ca.identity("api").await.expect("an identity");
    let listener = Listener::builder(api.clone(), authorize)
        .bind("127.0.0.1:0")
        .await
        .expect("a listener");
    (listener, source, api)
}

#[tokio::test]
async fn no_attempt_is_resumed_before_or_after_a_root_goes() {
    let attempts = times(1_000).max(200);
    for version in VERSIONS {
        let ca = TestCa::new(TD);
        let allow_all = Arc::new(authorize::dangerously_allow_all());
        let (listener, source, api) = listener(&ca, allow_all).await;
        let config = resuming(ca.material("web"), version);
        for _ in 0..attempts / 10 {
            let (kind, accepted) = attempt(&config, &listener).await;
            accepted.expect("accepted");
            assert_eq!(kind, Some(HandshakeKind::Full));
        }
        let mut changes = api.changes();
        let other = TestCa::new(TD);
        assert!(source.push(Ok(other.material("api"))));
        changes.changed().await.expect("published");
        for _ in 0..attempts {
            let (kind, accepted) = attempt(&config, &listener).await;
            assert_ne!(kind, Some(HandshakeKind::Resumed));
            let refused = accepted.expect_err("its root is gone");
            let unknown = matches!(refused, Refused::Peer(InvalidPeer::UnknownIssuer { .. }));
            assert!(unknown, "{refused}");
        }
    }
}

#[tokio::test]
async fn no_attempt_is_accepted_after_an_intention_denies_it() {
    let attempts = times(1_000).max(200);
    for version in VERSIONS {
        let ca = TestCa::new(TD);
        let allowed = Arc::new(AtomicBool::new(true));
        let asked = Arc::clone(&allowed);
        let rules = authorize::from_fn(move |_caller, _head| {
            if asked.load(Ordering::SeqCst) {
                Decision::Allow(Permit::by_default())
            } else {
                Decision::Deny(Reason::fixed("intention", "no more"))
            }
        });
        let (listener, _source, _api) = listener(&ca, Arc::new(rules)).await;
        let config = resuming(ca.material("web"), version);
        for _ in 0..attempts / 10 {
            attempt(&config, &listener).await.1.expect("accepted");
        }
        allowed.store(false, Ordering::SeqCst);
        for _ in 0..attempts {
            let (kind, accepted) = attempt(&config, &listener).await;
            assert_ne!(kind, Some(HandshakeKind::Resumed));
            let refused = accepted.expect_err("denied");
            assert!(matches!(refused, Refused::Denied { .. }), "{refused}");
        }
    }
}

#[tokio::test]
async fn we_never_resume_with_a_server_that_would() {
    let ca = TestCa::new(TD);
    let (web, _source) = ca.identity("web").await.expect("an identity");
    let provider = crypto_provider().expect("a provider");
    let mut roots = rustls::RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(ca.root_pem().as_bytes()).expect("a root");
    roots.add(root).expect("a root");
    for version in VERSIONS {
        let (chain, key) = raw_parts(&ca.material("api"));
        let verifier = WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots.clone()),
            Arc::clone(&provider),
        );
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .expect("a TLS version")
            .with_client_cert_verifier(verifier.build().expect("a verifier"))
            .with_single_cert(chain, key)
            .expect("a server certificate");
        config.session_storage = ServerSessionMemoryCache::new(1024);
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().expect("a ticketer");
        config.send_tls13_tickets = 4;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let connector = Connector::new(web.clone());
        let destination = Destination::new(NOWHERE, ca.id("api"));
        for _ in 0..times(1_000).max(200) {
            let (near, far) = tokio::io::duplex(64 * 1024);
            let server = async {
                let mut tls = acceptor.accept(far).await.expect("a handshake");
                tls.write_all(b"x").await.expect("room");
                tls.flush().await.expect("room");
                tls.get_ref().1.handshake_kind()
            };
            let client = async {
                let connection = connector.connect_io(near, &destination).await;
                let mut stream = connection.expect("a connection").stream;
                stream
                    .read_u8()
                    .await
                    .expect("a byte, and the tickets before it");
            };
            let (kind, ()) = tokio::join!(server, client);
            assert_eq!(kind, Some(HandshakeKind::Full));
        }
    }
}
