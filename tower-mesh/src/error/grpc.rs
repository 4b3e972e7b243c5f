//! An [`Error`] as a gRPC caller understands it.

use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{Error, ErrorKind};

/// Everything outside the printable ASCII that the gRPC wire format lets through, and `%` itself.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// gRPC's numbers.
const DEADLINE_EXCEEDED: u16 = 4;
const INTERNAL: u16 = 13;
const PERMISSION_DENIED: u16 = 7;
const UNAVAILABLE: u16 = 14;

/// The code a gRPC proxy would answer with in place of this failure.
fn code(kind: ErrorKind) -> u16 {
    match kind {
        ErrorKind::Timeout => DEADLINE_EXCEEDED,
        ErrorKind::Denied => PERMISSION_DENIED,
        ErrorKind::Config | ErrorKind::Decode | ErrorKind::Protocol => INTERNAL,
        ErrorKind::Body
        | ErrorKind::Connect
        | ErrorKind::Consul
        | ErrorKind::Identity
        | ErrorKind::Listen
        | ErrorKind::NoEndpoints
        | ErrorKind::NotSent
        | ErrorKind::Sent
        | ErrorKind::Shutdown
        | ErrorKind::Status => UNAVAILABLE,
    }
}

/// The headers of a trailers-only response that says `error`; its body is empty.
pub(crate) fn failure(error: &Error) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(3);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(code(error.kind())));
    let message = utf8_percent_encode(&error.to_string(), ESCAPED).to_string();
    if let Ok(message) = HeaderValue::try_from(message) {
        headers.insert("grpc-message", message);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_the_status_and_an_escaped_message() {
        let headers = failure(&Error::new(
            ErrorKind::NoEndpoints,
            "no endpoint of `é`: 100%",
        ));
        assert_eq!(headers["grpc-status"], "14");
        assert_eq!(headers["grpc-message"], "no endpoint of `%C3%A9`: 100%25");
    }
}
