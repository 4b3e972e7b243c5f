//! What serving must know of gRPC: who speaks it, its deadline, and an answer it understands.
//!
//! A plain `403` with a text body reaches a gRPC caller as a broken frame, so every answer this
//! crate makes itself is a *trailers-only* response there: status 200, no body, the outcome in the
//! headers `grpc-status` and `grpc-message`.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Response, header::CONTENT_TYPE};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// Carries the outcome of a call, in headers (trailers-only) or trailers.
pub(crate) const STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Carries the words to an outcome.
pub(crate) const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// How long the caller waits.
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The outcomes this crate answers with, by gRPC's numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Code {
    DeadlineExceeded = 4,
    PermissionDenied = 7,
    Internal = 13,
}

/// The content type of a gRPC request (`application/grpc`, `application/grpc+proto`,
/// `application/grpc-web`, ...), which its answer repeats; `None` if it is not one.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<&HeaderValue> {
    // Looking at the few names there are is cheaper than hashing one that most requests do not have.
    headers.keys().find(|name| **name == CONTENT_TYPE)?;
    let value = headers.get(CONTENT_TYPE)?;
    let rest = value.as_bytes().strip_prefix(b"application/grpc")?;
    matches!(rest.first(), None | Some(b'+' | b'-' | b';' | b' ')).then_some(value)
}

/// What the caller's `grpc-timeout` allows.
///
/// A value that does not follow the specification (at most eight digits and one unit) is no
/// deadline: the caller has its own, and refusing what other servers accept would help nobody.
pub(crate) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let (unit, digits) = headers.get(TIMEOUT)?.as_bytes().split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount = digits
        .iter()
        .fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Some(Duration::from_secs(amount * 3600)),
        b'M' => Some(Duration::from_secs(amount * 60)),
        b'S' => Some(Duration::from_secs(amount)),
        b'm' => Some(Duration::from_millis(amount)),
        b'u' => Some(Duration::from_micros(amount)),
        b'n' => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

/// Words as `grpc-message` carries them: printable ASCII, the rest and `%` escaped.
pub(crate) fn message(words: &str) -> HeaderValue {
    let escaped = utf8_percent_encode(words, MESSAGE_ESCAPES).to_string();
    // Printable ASCII is what a header may hold.
    HeaderValue::try_from(escaped).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// gRPC over HTTP/2, "Percent-Encoded": everything but 0x20 to 0x7e, and `%`.
const MESSAGE_ESCAPES: &AsciiSet = &CONTROLS.add(b'%');

/// A trailers-only response. `message` is escaped.
pub(crate) fn trailers_only<B>(
    content_type: HeaderValue,
    code: Code,
    message: HeaderValue,
    body: B,
) -> Response<B> {
    let mut response = Response::new(body);
    *response.headers_mut() = trailers(code, message);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// The outcome as headers. `message` is escaped.
pub(crate) fn trailers(code: Code, message: HeaderValue) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(3);
    trailers.insert(STATUS, HeaderValue::from(code as u16));
    trailers.insert(MESSAGE, message);
    trailers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn tells_grpc_from_what_only_looks_like_it() {
        for yes in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc-web+proto",
            "application/grpc; charset=utf-8",
        ] {
            assert!(content_type(&header(CONTENT_TYPE, yes)).is_some(), "{yes}");
        }
        for no in [
            "application/json",
            "application/grpcish",
            "text/application/grpc",
            "",
        ] {
            assert!(content_type(&header(CONTENT_TYPE, no)).is_none(), "{no}");
        }
        assert!(content_type(&HeaderMap::new()).is_none());
    }

    #[test]
    fn a_message_is_escaped_where_it_is_not_printable_ascii() {
        assert_eq!(
            message("web => api (50%)\n\u{e9}"),
            "web => api (50%25)%0A%C3%A9"
        );
    }

    #[test]
    fn reads_every_unit_of_a_timeout_and_nothing_else() {
        for (value, expected) in [
            ("2H", Some(Duration::from_secs(7200))),
            ("3M", Some(Duration::from_secs(180))),
            ("5S", Some(Duration::from_secs(5))),
            ("250m", Some(Duration::from_millis(250))),
            ("7u", Some(Duration::from_micros(7))),
            ("9n", Some(Duration::from_nanos(9))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("0m", Some(Duration::ZERO)),
            ("123456789S", None),
            ("S", None),
            ("", None),
            ("-1S", None),
            ("1.5S", None),
            ("10", None),
            ("10s", None),
        ] {
            assert_eq!(timeout(&header(TIMEOUT, value)), expected, "{value:?}");
        }
    }
}
