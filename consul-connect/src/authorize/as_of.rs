use rustls_pki_types::UnixTime;

/// In the extensions of a request's head: the decision is to be as if it was made then.
///
/// A request that has been open for long is asked about again when the rules change. Its token was valid when it came, and how
/// old it has become since is not what changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsOf(UnixTime);

impl AsOf {
    /// The present.
    pub fn now() -> Self {
        Self(UnixTime::now())
    }

    pub(crate) fn time(self) -> UnixTime {
        self.0
    }
}
