//! How to reach Consul, and as whom.

use std::{fmt, num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};

use zeroize::Zeroizing;

use crate::{
    error::Error,
    tls::{Authority, ClientCertificate, Tls},
    token::Token,
};

pub(crate) mod address;
mod environment;
mod settings;

pub use address::Address;

/// How to reach Consul, and as whom.
///
/// [`Config::from_env`] reads what every Consul tool reads. `Debug` shows no secret.
///
/// ```
/// # fn main() -> Result<(), consul_api::Error> {
/// use consul_api::{Config, Token};
///
/// let config = Config::new("https://consul.internal:8501")?
///     .with_token(Token::file("/run/secrets/consul-token"))
///     .with_ca_file("/etc/consul/ca.pem")
///     .with_datacenter("dc1");
/// assert!(config.address().is_tls());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Config {
    address: Address,
    token: Token,
    basic_auth: Option<BasicAuth>,
    datacenter: Option<String>,
    namespace: Option<String>,
    partition: Option<String>,
    tls: Tls,
    grpc_address: Option<Address>,
    grpc_authorities: Vec<Authority>,
    allow_plaintext: bool,
    timeout: Duration,
    connect_timeout: Duration,
    max_reply_bytes: usize,
    watch_connections: NonZeroUsize,
}

#[derive(Clone)]
struct BasicAuth {
    user: String,
    password: Arc<Zeroizing<String>>,
}

impl Config {
    /// Everything at its default, except the address: `host:port`, `http://…`, `https://…` with an optional path prefix, or
    /// `unix:///path`.
    ///
    /// # Errors
    /// A configuration error if the text is no address.
    pub fn new(address: impl AsRef<str>) -> Result<Self, Error> {
        Ok(Self {
            address: address.as_ref().parse()?,
            ..Self::default()
        })
    }

    /// Replaces the address.
    #[must_use]
    pub fn with_address(mut self, address: Address) -> Self {
        self.address = address;
        self
    }

    /// Speaks TLS to the address, also if it says `http://` or is a unix socket (`CONSUL_HTTP_SSL`).
    #[must_use]
    pub fn with_tls(mut self) -> Self {
        self.address = self.address.with_tls();
        self
    }

    /// Who we are to Consul. Default: nobody, so that the agent's default token decides.
    #[must_use]
    pub fn with_token(mut self, token: Token) -> Self {
        self.token = token;
        self
    }

    /// User and password for HTTP basic authentication, as some proxies in front of Consul ask for (`CONSUL_HTTP_AUTH`).
    #[must_use]
    pub fn with_basic_auth(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.basic_auth = Some(BasicAuth {
            user: user.into(),
            password: Arc::new(Zeroizing::new(password.into())),
        });
        self
    }

    /// The datacenter that is asked where a call names none. Default: the agent's own.
    #[must_use]
    pub fn with_datacenter(mut self, datacenter: impl Into<String>) -> Self {
        self.datacenter = non_empty(datacenter.into());
        self
    }

    /// The namespace of calls that name none. The Community Edition answers 400 to any, even `default`: leave it unset there.
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = non_empty(namespace.into());
        self
    }

    /// The admin partition of calls that name none. The Community Edition answers 400 to any: leave it unset there.
    #[must_use]
    pub fn with_partition(mut self, partition: impl Into<String>) -> Self {
        self.partition = non_empty(partition.into());
        self
    }

    /// Trusts the certificates in a PEM file to sign Consul's server certificate, instead of the system's. Adds to earlier ones.
    #[must_use]
    pub fn with_ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls.authorities.push(Authority::File(path.into()));
        self
    }

    /// As [`with_ca_file`](Self::with_ca_file), for every file of a directory.
    #[must_use]
    pub fn with_ca_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls.authorities.push(Authority::Directory(path.into()));
        self
    }

    /// As [`with_ca_file`](Self::with_ca_file), for PEM text in memory.
    #[must_use]
    pub fn with_ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls.authorities.push(Authority::Pem(pem.into()));
        self
    }

    /// The client certificate (chain, leaf first) and its key for an agent that asks for one (`verify_incoming`), as PEM files.
    #[must_use]
    pub fn with_client_certificate_files(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.tls.client_certificate = Some(ClientCertificate::Files {
            certificate: certificate.into(),
            key: key.into(),
        });
        self
    }

    /// As [`with_client_certificate_files`](Self::with_client_certificate_files), for PEM text in memory.
    #[must_use]
    pub fn with_client_certificate_pem(
        mut self,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.tls.client_certificate = Some(ClientCertificate::Pem {
            certificate: certificate.into(),
            key: Arc::new(Zeroizing::new(key.into())),
        });
        self
    }

    /// The name asked of, and checked in, the server's certificate, in the place of the address's host. Needed where the host
    /// is an IP address or a unix socket and the certificate names something else. A port is cut off.
    #[must_use]
    pub fn with_tls_server_name(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        let name = match name.split_once(':') {
            Some((host, port)) if !port.contains(':') => host.to_owned(),
            _ => name
                .trim_start_matches('[')
                .split(']')
                .next()
                .unwrap_or_default()
                .to_owned(),
        };
        self.tls.server_name = non_empty(name);
        self
    }

    /// Accepts any server certificate.
    ///
    /// # Security
    /// Whoever can reach the connection can then be Consul: hand out roots, intentions and addresses of their choice. A warning
    /// is logged with each client made, and [`is_verification_off`](Self::is_verification_off) tells.
    #[must_use]
    pub fn danger_accept_invalid_certificates(mut self) -> Self {
        self.tls.verify = false;
        self
    }

    /// Allows calls whose answers hold keys, roots or intentions over plaintext to another host.
    ///
    /// # Security
    /// Who reads along then has the leaf's key; who can change the answers decides whom to trust. Without this, such calls are
    /// refused unless they go over TLS, to a loopback address, or to a unix socket.
    #[must_use]
    pub fn allow_plaintext_consul(mut self) -> Self {
        self.allow_plaintext = true;
        self
    }

    /// How long a call that does not block may take, from the first byte sent to the last received. Default: 30 s.
    ///
    /// Choose it longer than Consul may need for a leader election (some seconds), or calls in that time fail here instead of
    /// waiting there. Blocking reads wait longer by themselves.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long connecting may take, TLS included. Default: 5 s.
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How many bytes an answer's body may have. Default: 64 MiB.
    ///
    /// A health entry is about 2 KiB of JSON: the default is room for some 30,000 instances.
    #[must_use]
    pub fn with_max_reply_bytes(mut self, bytes: usize) -> Self {
        self.max_reply_bytes = bytes;
        self
    }

    /// How many connections a client and its watches may hold to an agent that speaks HTTP/1.1. Default: 32; at least 2 are
    /// used.
    ///
    /// An agent gives all programs of a host together 200 (`limits.http_max_conns_per_client`), so choose it by how many
    /// programs there are. An eighth is kept for reads that do not block, and another for the client's other calls. With more
    /// [watches](crate::Watch) than connections, the watches take turns, each at least every ten seconds. Over HTTPS, where
    /// Consul speaks HTTP/2, one connection carries all of them and this does not apply.
    #[must_use]
    pub fn with_watch_connections(mut self, connections: NonZeroUsize) -> Self {
        self.watch_connections = connections;
        self
    }

    /// Where Consul's gRPC listens (`CONSUL_GRPC_ADDR`). Default: none.
    #[must_use]
    pub fn with_grpc_address(mut self, address: Address) -> Self {
        self.grpc_address = Some(address);
        self
    }

    /// Trusts the certificates in a PEM file for gRPC, instead of those for HTTP (`CONSUL_GRPC_CACERT`). Adds to earlier ones.
    #[must_use]
    pub fn with_grpc_ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.grpc_authorities.push(Authority::File(path.into()));
        self
    }

    /// As [`with_grpc_ca_file`](Self::with_grpc_ca_file), for every file of a directory (`CONSUL_GRPC_CAPATH`).
    #[must_use]
    pub fn with_grpc_ca_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.grpc_authorities
            .push(Authority::Directory(path.into()));
        self
    }

    /// As [`with_grpc_ca_file`](Self::with_grpc_ca_file), for PEM text in memory.
    #[must_use]
    pub fn with_grpc_ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.grpc_authorities.push(Authority::Pem(pem.into()));
        self
    }
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

impl Default for Config {
    /// `http://localhost:8500`, no token.
    fn default() -> Self {
        Self {
            address: Address::default(),
            token: Token::anonymous(),
            basic_auth: None,
            datacenter: None,
            namespace: None,
            partition: None,
            tls: Tls::default(),
            grpc_address: None,
            grpc_authorities: Vec::new(),
            allow_plaintext: false,
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            max_reply_bytes: 64 * 1024 * 1024,
            watch_connections: const { NonZeroUsize::new(32).expect("32 is not 0") },
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("address", &format_args!("{}", self.address))
            .field("token", &self.token)
            .field(
                "basic_auth",
                &self.basic_auth.as_ref().map(|auth| auth.user.as_str()),
            )
            .field("datacenter", &self.datacenter)
            .field("namespace", &self.namespace)
            .field("partition", &self.partition)
            .field("tls", &self.tls)
            .field(
                "grpc_address",
                &self.grpc_address.as_ref().map(ToString::to_string),
            )
            .field("grpc_authorities", &self.grpc_authorities)
            .field("allow_plaintext", &self.allow_plaintext)
            .field("timeout", &self.timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("max_reply_bytes", &self.max_reply_bytes)
            .field("watch_connections", &self.watch_connections)
            .finish()
    }
}

#[cfg(test)]
mod tests;
