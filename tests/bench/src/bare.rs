//! The control: mutual TLS with nothing but rustls, from the same material.

use std::sync::Arc;

use consul_connect::{Material, crypto_provider};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, client::Resumption, server::WebPkiClientVerifier,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};

pub(crate) fn server(material: &Material) -> Arc<ServerConfig> {
    let (chain, key, roots) = parts(material);
    let provider = crypto_provider().expect("a provider");
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .expect("a verifier");
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .expect("a certificate");
    config.send_tls13_tickets = 0;
    Arc::new(config)
}

/// Verifies the chain and nothing of who it is: less than what a mesh needs.
pub(crate) fn client(material: &Material) -> Arc<ClientConfig> {
    let (chain, key, roots) = parts(material);
    let provider = crypto_provider().expect("a provider");
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ChainOnly { roots, provider }))
        .with_client_auth_cert(chain, key)
        .expect("a certificate");
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

fn parts(
    material: &Material,
) -> (
    Vec<CertificateDer<'static>>,
    PrivateKeyDer<'static>,
    RootCertStore,
) {
    let chain = CertificateDer::pem_slice_iter(material.chain_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .expect("a chain");
    let key = PrivateKeyDer::from_pem_slice(material.key_pem.expose().as_bytes()).expect("a key");
    let mut roots = RootCertStore::empty();
    for pem in &material.roots_pem {
        roots
            .add(CertificateDer::from_pem_slice(pem.as_bytes()).expect("a root"))
            .expect("an anchor");
    }
    (chain, key, roots)
}

#[derive(Debug)]
struct ChainOnly {
    roots: RootCertStore,
    provider: Arc<rustls::crypto::CryptoProvider>,
}

impl rustls::client::danger::ServerCertVerifier for ChainOnly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        let leaf = rustls::server::ParsedCertificate::try_from(end_entity)?;
        rustls::client::verify_server_cert_signed_by_trust_anchor(
            &leaf,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
