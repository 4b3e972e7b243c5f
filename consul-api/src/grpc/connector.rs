//! Connections to Consul's gRPC: dialled here, with the same TLS as for HTTP, so that a channel needs no TLS of its own
//! and knows nothing of the system's certificates.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tower_service::Service;

use crate::{Address, Config, Error, config::address::Target};

/// Dials one address, whatever the channel asks for.
#[derive(Clone)]
pub(super) struct Connector {
    address: Address,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    timeout: Duration,
}

/// Why there is no connection. Told apart from a connection that broke by its type.
#[derive(Clone, Debug)]
pub(super) struct DialError(Arc<io::Error>);

pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

pub(super) type Stream = Box<dyn Io>;

impl Connector {
    pub(super) fn new(config: &Config, address: Address) -> Result<Self, Error> {
        let tls = match address.is_tls() {
            false => None,
            true => {
                let tls = config.grpc_tls();
                let rustls = tls.client_config(&[b"h2"])?;
                let name = tls.server_name.as_deref().unwrap_or_else(|| address.host());
                let name = ServerName::try_from(name.to_owned()).map_err(|error| {
                    Error::config(format!("{name:?} is no name a certificate could have"))
                        .with_source(error)
                })?;
                Some((TlsConnector::from(Arc::new(rustls)), name))
            }
        };
        Ok(Self {
            address,
            tls,
            timeout: config.connect_timeout(),
        })
    }

    /// A channel over this connector that connects with its first call.
    pub(super) fn channel(&self) -> Channel {
        // The scheme is plain because TLS is the connector's; the host is what Consul sees as authority.
        let origin = format!("http://{}", self.address.authority()).parse::<Uri>();
        let endpoint =
            Endpoint::from(origin.unwrap_or_else(|_| Uri::from_static("http://localhost")))
                .http2_keep_alive_interval(KEEP_ALIVE)
                .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
        let endpoint = endpoint
            .user_agent(concat!("consul-api/", env!("CARGO_PKG_VERSION")))
            .expect("the package version is a header value");
        Channel::new(self.clone(), endpoint)
    }

    async fn connect(self) -> io::Result<Stream> {
        let stream = dial(&self.address).await?;
        let Some((connector, name)) = self.tls else {
            return Ok(stream);
        };
        let stream = connector.connect(name, stream).await?;
        match stream.get_ref().1.alpn_protocol() {
            None | Some(b"h2") => Ok(Box::new(stream)),
            Some(_) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the server does not speak HTTP/2",
            )),
        }
    }
}

async fn dial(address: &Address) -> io::Result<Stream> {
    match address.target() {
        Target::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream))
        }
        #[cfg(unix)]
        Target::Unix(path) => Ok(Box::new(tokio::net::UnixStream::connect(path).await?)),
        #[cfg(not(unix))]
        Target::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Stream>, DialError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _origin: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            match timeout(connector.timeout, connector.connect()).await {
                Ok(Ok(stream)) => Ok(TokioIo::new(stream)),
                Ok(Err(error)) => Err(DialError(Arc::new(error))),
                Err(_) => Err(DialError(Arc::new(io::ErrorKind::TimedOut.into()))),
            }
        })
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for DialError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // This is the I/O error with a name; it would say the same once more.
        self.0.source()
    }
}

/// Consul closes connections whose pings come less than 15 s apart. It matters only while roots are watched: without a
/// call under way nothing is sent.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
