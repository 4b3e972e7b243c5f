//! What was configured, for those who reach Consul by it.

use std::{num::NonZeroUsize, time::Duration};

use http::HeaderValue;
use zeroize::Zeroizing;

use super::{Address, BasicAuth, Config};
use crate::{error::Error, tls::Tls, token::Token};

impl Config {
    /// Where Consul's HTTP API listens.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Where Consul's gRPC listens, if it was configured.
    #[must_use]
    pub fn grpc_address(&self) -> Option<&Address> {
        self.grpc_address.as_ref()
    }

    /// The configured token. A client may have been given another since.
    #[must_use]
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// The datacenter of calls that name none.
    #[must_use]
    pub fn datacenter(&self) -> Option<&str> {
        self.datacenter.as_deref()
    }

    /// The namespace of calls that name none.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The partition of calls that name none.
    #[must_use]
    pub fn partition(&self) -> Option<&str> {
        self.partition.as_deref()
    }

    /// Whether Consul's certificate is not checked: see
    /// [`danger_accept_invalid_certificates`](Self::danger_accept_invalid_certificates).
    #[must_use]
    pub fn is_verification_off(&self) -> bool {
        !self.tls.verify
    }

    /// Whether secrets may go over plaintext to another host: see [`allow_plaintext_consul`](Self::allow_plaintext_consul).
    #[must_use]
    pub fn is_plaintext_allowed(&self) -> bool {
        self.allow_plaintext
    }

    /// How long a call that does not block may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How long connecting may take.
    #[must_use]
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// How many bytes an answer's body may have.
    #[must_use]
    pub fn max_reply_bytes(&self) -> usize {
        self.max_reply_bytes
    }

    /// How many connections watches may hold over HTTP/1.1.
    #[must_use]
    pub fn watch_connections(&self) -> NonZeroUsize {
        self.watch_connections
    }

    pub(crate) fn tls(&self) -> &Tls {
        &self.tls
    }

    /// What applies to gRPC: as for HTTP, with its own authorities if any are given.
    #[cfg(feature = "grpc")]
    pub(crate) fn grpc_tls(&self) -> Tls {
        let mut tls = self.tls.clone();
        if !self.grpc_authorities.is_empty() {
            tls.authorities.clone_from(&self.grpc_authorities);
        }
        tls
    }

    pub(crate) fn basic_auth_header(&self) -> Result<Option<HeaderValue>, Error> {
        use base64::{Engine as _, engine::general_purpose::STANDARD};

        let Some(BasicAuth { user, password }) = &self.basic_auth else {
            return Ok(None);
        };
        let pair = Zeroizing::new(format!("{user}:{}", password.as_str()));
        let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
        crate::token::header_value(&text).map(Some)
    }
}
