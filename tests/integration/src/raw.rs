use std::{net::SocketAddr, sync::Arc};

use consul_connect::{Listener, Material, crypto_provider};
use rustls::{
    ALL_VERSIONS, ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A TLS client that trusts anybody, and presents `material` or nothing. Returns when the server has closed it, or has
/// accepted it.
pub async fn raw_client(server: SocketAddr, material: Option<Material>, listener: &mut Listener) {
    let call = async {
        let tcp = TcpStream::connect(server).await.expect("a connection");
        let name = ServerName::try_from("anybody").expect("a name");
        // Under TLS 1.3 the client is done before the server has looked at its certificate: the refusal comes with the read.
        if let Ok(mut tls) = TlsConnector::from(Arc::new(raw_client_config(material, ALL_VERSIONS)))
            .connect(name, tcp)
            .await
        {
            let _ = tls.read(&mut [0; 1]).await;
        }
    };
    tokio::select! {
        () = call => {}
        accepted = listener.accept() => panic!("accepted {accepted:?}"),
    }
}

/// A TLS server that lets anybody in, and presents `material`. It serves as long as the runtime lives.
pub async fn raw_server(material: &Material) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    let (chain, key) = raw_parts(material);
    let config = ServerConfig::builder_with_provider(crypto_provider().expect("a provider"))
        .with_safe_default_protocol_versions()
        .expect("TLS versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a server certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(mut tls) = acceptor.accept(tcp).await {
                    let _ = tls.read(&mut [0; 1]).await;
                }
            });
        }
    });
    address
}

/// What rustls calls a chain and a key.
///
/// # Panics
/// If they cannot be read.
#[must_use]
pub fn raw_parts(material: &Material) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_slice_iter(material.chain_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .expect("a chain");
    let key = PrivateKeyDer::from_pem_slice(material.key_pem.expose().as_bytes());
    (chain, key.expect("a key"))
}

/// A TLS client of these versions that trusts anybody, and presents `material` or nothing.
///
/// # Panics
/// If there is no cryptography, or the material cannot be used.
#[must_use]
pub fn raw_client_config(
    material: Option<Material>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let provider = crypto_provider().expect("a provider");
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .expect("TLS versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustsAnybody(provider)));
    match material {
        None => builder.with_no_client_auth(),
        Some(material) => {
            let (chain, key) = raw_parts(&material);
            builder
                .with_client_auth_cert(chain, key)
                .expect("a client certificate")
        }
    }
}

#[derive(Debug)]
struct TrustsAnybody(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustsAnybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
