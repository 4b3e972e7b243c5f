//! The calls Consul offers only over gRPC: [`Grpc`].
//!
//! Consul's gRPC listens beside its HTTP API: on 8502 in plaintext and on 8503 with TLS by convention, on servers and,
//! where it is switched on, on client agents, which hand these calls on to a server.
//!
//! ```no_run
//! # async fn example(client: consul_api::Client, csr_pem: &str) -> Result<(), consul_api::Error> {
//! let grpc = client.grpc()?;                  // where CONSUL_GRPC_ADDR says
//! let chain_pem = grpc.sign(csr_pem).await?;
//! # Ok(()) }
//! ```

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::uri::PathAndQuery;
use tokio::{runtime::Handle, time::timeout};
use tonic::{Status, metadata::MetadataValue, transport::Channel};
use tonic_prost::ProstCodec;

use self::connector::Connector;
pub use self::{
    roots::{Root, Roots},
    stream::RootsStream,
};
use crate::{Address, Client, Error, error::Kind};

mod connector;
mod roots;
mod status;
mod stream;
mod wire;

/// Consul's gRPC services, as far as a mesh service needs them.
///
/// A clone is cheap and shares the connection. It connects with the first call, and again whenever the connection is lost.
/// Each call carries the token of the [`Client`] it was made from, as it is at that moment.
#[derive(Clone)]
pub struct Grpc {
    client: Client,
    link: Arc<Link>,
    timeout: Duration,
}

/// One address and the connection to it.
struct Link {
    address: Address,
    connector: Connector,
    channel: OnceLock<Channel>,
}

impl Client {
    /// Consul's gRPC at the configured address (`CONSUL_GRPC_ADDR`). Reads certificate files, opens no connection.
    ///
    /// # Errors
    /// A configuration error if no address is configured; those of [`Client::grpc_at`].
    pub fn grpc(&self) -> Result<Grpc, Error> {
        let address = self.config().grpc_address();
        let address = address
            .ok_or_else(|| Error::config("no gRPC address is configured: set CONSUL_GRPC_ADDR"))?;
        Grpc::new(self, address.clone())
    }

    /// Consul's gRPC at `address`: `host:port` and `http://…` in plaintext, `https://…`, or `unix:///path`. With the
    /// token and the certificates of this client. Reads certificate files, opens no connection.
    ///
    /// # Errors
    /// A configuration error if this is no address, or the certificates cannot be used.
    ///
    /// # Security
    /// What is asked here decides whom to trust, and tokens go along: plaintext to another host is refused
    /// ([`Error::is_plaintext_refused`]) unless [`Config::allow_plaintext_consul`](crate::Config::allow_plaintext_consul)
    /// was called.
    pub fn grpc_at(&self, address: &str) -> Result<Grpc, Error> {
        Grpc::new(self, address.parse()?)
    }
}

impl Grpc {
    fn new(client: &Client, address: Address) -> Result<Self, Error> {
        let config = client.config();
        if !address.is_tls() && !address.is_local() && !config.is_plaintext_allowed() {
            let why = format!(
                "gRPC over plaintext to {address} is refused: the answers decide whom to trust; \
                 use https://, a local agent or a unix socket, or allow_plaintext_consul()",
            );
            return Err(Error::new(Kind::Plaintext, why));
        }
        let connector = Connector::new(config, address.clone())?;
        let link = Arc::new(Link {
            address,
            connector,
            channel: OnceLock::new(),
        });
        Ok(Self {
            client: client.clone(),
            link,
            timeout: TIMEOUT,
        })
    }

    /// How long a call may take, connecting included, and how long the first message of a stream. Default: 10 s.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Where this connects to.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.link.address
    }

    /// Has the mesh CA sign a certificate request (PEM). Gives the certificate chain (PEM), leaf first; the
    /// intermediates after it come in any order. The key does not leave the process.
    ///
    /// The request holds exactly one URI, the SPIFFE id, in the trust domain and datacenter of the CA. The token needs
    /// `service:write` on the service it names.
    ///
    /// # Errors
    /// Refused: [`is_permission_denied`](Error::is_permission_denied), [`is_unknown_token`](Error::is_unknown_token),
    /// [`is_rate_limited`](Error::is_rate_limited) (try again after some 30 s, with jitter), or status 400 for a request
    /// that the CA does not sign. [`is_connect`](Error::is_connect) and [`is_timeout`](Error::is_timeout) name the
    /// address.
    ///
    /// # Cancel safety
    /// A call that is dropped may have been signed; an unused certificate does no harm.
    pub async fn sign(&self, csr_pem: &str) -> Result<String, Error> {
        let what = "signing a leaf";
        let call = async {
            let request = self
                .request(wire::SignRequest {
                    csr: csr_pem.to_owned(),
                })
                .await?;
            let mut grpc = self.service()?;
            let path =
                PathAndQuery::from_static("/hashicorp.consul.connectca.ConnectCAService/Sign");
            let answer = async {
                grpc.ready()
                    .await
                    .map_err(|error| Status::from_error(error.into()))?;
                grpc.unary(
                    request,
                    path,
                    ProstCodec::<_, wire::SignResponse>::default(),
                )
                .await
            };
            answer.await.map_err(|status| self.error(what, status))
        };
        let signed = timeout(self.timeout, call)
            .await
            .map_err(|elapsed| self.timed_out(what, elapsed))??;
        match signed.into_inner().cert_pem {
            chain if chain.is_empty() => Err(Error::new(Kind::Decode, self.operation(what))),
            chain => Ok(chain),
        }
    }

    /// The roots of the mesh CA: what they are, and then each change.
    ///
    /// Needs any valid token where ACLs are on. See [`RootsStream`] for what happens when the stream breaks.
    pub fn watch_roots(&self) -> RootsStream {
        RootsStream::new(self.clone())
    }

    /// A stream of the roots, with its first message waited for.
    async fn open_roots(
        &self,
    ) -> Result<(tonic::Streaming<wire::WatchRootsResponse>, Option<Roots>), Error> {
        let call = async {
            let request = self.request(wire::WatchRootsRequest {}).await?;
            let mut grpc = self.service()?;
            let path = PathAndQuery::from_static(
                "/hashicorp.consul.connectca.ConnectCAService/WatchRoots",
            );
            let answer = async {
                grpc.ready()
                    .await
                    .map_err(|error| Status::from_error(error.into()))?;
                let codec = ProstCodec::<_, wire::WatchRootsResponse>::default();
                let mut messages = grpc
                    .server_streaming(request, path, codec)
                    .await?
                    .into_inner();
                let first = messages.message().await?;
                Ok((messages, first.map(Roots::from)))
            };
            answer.await.map_err(|status| self.error(WATCHING, status))
        };
        timeout(self.timeout, call)
            .await
            .map_err(|elapsed| self.timed_out(WATCHING, elapsed))?
    }

    async fn request<M>(&self, message: M) -> Result<tonic::Request<M>, Error> {
        let mut request = tonic::Request::new(message);
        if let Some(token) = self.client.token().header().await? {
            let mut value = MetadataValue::try_from(token.as_bytes())
                .ok()
                .ok_or_else(|| {
                    Error::config("the token contains characters that no gRPC metadata may carry")
                })?;
            value.set_sensitive(true);
            request.metadata_mut().insert("x-consul-token", value);
        }
        Ok(request)
    }

    fn service(&self) -> Result<tonic::client::Grpc<Channel>, Error> {
        // The channel runs its connection as a task.
        if Handle::try_current().is_err() {
            return Err(Error::config(
                "gRPC needs a Tokio runtime, and was used outside of one",
            ));
        }
        let channel = self
            .link
            .channel
            .get_or_init(|| self.link.connector.channel());
        Ok(tonic::client::Grpc::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE))
    }

    fn operation(&self, what: &str) -> String {
        format!("{what} over gRPC at {}", self.link.address)
    }

    fn error(&self, what: &str, status: Status) -> Error {
        status::error(self.operation(what), status)
    }

    fn timed_out(&self, what: &str, elapsed: tokio::time::error::Elapsed) -> Error {
        Error::new(Kind::Timeout, self.operation(what)).with_source(elapsed)
    }
}

impl fmt::Debug for Grpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grpc")
            .field("address", &format_args!("{}", self.link.address))
            .finish_non_exhaustive()
    }
}

const WATCHING: &str = "watching the roots";

/// A leaf is signed in some 20 ms; an election takes some seconds.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Room for a thousand roots, against a peer that sends without end.
const MAX_MESSAGE: usize = 8 * 1024 * 1024;
