//! What a failed exchange says about the request, read from types and never from text.
//!
//! hyper keeps the h2 error as its source. That is not part of hyper's promise, but the only way to
//! learn it; where it cannot be read, the careful answer is given.

use std::error::Error as StdError;

fn h2(error: &hyper::Error) -> Option<&h2::Error> {
    error.source().and_then(|source| source.downcast_ref())
}

/// One stream was reset, by either side; the connection lives.
pub(crate) fn is_stream_reset(error: &hyper::Error) -> bool {
    h2(error).is_some_and(h2::Error::is_reset)
}

/// The peer says that it did not look at the request: it may be sent again, whatever it is.
///
/// It says so of one stream, or by a GOAWAY of all streams above the last it looked at (RFC 9113
/// §6.8). h2 fails only those with the peer's GOAWAY; the others go on, and end by an I/O error if
/// the connection goes first.
pub(crate) fn is_refused(error: &hyper::Error) -> bool {
    h2(error).is_some_and(|error| {
        let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        error.is_remote() && (refused || error.is_go_away())
    })
}

/// The connection went, and with it the request: a close, a reset, our own GOAWAY, a peer that
/// answers no ping. The peer may have acted on it.
pub(crate) fn is_connection_lost(error: &hyper::Error) -> bool {
    // Of a client, hyper calls only this a timeout; an h2 error may be around it.
    if error.is_timeout() {
        return true;
    }
    if let Some(error) = h2(error) {
        return error.is_io() || (error.is_go_away() && !error.is_remote());
    }
    error.is_incomplete_message()
        || error.is_canceled()
        || error.is_closed()
        || error
            .source()
            .is_some_and(|source| source.is::<std::io::Error>())
}
