use std::{error::Error as StdError, fmt, time::Duration};

use super::{Address, Destination};
use crate::InvalidPeer;

/// Why no connection came about. Nothing of the application was sent.
#[derive(Debug)]
pub struct ConnectError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    address: Address,
    failure: ConnectFailure,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectFailure {
    /// No transport connection.
    #[error("it cannot be reached")]
    Dial,
    /// No transport connection in time.
    #[error("it did not answer within {} ms", .limit.as_millis())]
    DialTimeout {
        /// The limit.
        limit: Duration,
    },
    /// The transport failed during the handshake.
    #[error("it closed the connection during the TLS handshake")]
    Handshake,
    /// The handshake did not end in time.
    #[error("the TLS handshake did not end within {} ms", .limit.as_millis())]
    HandshakeTimeout {
        /// The limit.
        limit: Duration,
    },
    /// It speaks only versions of TLS that are older than what is accepted: 1.2, or what the mesh asks for.
    #[error("its TLS is older than any that is accepted")]
    OldTls,
    /// Our own leaf is of no use.
    #[error("our own leaf expired {} s ago and was not renewed: see the status of the identity", .since.as_secs())]
    OwnLeafExpired {
        /// How long ago.
        since: Duration,
    },
    /// Whoever answered is not who was meant.
    #[error("the peer is refused: {0}")]
    Peer(InvalidPeer),
    /// The peer refused us.
    #[error("the peer refused our identity or our TLS ({alert})")]
    RefusedByPeer {
        /// The TLS alert it sent.
        alert: String,
    },
    /// It does not speak the TLS we speak.
    #[error("the TLS handshake failed")]
    Tls,
    /// The roots changed while the connection was made.
    #[error("{reason}")]
    Withdrawn {
        /// What changed.
        reason: String,
    },
}

impl ConnectFailure {
    /// A short, stable word for metrics and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Dial => "dial",
            Self::DialTimeout { .. } => "dial_timeout",
            Self::Handshake => "io",
            Self::HandshakeTimeout { .. } => "timeout",
            Self::OldTls => "old_tls",
            Self::OwnLeafExpired { .. } => "own_leaf_expired",
            Self::Peer(refusal) => refusal.code(),
            Self::RefusedByPeer { .. } => "refused_by_peer",
            Self::Tls => "tls",
            Self::Withdrawn { .. } => "withdrawn",
        }
    }
}

impl ConnectError {
    pub(super) fn new(destination: &Destination, failure: ConnectFailure) -> Self {
        let address = destination.address().clone();
        Self(Box::new(Inner {
            address,
            failure,
            source: None,
        }))
    }

    pub(super) fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Box::new(source));
        self
    }

    /// What failed.
    pub fn failure(&self) -> &ConnectFailure {
        &self.0.failure
    }

    /// Where was dialled.
    pub fn address(&self) -> &Address {
        &self.0.address
    }

    /// Whether it was about who somebody is, rather than about reaching them.
    pub fn is_identity(&self) -> bool {
        matches!(
            self.0.failure,
            ConnectFailure::Peer(_)
                | ConnectFailure::RefusedByPeer { .. }
                | ConnectFailure::OwnLeafExpired { .. }
                | ConnectFailure::Withdrawn { .. }
        )
    }

    /// Whether a limit passed.
    pub fn is_timeout(&self) -> bool {
        matches!(
            self.0.failure,
            ConnectFailure::DialTimeout { .. } | ConnectFailure::HandshakeTimeout { .. }
        )
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connecting to {}: {}", self.0.address, self.0.failure)
    }
}

impl StdError for ConnectError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_ref()
            .map(|source| &**source as &(dyn StdError + 'static))
    }
}
