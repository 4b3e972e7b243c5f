//! The HTTP client underneath: how it is made, and one exchange over it.

use std::{net::SocketAddr, sync::Arc};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, Version};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::{
    config::{Config, address::Target},
    error::{Error, Kind},
};

/// Makes the HTTP client: no redirects, no proxies of the environment, no retries, never the process's crypto provider.
pub(super) fn make(config: &Config) -> Result<reqwest::Client, Error> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("consul-api/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .no_proxy()
        .connect_timeout(config.connect_timeout())
        .tcp_nodelay(true)
        // A peer that vanished while a blocking query is open sends nothing: only probes find it.
        .tcp_keepalive(std::time::Duration::from_secs(20))
        .http2_keep_alive_interval(std::time::Duration::from_secs(30))
        .http2_keep_alive_timeout(std::time::Duration::from_secs(10))
        .tls_backend_preconfigured(tls(config)?);
    match config.address().target() {
        #[cfg(unix)]
        Target::Unix(path) => builder = builder.unix_socket(path.as_path()),
        #[cfg(not(unix))]
        Target::Unix(path) => {
            return Err(Error::config(format!(
                "unix sockets are not to be had on this system: {}",
                path.display()
            )));
        }
        Target::Tcp { host, port } => {
            if config.address().is_tls() && config.tls().server_name.is_some() {
                builder = builder.dns_resolver(Arc::new(Instead {
                    host: host.clone(),
                    port: *port,
                }));
            }
        }
    }
    builder
        .build()
        .map_err(|error| Error::config("preparing the HTTP client").with_source(error))
}

fn tls(config: &Config) -> Result<rustls::ClientConfig, Error> {
    if config.address().is_tls() {
        return config.tls().client_config(&[b"h2", b"http/1.1"]);
    }
    // Never used, and so not worth reading files or the system's certificates for.
    #[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
    return rustls::ClientConfig::builder_with_provider(crate::tls::provider::compiled_in()?)
        .with_safe_default_protocol_versions()
        .map(|builder| {
            builder
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth()
        })
        .map_err(|error| Error::config("preparing a client without TLS").with_source(error));
    #[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
    return crate::tls::provider::none::client_config();
}

/// Resolves whatever name is dialled (the configured server name) to the configured host.
struct Instead {
    host: String,
    port: u16,
}

impl Resolve for Instead {
    fn resolve(&self, _name: Name) -> Resolving {
        let (host, port) = (self.host.clone(), self.port);
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
            Ok::<Addrs, _>(Box::new(addresses.into_iter()))
        })
    }
}

/// Why there is no answer.
pub(super) enum Failure {
    Http(reqwest::Error),
    TooLarge,
}

/// Sends and reads the whole answer.
pub(super) async fn exchange(
    client: &reqwest::Client,
    request: http::Request<Bytes>,
    max_bytes: usize,
) -> Result<(Version, StatusCode, HeaderMap, Bytes), Failure> {
    let mut response = client.execute(request.try_into()?).await?;
    let (version, status) = (response.version(), response.status());
    let headers = std::mem::take(response.headers_mut());
    // What the answer claims is refused before it is read; what it does not claim is counted.
    if response
        .content_length()
        .is_some_and(|length| length > max_bytes as u64)
    {
        return Err(Failure::TooLarge);
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if chunk.len() > max_bytes.saturating_sub(body.len()) {
            return Err(Failure::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok((version, status, headers, body.freeze()))
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        Self::Http(error)
    }
}

impl Failure {
    pub(super) fn into_error(self, operation: String) -> Error {
        match self {
            Self::TooLarge => Error::new(Kind::TooLarge, operation),
            Self::Http(error) => {
                let kind = if error.is_connect() {
                    // The time to connect ran out: the request was not sent, which is what a caller wants to know.
                    Kind::Connect
                } else if error.is_timeout() {
                    Kind::Timeout
                } else if error.is_builder() {
                    Kind::Request
                } else {
                    Kind::Transport
                };
                // The URL may name what the operation already does, and a prefix that is nobody's business.
                Error::new(kind, operation).with_source(error.without_url())
            }
        }
    }
}
