use std::time::Duration;

use tokio::time::Instant;

/// In the extensions of a request's head: the decision is to be as if it was made then.
///
/// A request that has been open for long is asked about again when the rules change. Its token was valid when it came, and how
/// old it has become since is not what changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsOf(Instant);

impl AsOf {
    /// The present.
    pub fn now() -> Self {
        Self(Instant::now())
    }

    /// How long it is past.
    pub(crate) fn ago(self) -> Duration {
        self.0.elapsed()
    }
}
