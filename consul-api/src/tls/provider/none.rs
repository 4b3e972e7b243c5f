//! A TLS configuration that can do no TLS.
//!
//! The HTTP client wants a configuration even for plain `http://`, and would panic for lack of a process-wide provider without
//! one. This one is only ever given to a client whose address is not TLS. Were it used, the first step of a handshake, drawing
//! random bytes, would fail; nothing behind that step is reached, so it need only exist.

use std::sync::Arc;

use rustls::{
    CipherSuite, CipherSuiteCommon, ClientConfig, ConnectionTrafficSecrets, NamedGroup,
    RootCertStore, SupportedCipherSuite, Tls13CipherSuite,
    crypto::{
        ActiveKeyExchange, CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom,
        SupportedKxGroup, WebPkiSupportedAlgorithms,
        cipher::{
            AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter,
            MessageEncrypter, OutboundOpaqueMessage, OutboundPlainMessage, Tls13AeadAlgorithm,
            UnsupportedOperationError,
        },
        hash::{self, HashAlgorithm},
        hmac,
        tls13::HkdfUsingHmac,
    },
    sign::SigningKey,
};
use rustls_pki_types::PrivateKeyDer;

use crate::error::Error;

/// The configuration for clients that speak no TLS, in builds that have no crypto provider.
pub(crate) fn client_config() -> Result<ClientConfig, Error> {
    let provider = CryptoProvider {
        cipher_suites: vec![SupportedCipherSuite::Tls13(&SUITE)],
        kx_groups: vec![&None],
        signature_verification_algorithms: WebPkiSupportedAlgorithms {
            all: &[],
            mapping: &[],
        },
        secure_random: &None,
        key_provider: &None,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| Error::config("preparing a client without TLS").with_source(error))?;
    Ok(builder
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}

static SUITE: Tls13CipherSuite = Tls13CipherSuite {
    common: CipherSuiteCommon {
        suite: CipherSuite::TLS13_AES_128_GCM_SHA256,
        hash_provider: &None,
        confidentiality_limit: 0,
    },
    hkdf_provider: &HkdfUsingHmac(&None),
    aead_alg: &None,
    quic: Option::None,
};

#[derive(Clone, Copy, Debug)]
struct None;

fn refused() -> rustls::Error {
    rustls::Error::General("no crypto provider is compiled in".to_owned())
}

impl SecureRandom for None {
    fn fill(&self, _buf: &mut [u8]) -> Result<(), GetRandomFailed> {
        Err(GetRandomFailed)
    }
}

impl SupportedKxGroup for None {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, rustls::Error> {
        Err(refused())
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}

impl KeyProvider for None {
    fn load_private_key(
        &self,
        _key: PrivateKeyDer<'static>,
    ) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(refused())
    }
}

impl hash::Hash for None {
    fn start(&self) -> Box<dyn hash::Context> {
        Box::new(*self)
    }

    fn hash(&self, _data: &[u8]) -> hash::Output {
        hash::Output::new(&[])
    }

    fn output_len(&self) -> usize {
        0
    }

    fn algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::NONE
    }
}

impl hash::Context for None {
    fn fork_finish(&self) -> hash::Output {
        hash::Output::new(&[])
    }

    fn fork(&self) -> Box<dyn hash::Context> {
        Box::new(*self)
    }

    fn finish(self: Box<Self>) -> hash::Output {
        hash::Output::new(&[])
    }

    fn update(&mut self, _data: &[u8]) {}
}

impl hmac::Hmac for None {
    fn with_key(&self, _key: &[u8]) -> Box<dyn hmac::Key> {
        Box::new(*self)
    }

    fn hash_output_len(&self) -> usize {
        0
    }
}

impl hmac::Key for None {
    fn sign_concat(&self, _first: &[u8], _middle: &[&[u8]], _last: &[u8]) -> hmac::Tag {
        hmac::Tag::new(&[])
    }

    fn tag_len(&self) -> usize {
        0
    }
}

impl Tls13AeadAlgorithm for None {
    fn encrypter(&self, _key: AeadKey, _iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(*self)
    }

    fn decrypter(&self, _key: AeadKey, _iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(*self)
    }

    fn key_len(&self) -> usize {
        0
    }

    fn extract_keys(
        &self,
        _key: AeadKey,
        _iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Err(UnsupportedOperationError)
    }
}

impl MessageEncrypter for None {
    fn encrypt(
        &mut self,
        _message: OutboundPlainMessage<'_>,
        _seq: u64,
    ) -> Result<OutboundOpaqueMessage, rustls::Error> {
        Err(refused())
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        payload_len
    }
}

impl MessageDecrypter for None {
    fn decrypt<'a>(
        &mut self,
        _message: InboundOpaqueMessage<'a>,
        _seq: u64,
    ) -> Result<InboundPlainMessage<'a>, rustls::Error> {
        Err(refused())
    }
}
