//! Fetches a key set.

use std::{error::Error as StdError, sync::Arc};

use reqwest::{StatusCode, header, redirect, retry};
use rustls::{ClientConfig, RootCertStore, crypto::CryptoProvider};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::time::timeout;

use super::{
    file,
    key_set::MAX_LENGTH,
    source::{Remote, Trust},
};

/// Fetches one key set, again and again.
#[derive(Debug)]
pub(super) struct Fetcher {
    remote: Remote,
    provider: Arc<CryptoProvider>,
    /// The authorities for entries that name none; `None`: those of the system.
    configured: Option<Arc<[u8]>>,
    /// The client, and the certificates it was made with.
    client: Option<(Certificates, reqwest::Client)>,
}

/// PEM; `None`: those of the system.
type Certificates = Option<Arc<[u8]>>;

/// Why there is no key set.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("reading the certificates in {}", .0.display())]
    File(std::path::PathBuf, #[source] std::io::Error),
    #[error("the variable {0:?} with the certificates is not set, or no text")]
    Variable(String),
    #[error("there is no certificate in the PEM that is to be trusted")]
    NoCertificate,
    #[error("a certificate that is to be trusted cannot be read")]
    Certificate(#[source] Box<dyn StdError + Send + Sync>),
    #[error("preparing TLS")]
    Tls(#[source] rustls::Error),
    #[error("the server has not answered within {0} ms")]
    Timeout(u128),
    #[error("asking the server")]
    Http(#[source] reqwest::Error),
    #[error("the server answered {0}; redirects are not followed")]
    Status(StatusCode),
    #[error("the answer is longer than {MAX_LENGTH} bytes")]
    TooLong,
}

impl Fetcher {
    pub(super) fn new(
        remote: Remote,
        provider: Arc<CryptoProvider>,
        configured: Option<Arc<[u8]>>,
    ) -> Self {
        Self {
            remote,
            provider,
            configured,
            client: None,
        }
    }

    /// # Errors
    /// Why there is none.
    pub(super) async fn fetch(&mut self) -> Result<Vec<u8>, FetchError> {
        let client = self.client().await?;
        let limit = self.remote.request_timeout;
        timeout(limit, ask(client, self.remote.url.clone()))
            .await
            .map_err(|_elapsed| FetchError::Timeout(limit.as_millis()))?
    }

    /// The client. A new one where the certificates have changed, which a file may at any time.
    async fn client(&mut self) -> Result<reqwest::Client, FetchError> {
        let certificates: Certificates = match &self.remote.trust {
            Trust::Configured => self.configured.clone(),
            Trust::Pem(pem) => Some(pem.as_slice().into()),
            Trust::File(path) => {
                let read = file::read(path).await;
                Some(
                    read.map_err(|error| FetchError::File(path.clone(), error))?
                        .into(),
                )
            }
            Trust::Variable(name) => {
                let text = std::env::var(name).ok();
                let text = text.ok_or_else(|| FetchError::Variable(name.clone()))?;
                Some(text.into_bytes().into())
            }
        };
        if let Some((known, client)) = &self.client
            && *known == certificates
        {
            return Ok(client.clone());
        }
        let tls = tls(certificates.as_deref(), &self.provider)?;
        let client = reqwest::Client::builder()
            .user_agent(concat!("consul-connect/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .referer(false)
            .retry(retry::never())
            .no_proxy()
            .connect_timeout(self.remote.connect_timeout)
            .tls_backend_preconfigured(tls)
            .build()
            .map_err(FetchError::Http)?;
        self.client = Some((certificates, client.clone()));
        Ok(client)
    }
}

fn tls(
    certificates: Option<&[u8]>,
    provider: &Arc<CryptoProvider>,
) -> Result<ClientConfig, FetchError> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(FetchError::Tls)?;
    // The server's name is verified in any case, and sent: `UseSNI` is for a proxy that does neither.
    let mut config = match certificates {
        Some(pem) => builder
            .with_root_certificates(roots(pem)?)
            .with_no_client_auth(),
        None => {
            let verifier = rustls_platform_verifier::Verifier::new(Arc::clone(provider))
                .map_err(FetchError::Tls)?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
                .with_no_client_auth()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn roots(pem: &[u8]) -> Result<RootCertStore, FetchError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| FetchError::Certificate(error.into()))?;
        roots
            .add(certificate)
            .map_err(|error| FetchError::Certificate(error.into()))?;
    }
    if roots.is_empty() {
        return Err(FetchError::NoCertificate);
    }
    Ok(roots)
}

async fn ask(client: reqwest::Client, url: reqwest::Url) -> Result<Vec<u8>, FetchError> {
    // The URL is in the log and in the status beside the error, without what may be a secret in it.
    let failed = |error: reqwest::Error| FetchError::Http(error.without_url());
    let request = client.get(url).header(header::ACCEPT, "application/json");
    let mut response = request.send().await.map_err(failed)?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if chunk.len() > MAX_LENGTH.saturating_sub(body.len()) {
            return Err(FetchError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
