//! Parts of the request path that are private otherwise: for whoever feeds them with anything, and for benchmarks.

#[cfg(feature = "metrics")]
mod measured;

use consul_connect::RequestNormalization;
use http::request::Parts;

use crate::serve::normalize::{self, Unfit};

#[cfg(feature = "metrics")]
pub use measured::Measured;

/// What becomes of a request before any rule is asked about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Normalized {
    /// It goes on, with the head as it is now.
    Fit,
    /// The caller is to ask for this path instead.
    Elsewhere(String),
    /// It is refused, for this reason.
    Malformed(String),
}

/// Brings the head of a request into its one spelling.
pub fn normalize(rules: RequestNormalization, head: &mut Parts) -> Normalized {
    match normalize::normalize(rules, head) {
        Ok(()) => Normalized::Fit,
        Err(Unfit::Elsewhere(location)) => {
            Normalized::Elsewhere(String::from_utf8_lossy(location.as_bytes()).into_owned())
        }
        Err(Unfit::Malformed(reason)) => Normalized::Malformed(reason.to_string()),
    }
}
