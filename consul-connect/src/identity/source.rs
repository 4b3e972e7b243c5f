//! Where leaf and roots come from.

use std::{error::Error as StdError, fmt, sync::Arc};

use futures_core::stream::BoxStream;

use super::Material;

mod agent;
#[cfg(feature = "grpc")]
mod authority;
mod check;
#[cfg(feature = "grpc")]
mod csr;
#[cfg(feature = "grpc")]
mod facts;
mod files;
#[cfg(feature = "grpc")]
mod grpc;
mod manual;
mod select;

pub use agent::AgentSource;
pub use files::FilesSource;
#[cfg(feature = "grpc")]
pub use grpc::GrpcSource;
pub use manual::{Pusher, channel, fixed};
pub use select::{SelectConfig, Selected, select};

/// Where identity material comes from. An open trait: implement it to bring your own.
///
/// A source renews by itself. Each item is whole: a leaf, its key, and the roots that go with it. An error is a failed
/// attempt, after which the source tries again; the last good material stays in use meanwhile. The end of the stream
/// means that no newer material will ever come, which is right for a fixed one.
pub trait IdentitySource: Send + 'static {
    /// Starts delivering.
    ///
    /// # Cancel safety
    /// Dropping the stream stops the source and whatever it started.
    fn materials(self: Box<Self>) -> BoxStream<'static, Result<Material, SourceError>>;

    /// What this source is, in a few words, for `status()` and the log.
    fn describe(&self) -> String;
}

impl IdentitySource for Box<dyn IdentitySource> {
    fn materials(self: Box<Self>) -> BoxStream<'static, Result<Material, SourceError>> {
        (*self).materials()
    }

    fn describe(&self) -> String {
        (**self).describe()
    }
}

/// One failed attempt of a source. Cheap to clone.
#[derive(Clone)]
pub struct SourceError {
    doing: Arc<str>,
    retry: bool,
    cause: Option<Arc<dyn StdError + Send + Sync>>,
}

impl SourceError {
    /// `doing` says what was attempted: "signing a leaf for `web` at 127.0.0.1:8502".
    pub fn new(doing: impl Into<Arc<str>>) -> Self {
        Self {
            doing: doing.into(),
            retry: true,
            cause: None,
        }
    }

    /// Adds what went wrong.
    #[must_use]
    pub fn with_cause(mut self, cause: impl StdError + Send + Sync + 'static) -> Self {
        self.cause = Some(Arc::new(cause));
        self
    }

    /// Marks it as one that waiting does not mend: a refused token, a wrong configuration.
    #[must_use]
    pub fn permanent(mut self) -> Self {
        self.retry = false;
        self
    }

    /// Whether waiting cannot mend it, so that a start should fail at once instead of at its deadline.
    pub fn is_permanent(&self) -> bool {
        !self.retry
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doing)
    }
}

impl fmt::Debug for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceError")
            .field("doing", &self.doing)
            .field("cause", &self.cause)
            .finish()
    }
}

impl StdError for SourceError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause
            .as_ref()
            .map(|cause| &**cause as &(dyn StdError + 'static))
    }
}
