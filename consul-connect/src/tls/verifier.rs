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

use super::{
    InvalidPeer, Roots, Usage,
    trust::{Admits, Trust, Who},
    verify,
};
use crate::{ClusterPeers, MeshGateway, Peer, Remote, ServiceId};

/// Verifies the client of a connection we accepted.
pub(crate) struct ServerSide {
    trust: Trust,
    admits: Admits,
    /// What a gateway's callers are held against.
    cluster_peers: ClusterPeers,
    algorithms: WebPkiSupportedAlgorithms,
    remote: OnceLock<Remote>,
}

impl ServerSide {
    pub(crate) fn new(trust: Trust, admits: Admits, cluster_peers: ClusterPeers) -> Arc<Self> {
        let provider = &trust.identity.common().provider;
        Arc::new(Self {
            algorithms: provider.signature_verification_algorithms,
            trust,
            admits,
            cluster_peers,
            remote: OnceLock::new(),
        })
    }

    pub(crate) fn remote(&self) -> Option<Remote> {
        self.remote.get().cloned()
    }

    fn verify(
        &self,
        chain: Vec<CertificateDer<'static>>,
        now: UnixTime,
    ) -> Result<(), InvalidPeer> {
        let trust = &self.trust;
        let verified = trust.verify(&chain, self.admits, &self.algorithms, now)?;
        let (not_after, anchored_until) = (verified.not_after, verified.anchored_until);
        let remote = match verified.id {
            Who::Service(id, of) => {
                Remote::Peer(Peer::verified(id, of, chain, not_after, anchored_until))
            }
            Who::Gateway(id) => Remote::MeshGateway(MeshGateway::verified(
                id,
                chain,
                not_after,
                anchored_until,
                self.cluster_peers.clone(),
            )),
        };
        // One connection, one certificate: rustls asks once, and TLS 1.2 renegotiation does not exist in it.
        let _ = self.remote.set(remote);
        Ok(())
    }
}

impl fmt::Debug for ServerSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSide")
            .field("trust", &self.trust)
            .field("admits", &self.admits)
            .finish_non_exhaustive()
    }
}

fn whole(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
) -> Vec<CertificateDer<'static>> {
    let chain = std::iter::once(leaf).chain(intermediates);
    chain.map(|c| c.clone().into_owned()).collect()
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
        self.verify(whole(end_entity, intermediates), now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Verifies the server of a connection we opened, before it learns who we are.
pub(crate) struct ClientSide {
    roots: Arc<Roots>,
    algorithms: WebPkiSupportedAlgorithms,
    expected: Arc<[ServiceId]>,
    peer: OnceLock<Peer>,
}

impl ClientSide {
    pub(crate) fn new(
        provider: &CryptoProvider,
        roots: Arc<Roots>,
        expected: Arc<[ServiceId]>,
    ) -> Arc<Self> {
        Arc::new(Self {
            roots,
            algorithms: provider.signature_verification_algorithms,
            expected,
            peer: OnceLock::new(),
        })
    }

    pub(crate) fn peer(&self) -> Option<Peer> {
        self.peer.get().cloned()
    }

    fn verify(
        &self,
        chain: Vec<CertificateDer<'static>>,
        now: UnixTime,
    ) -> Result<(), InvalidPeer> {
        let verified = verify(&chain, &self.roots, &self.algorithms, Usage::Server, now)?;
        if !self.expected.contains(&verified.id) {
            let expected: Vec<_> = self.expected.iter().map(ToString::to_string).collect();
            return Err(InvalidPeer::WrongIdentity {
                expected: expected.join(" or "),
                found: verified.id,
            });
        }
        // As above: asked once.
        let _ = self.peer.set(Peer::verified(
            verified.id,
            None,
            chain,
            verified.not_after,
            verified.anchored_until,
        ));
        Ok(())
    }
}

impl fmt::Debug for ClientSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSide")
            .field("roots", &self.roots)
            .field("expected", &self.expected)
            .finish_non_exhaustive()
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
        self.verify(whole(end_entity, intermediates), now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
