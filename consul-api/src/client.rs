//! The client: a cheap handle without type parameters.

use std::{fmt, sync::Arc};

use http::{HeaderName, Version};
use tokio::sync::watch as cell;
use zeroize::Zeroizing;

use crate::{
    config::Config,
    error::{Error, Kind},
    request::Request,
    response::{Meta, Response},
    token::{Token, header_value},
    watch::Hub,
};

mod transport;

/// The header that carries the token.
const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-consul-token");

/// A client of one Consul agent or server.
///
/// Clones are cheap and share connections, watches and token. It starts no task by itself; watches own theirs.
///
/// The areas of Consul's API are methods: [`health`](Client::health), [`agent`](Client::agent), … . Each gives calls that are
/// values until they are awaited (or, for blocking reads, watched):
///
/// ```no_run
/// # async fn run() -> Result<(), consul_api::Error> {
/// let consul = consul_api::Client::from_env()?;
/// let entries = consul.health().connect("web").passing().await?.value;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    /// The token of this client and its clones. A cell, so that it can be replaced under running watches.
    token: Arc<cell::Sender<Token>>,
}

struct Shared {
    config: Config,
    http: reqwest::Client,
    hub: Arc<Hub>,
}

impl Client {
    /// A client for the Consul that `config` describes. Reads certificate files, opens no connection.
    ///
    /// # Errors
    /// A configuration error: unreadable or unusable certificates, or `https` without a crypto provider compiled in.
    pub fn new(config: Config) -> Result<Self, Error> {
        if config.is_verification_off() {
            tracing::warn!(
                address = %config.address(),
                "verification of Consul's certificate is switched off: whoever answers there is believed"
            );
        }
        let http = transport::make(&config)?;
        let token = Arc::new(cell::Sender::new(config.token().clone()));
        let hub = Arc::new(Hub::new(&config));
        Ok(Self {
            shared: Arc::new(Shared { config, http, hub }),
            token,
        })
    }

    /// A client for the Consul of the environment: see [`Config::from_env`].
    ///
    /// # Errors
    /// Those of [`Config::from_env`] and [`Client::new`].
    pub fn from_env() -> Result<Self, Error> {
        Self::new(Config::from_env()?)
    }

    /// How this client was made.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// A client with another token that shares connections and the connection budget with this one.
    #[must_use]
    pub fn with_token(&self, token: Token) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            token: Arc::new(cell::Sender::new(token)),
        }
    }

    /// Replaces the token of this client and its clones, not of those made by [`with_token`](Self::with_token). Calls made from
    /// now on carry it; a watch takes it up with its next query, which is at once if Consul refused the old one.
    pub fn replace_token(&self, token: Token) {
        self.token.send_replace(token);
    }

    /// The token calls carry now.
    #[must_use]
    pub fn token(&self) -> Token {
        self.token.borrow().clone()
    }

    /// Changes each time a watch of this client, or of one that shares its connections, is answered after it had failed. The
    /// agent may have been started anew meanwhile, and have lost what it was told.
    #[must_use]
    pub fn answers_again(&self) -> cell::Receiver<u64> {
        self.shared.hub.returns()
    }

    /// What makes two clients the same for sharing watches: the cell, not the value, as the value may be replaced.
    pub(crate) fn token_cell(&self) -> &Arc<cell::Sender<Token>> {
        &self.token
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.shared.hub
    }

    /// Makes one call, once: no retry, no redirect followed.
    ///
    /// # Errors
    /// Every kind of [`Error`]. What Consul answered with a status other than success is an error, except where the call's
    /// type says that it is a value (a missing config entry, the health of a critical service).
    ///
    /// # Cancel safety
    /// Dropping the future ends the request. Whether Consul has acted on a write by then is not known.
    ///
    /// # Security
    /// A [sensitive](Request::sensitive) call over plaintext to another host is refused before anything is sent.
    pub async fn send<T>(&self, request: &Request<T>) -> Result<Response<T>, Error> {
        let config = self.config();
        if request.is_sensitive()
            && !config.is_plaintext_allowed()
            && !config.address().is_tls()
            && !config.address().is_local()
        {
            return Err(Error::new(
                Kind::Plaintext,
                format!(
                    "{} over plaintext from {} is refused: the answer holds keys or decides whom to trust; \
                     use https, a local agent or a unix socket, or allow_plaintext_consul()",
                    request.operation(),
                    config.address(),
                ),
            ));
        }
        let mut http = request.to_http(config)?;
        let token = self.token();
        let secret = token.secret().await?;
        if let Some(secret) = &secret {
            http.headers_mut()
                .insert(TOKEN_HEADER, header_value(secret)?);
        }
        let exchange = transport::exchange(&self.shared.http, http, config.max_reply_bytes());
        let (version, status, headers, body) =
            match tokio::time::timeout(request.patience(config), exchange).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(failure)) => return Err(failure.into_error(request.operation())),
                Err(elapsed) => {
                    return Err(Error::new(Kind::Timeout, request.operation()).with_source(elapsed));
                }
            };
        if version == Version::HTTP_2 {
            self.hub().multiplexed();
        }
        let refused = || {
            Error::new(Kind::Api, request.operation())
                .with_status(status)
                .with_message(&without_secret(
                    &String::from_utf8_lossy(&body),
                    secret.as_deref(),
                ))
        };
        if !request.is_value(status) {
            return Err(refused());
        }
        match request.decode(status, &headers, &body) {
            Ok(value) => Ok(Response {
                value,
                meta: Meta::from_headers(status, &headers),
            }),
            // The status may be a value, and this body is not it: a rate limit in the place of a state of health.
            Err(_) if !status.is_success() => Err(refused()),
            Err(error) => Err(Error::new(Kind::Decode, request.operation())
                .with_status(status)
                .with_source(error)),
        }
    }
}

/// Consul does not repeat tokens in its messages; a proxy in front of it may.
fn without_secret(text: &str, secret: Option<&Zeroizing<String>>) -> String {
    match secret {
        Some(secret) => text.replace(secret.as_str(), "<token>"),
        None => text.to_owned(),
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("config", &self.shared.config)
            .field("token", &self.token())
            .finish_non_exhaustive()
    }
}
