//! The verifiers of one connection. Each remembers whom it verified, which is where [`Peer`] comes from.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    },
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{InvalidPeer, Roots, Usage, verify};
use crate::{Peer, ServiceId};

struct Verifier {
    roots: Arc<Roots>,
    algorithms: WebPkiSupportedAlgorithms,
    peer: OnceLock<Peer>,
}

impl Verifier {
    fn new(provider: &CryptoProvider, roots: Arc<Roots>) -> Self {
        Self {
            roots,
            algorithms: provider.signature_verification_algorithms,
            peer: OnceLock::new(),
        }
    }

    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        usage: Usage,
        now: UnixTime,
        expected: Option<&[ServiceId]>,
    ) -> Result<(), InvalidPeer> {
        let chain: Vec<_> = std::iter::once(leaf)
            .chain(intermediates)
            .map(|c| c.clone().into_owned())
            .collect();
        let verified = verify(&chain, &self.roots, &self.algorithms, usage, now)?;
        if let Some(expected) = expected
            && !expected.contains(&verified.id)
        {
            let expected = expected
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" or ");
            return Err(InvalidPeer::WrongIdentity {
                expected,
                found: verified.id,
            });
        }
        // One connection, one certificate: rustls asks once, and TLS 1.2 renegotiation does not exist in it.
        let _ = self.peer.set(Peer::verified(
            verified.id,
            chain,
            verified.not_after,
            verified.anchored_until,
        ));
        Ok(())
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("roots", &self.roots)
            .finish_non_exhaustive()
    }
}

/// Verifies the client of a connection we accepted.
#[derive(Debug)]
pub(crate) struct ServerSide(Verifier);

impl ServerSide {
    pub(crate) fn new(provider: &CryptoProvider, roots: Arc<Roots>) -> Arc<Self> {
        Arc::new(Self(Verifier::new(provider, roots)))
    }

    pub(crate) fn peer(&self) -> Option<Peer> {
        self.0.peer.get().cloned()
    }
}

impl ClientCertVerifier for ServerSide {
    /// No hints: a Go client whose chain ends in an intermediate with an empty name finds itself in none of them and sends nothing.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.0
            .verify(end_entity, intermediates, Usage::Client, now, None)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.algorithms.supported_schemes()
    }
}

/// Verifies the server of a connection we opened, before it learns who we are.
#[derive(Debug)]
pub(crate) struct ClientSide {
    verifier: Verifier,
    expected: Arc<[ServiceId]>,
}

impl ClientSide {
    pub(crate) fn new(
        provider: &CryptoProvider,
        roots: Arc<Roots>,
        expected: Arc<[ServiceId]>,
    ) -> Arc<Self> {
        Arc::new(Self {
            verifier: Verifier::new(provider, roots),
            expected,
        })
    }

    pub(crate) fn peer(&self) -> Option<Peer> {
        self.verifier.peer.get().cloned()
    }
}

impl ServerCertVerifier for ClientSide {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verifier.verify(
            end_entity,
            intermediates,
            Usage::Server,
            now,
            Some(&self.expected),
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.verifier.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.verifier.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.algorithms.supported_schemes()
    }
}
