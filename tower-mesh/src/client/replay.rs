//! Which requests may be sent a second time, and the copy that makes it possible.

use http::Request;

use crate::{
    body::Body,
    pool::{Lease, Protocol, failure},
};

/// What may be said of a request that was sent and not answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    /// The peer says that it did not look at it.
    Refused,
    /// The connection went before the response began.
    Lost,
    /// Anything else.
    Unknown,
}

impl Fate {
    pub(super) fn of(error: &hyper::Error) -> Self {
        if failure::is_refused(error) {
            Self::Refused
        } else if failure::is_connection_lost(error) {
            Self::Lost
        } else {
            Self::Unknown
        }
    }

    /// Whether a request may be sent again, which by its method is idempotent or not.
    pub(super) fn permits(self, is_idempotent: bool) -> bool {
        match self {
            Self::Refused => true,
            Self::Lost => is_idempotent,
            Self::Unknown => false,
        }
    }
}

/// A copy of the request as it is between two tries, if a failure on this connection could permit to send it
/// again.
///
/// It is made before it is known whether it will be needed, so it is made only where it can be: an
/// HTTP/1.1 peer has no way to refuse, and there a connection that was never used cannot have been
/// closed for being idle.
pub(super) fn copy(request: &Request<Body>, lease: &Lease) -> Option<Request<Body>> {
    let possible = match lease.protocol() {
        Protocol::Http2 => true,
        Protocol::Http1 => lease.reused() && request.method().is_idempotent(),
    };
    if !possible {
        return None;
    }
    let mut copy = Request::new(request.body().replay()?);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    Some(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_refused_goes_again_whatever_it_is() {
        for (fate, post, put) in [
            (Fate::Refused, true, true),
            (Fate::Lost, false, true),
            (Fate::Unknown, false, false),
        ] {
            assert_eq!(fate.permits(false), post, "{fate:?}");
            assert_eq!(fate.permits(true), put, "{fate:?}");
        }
    }
}
