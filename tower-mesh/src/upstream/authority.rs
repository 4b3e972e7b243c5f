//! What an upstream is called in requests.

use http::{HeaderValue, uri::Authority};

/// Whom a request is for if it does not say so itself: the upstream's name, in the forms it is
/// needed in.
#[derive(Debug)]
pub(crate) struct OwnAuthority {
    authority: Authority,
    host: HeaderValue,
}

impl OwnAuthority {
    /// For the URI of h2.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// For HTTP/1.1.
    pub(crate) fn host(&self) -> &HeaderValue {
        &self.host
    }
}

impl From<Authority> for OwnAuthority {
    fn from(authority: Authority) -> Self {
        let host = host_value(&authority).unwrap_or_else(|| HeaderValue::from_static(""));
        Self { authority, host }
    }
}

/// An authority as `Host`; `None` if it has bytes that no header has.
pub(crate) fn host_value(authority: &Authority) -> Option<HeaderValue> {
    // What is before an `@` is not a host.
    let host = authority.as_str();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    HeaderValue::try_from(host).ok()
}
