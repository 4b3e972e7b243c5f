use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::{InvalidPeer, MeshGateway, Peer, Reason};

/// Why a connection was not accepted.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The caller refused us.
    #[error("the caller refused our identity or our TLS ({alert})")]
    ByPeer {
        /// The TLS alert it sent.
        alert: String,
    },
    /// The caller is verified and not allowed.
    #[error("{caller} is denied: {reason}")]
    Denied {
        /// Who called.
        caller: Peer,
        /// Why it may not.
        reason: Reason,
    },
    /// The mesh gateway lost its trust during the handshake.
    #[error("the mesh gateway {} is refused: {reason}", .gateway.id())]
    Gateway {
        /// Which gateway.
        gateway: MeshGateway,
        /// Why.
        reason: Reason,
    },
    /// The transport failed.
    #[error("the connection failed during the TLS handshake: {problem}")]
    Io {
        /// The operating system's words.
        problem: String,
    },
    /// The caller speaks only versions of TLS that are older than what is accepted: 1.2, or what the mesh asks for.
    #[error("the caller's TLS is older than any that is accepted")]
    OldTls,
    /// Our own leaf is of no use.
    #[error("our own leaf expired {} s ago and was not renewed: see the status of the identity", .since.as_secs())]
    OwnLeafExpired {
        /// How long ago.
        since: Duration,
    },
    /// The caller is not a member of the mesh that may call.
    #[error("the caller is refused: {0}")]
    Peer(InvalidPeer),
    /// It took too long.
    #[error("the TLS handshake did not end within {} ms", .limit.as_millis())]
    Timeout {
        /// The limit.
        limit: Duration,
    },
    /// What was sent is not TLS, or not the TLS we speak.
    #[error("the TLS handshake failed: {problem}")]
    Tls {
        /// What was wrong with it.
        problem: String,
    },
    /// The cap on open connections.
    #[error("too many connections are open")]
    TooManyConnections,
    /// The cap on handshakes in progress.
    #[error("{limit} handshakes are in progress")]
    TooManyHandshakes {
        /// The limit.
        limit: usize,
    },
}

impl Refused {
    /// A short, stable word for metrics and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ByPeer { .. } => "refused_by_peer",
            Self::Denied { reason, .. } | Self::Gateway { reason, .. } => reason.code(),
            Self::Io { .. } => "io",
            Self::OldTls => "old_tls",
            Self::OwnLeafExpired { .. } => "own_leaf_expired",
            Self::Peer(refusal) => refusal.code(),
            Self::Timeout { .. } => "timeout",
            Self::Tls { .. } => "tls",
            Self::TooManyConnections => "too_many_connections",
            Self::TooManyHandshakes { .. } => "too_many_handshakes",
        }
    }
}

/// What a listener did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerStats {
    /// Connections handed out.
    pub accepted: u64,
    /// Connections refused, for whatever reason.
    pub refused: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    accepted: AtomicU64,
    refused: AtomicU64,
}

impl Counters {
    pub(super) fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> ListenerStats {
        ListenerStats {
            accepted: self.accepted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}
