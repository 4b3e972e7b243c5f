//! TLS to Consul itself: private authorities, client certificate, server name. (TLS between services is not here.)

use std::{fmt, path::PathBuf, sync::Arc};

use rustls::{ClientConfig, RootCertStore, crypto::CryptoProvider};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use zeroize::Zeroizing;

use crate::error::Error;

pub(crate) mod provider;
mod verifier;

/// What is needed to make a rustls configuration, still unread.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) authorities: Vec<Authority>,
    pub(crate) client_certificate: Option<ClientCertificate>,
    pub(crate) server_name: Option<String>,
    pub(crate) verify: bool,
}

/// Where certificates to trust come from.
#[derive(Clone)]
pub(crate) enum Authority {
    File(PathBuf),
    Directory(PathBuf),
    Pem(Vec<u8>),
}

#[derive(Clone)]
pub(crate) enum ClientCertificate {
    Files {
        certificate: PathBuf,
        key: PathBuf,
    },
    Pem {
        certificate: Vec<u8>,
        key: Arc<Zeroizing<Vec<u8>>>,
    },
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            authorities: Vec::new(),
            client_certificate: None,
            server_name: None,
            verify: true,
        }
    }
}

impl Tls {
    /// Reads the files and makes a configuration that offers `alpn`, most wanted first.
    ///
    /// If the name to check cannot be asked for by SNI (an IP address), the verifier checks it in the place of what was dialled.
    pub(crate) fn client_config(&self, alpn: &[&[u8]]) -> Result<ClientConfig, Error> {
        let provider = provider::compiled_in()?;
        let verifier = verifier::make(self, self.roots()?, &provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::config("choosing TLS versions").with_source(error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &self.client_certificate {
            None => builder.with_no_client_auth(),
            Some(certificate) => {
                let (chain, key) = certificate.read()?;
                builder.with_client_auth_cert(chain, key).map_err(|error| {
                    Error::config("the client certificate and its key cannot be used")
                        .with_source(error)
                })?
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }

    /// `None`: the system's.
    fn roots(&self) -> Result<Option<RootCertStore>, Error> {
        if self.authorities.is_empty() {
            return Ok(None);
        }
        let mut store = RootCertStore::empty();
        for authority in &self.authorities {
            for certificate in authority.read()? {
                store.add(certificate).map_err(|error| {
                    Error::config(format!("a certificate of {authority:?} cannot be trusted"))
                        .with_source(error)
                })?;
            }
        }
        Ok(Some(store))
    }
}

impl Authority {
    fn read(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let certificates = match self {
            Self::Pem(pem) => parse_certificates(pem, self)?,
            Self::File(path) => parse_certificates(&read_file(path)?, self)?,
            Self::Directory(path) => {
                let unreadable = |error| {
                    Error::config(format!("reading the directory {}", path.display()))
                        .with_source(error)
                };
                let mut files = Vec::new();
                for entry in std::fs::read_dir(path).map_err(unreadable)? {
                    let file = entry.map_err(unreadable)?.path();
                    if file.is_file() {
                        files.push(file);
                    }
                }
                files.sort();
                let mut all = Vec::new();
                for file in files {
                    all.extend(parse_certificates(&read_file(&file)?, &Self::File(file))?);
                }
                all
            }
        };
        if certificates.is_empty() {
            // An empty bundle would refuse every server with a message about the server.
            return Err(Error::config(format!(
                "there is no certificate in {self:?}"
            )));
        }
        Ok(certificates)
    }
}

impl ClientCertificate {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
        let (chain, key, source) = match self {
            Self::Files { certificate, key } => (
                parse_certificates(
                    &read_file(certificate)?,
                    &Authority::File(certificate.clone()),
                )?,
                Arc::new(Zeroizing::new(read_file(key)?)),
                format!("file {}", key.display()),
            ),
            Self::Pem { certificate, key } => (
                parse_certificates(certificate, &Authority::Pem(Vec::new()))?,
                Arc::clone(key),
                "memory".to_owned(),
            ),
        };
        if chain.is_empty() {
            return Err(Error::config(format!(
                "there is no client certificate in {self:?}"
            )));
        }
        // The cause could quote a line of the key.
        let key = PrivateKeyDer::from_pem_slice(&key).ok().ok_or_else(|| {
            Error::config(format!(
                "there is no usable private key of the client certificate in {source}"
            ))
        })?;
        Ok((chain, key))
    }
}

fn read_file(path: &PathBuf) -> Result<Vec<u8>, Error> {
    std::fs::read(path)
        .map_err(|error| Error::config(format!("reading {}", path.display())).with_source(error))
}

fn parse_certificates(
    pem: &[u8],
    source: &Authority,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| {
            Error::config(format!("reading the certificates of {source:?}")).with_source(error)
        })
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Directory(path) => write!(f, "directory {}", path.display()),
            Self::Pem(_) => f.write_str("memory"),
        }
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files { certificate, key } => {
                write!(f, "files {} and {}", certificate.display(), key.display())
            }
            Self::Pem { .. } => f.write_str("memory"),
        }
    }
}

pub(crate) type Provider = Arc<CryptoProvider>;
