//! The one error of this crate.
//!
//! It is what joining, serving and calling return, what [`Client`](crate::Client) has as its
//! `tower::Service` error, and what a response body ends with when its connection breaks.

mod grpc;
mod response;

use std::{borrow::Cow, error::Error as StdError, fmt, sync::Arc};

use http::StatusCode;

pub(crate) use grpc::failure as grpc_failure;

/// A boxed error of someone else, as tower and `http-body` know it.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// Why something in the mesh did not work.
///
/// `Display` says what was being done and to which upstream; the cause, if there is one, is only in
/// [`source`](StdError::source). [`kind`](Error::kind) is for programs. Clones are cheap and share
/// their content: one failed dial is reported to every request that waited for it.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    context: Cow<'static, str>,
    status: Option<StatusCode>,
    source: Option<BoxError>,
}

/// The class of an [`Error`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A body ended in an error, or is longer than the limit it was read with.
    Body,
    /// A name, address, variable or builder value is wrong. Trying again does not help.
    Config,
    /// No connection to an endpoint could be made: the dial, the handshake or the check of the
    /// peer's identity failed. Nothing of the request was sent.
    Connect,
    /// Consul did not answer, or refused.
    Consul,
    /// A body arrived whole but is not what it was to be decoded as.
    Decode,
    /// The peer refused us before a request was sent, or Consul does.
    Denied,
    /// This service has no usable identity, or an identity is not the one that was expected.
    Identity,
    /// A socket could not be bound or accepted from.
    Listen,
    /// The upstream has no endpoint that may be used now. Nothing was dialled.
    NoEndpoints,
    /// Connections were made, but each handed the request back unwritten, or its peer said that it
    /// did not look at it. Nothing of it was acted on.
    NotSent,
    /// The request asks for something the connection's protocol cannot do, or a peer broke the
    /// protocol.
    Protocol,
    /// The connection failed after (part of) the request was written and before a response head:
    /// whether the peer acted on it is unknown.
    Sent,
    /// What was asked for has been shut down.
    Shutdown,
    /// The response has an error status; made only by
    /// [`error_for_status`](crate::Response::error_for_status).
    Status,
    /// A deadline passed.
    Timeout,
}

impl ErrorKind {
    /// A short, stable word for metrics and logs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Config => "config",
            Self::Connect => "connect",
            Self::Consul => "consul",
            Self::Decode => "decode",
            Self::Denied => "denied",
            Self::Identity => "identity",
            Self::Listen => "listen",
            Self::NoEndpoints => "no_endpoints",
            Self::NotSent => "not_sent",
            Self::Protocol => "protocol",
            Self::Sent => "sent",
            Self::Shutdown => "shutdown",
            Self::Status => "status",
            Self::Timeout => "timeout",
        }
    }
}

impl Error {
    /// `context` says what was being done, in lower case and without a final period.
    pub(crate) fn new(kind: ErrorKind, context: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Inner {
            kind,
            context: context.into(),
            status: None,
            source: None,
        }))
    }

    /// An error with a cause. The cause's own text must not be repeated in `context`.
    pub(crate) fn with_source(
        kind: ErrorKind,
        context: impl Into<Cow<'static, str>>,
        source: impl Into<BoxError>,
    ) -> Self {
        Self(Arc::new(Inner {
            kind,
            context: context.into(),
            status: None,
            source: Some(source.into()),
        }))
    }

    /// A response whose status is an error.
    pub(crate) fn from_status(status: StatusCode, context: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Inner {
            kind: ErrorKind::Status,
            context: context.into(),
            status: Some(status),
            source: None,
        }))
    }

    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether no peer looked at the request, so that sending it again, even a `POST`, does
    /// nothing twice.
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        matches!(
            self.0.kind,
            ErrorKind::Connect
                | ErrorKind::Denied
                | ErrorKind::Identity
                | ErrorKind::NoEndpoints
                | ErrorKind::NotSent
        )
    }

    /// Whether a deadline passed.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.0.kind == ErrorKind::Timeout
    }

    /// Whether the upstream had no endpoint to send to.
    #[must_use]
    pub fn is_no_endpoints(&self) -> bool {
        self.0.kind == ErrorKind::NoEndpoints
    }

    /// Whether no connection could be made.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        self.0.kind == ErrorKind::Connect
    }

    /// Whether someone refused.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.0.kind == ErrorKind::Denied
    }

    /// The status of the response this error was made from, for [`ErrorKind::Status`].
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.0.status
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.context)
    }
}

// Written by hand because this is what a `main` that returns the error prints.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.0.context)?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_context_and_leaves_the_cause_to_source() {
        let error = Error::with_source(
            ErrorKind::Connect,
            "connecting to 10.0.0.7:80 of `api`",
            std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "connection refused"),
        );
        assert_eq!(error.to_string(), "connecting to 10.0.0.7:80 of `api`");
        assert_eq!(
            error.source().expect("a cause").to_string(),
            "connection refused"
        );
        assert_eq!(
            format!("{error:?}"),
            "Connect: connecting to 10.0.0.7:80 of `api`: connection refused"
        );
    }

    #[test]
    fn knows_what_was_never_sent() {
        for (kind, unsent) in [
            (ErrorKind::Connect, true),
            (ErrorKind::NoEndpoints, true),
            (ErrorKind::NotSent, true),
            (ErrorKind::Identity, true),
            (ErrorKind::Denied, true),
            (ErrorKind::Sent, false),
            (ErrorKind::Timeout, false),
            (ErrorKind::Body, false),
        ] {
            assert_eq!(Error::new(kind, "x").is_unsent(), unsent, "{kind:?}");
        }
    }

    #[test]
    fn is_usable_as_a_tower_error() {
        fn usable<E: StdError + Send + Sync + 'static>() {}
        usable::<Error>();
    }
}
