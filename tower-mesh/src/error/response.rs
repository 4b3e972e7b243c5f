//! An [`Error`] as the answer of a server whose handler returned it.

#[cfg(feature = "axum")]
use super::Error;
use super::ErrorKind;
use http::StatusCode;

/// What a service answers when it failed because of `kind`, and the words it says.
///
/// The words name no upstream, address or identity: the caller of this service need not know them.
#[cfg_attr(
    not(feature = "axum"),
    expect(dead_code, reason = "only axum makes responses of errors")
)]
pub(super) fn answer(kind: ErrorKind) -> (StatusCode, &'static str) {
    match kind {
        ErrorKind::Timeout => (StatusCode::GATEWAY_TIMEOUT, "upstream timed out"),
        ErrorKind::Connect
        | ErrorKind::Consul
        | ErrorKind::Identity
        | ErrorKind::NoEndpoints
        | ErrorKind::NotSent
        | ErrorKind::Shutdown => (StatusCode::SERVICE_UNAVAILABLE, "upstream unavailable"),
        ErrorKind::Config | ErrorKind::Listen => {
            (StatusCode::INTERNAL_SERVER_ERROR, "service misconfigured")
        }
        ErrorKind::Body
        | ErrorKind::Decode
        | ErrorKind::Denied
        | ErrorKind::Protocol
        | ErrorKind::Sent
        | ErrorKind::Status => (StatusCode::BAD_GATEWAY, "upstream failed"),
    }
}

/// 502, 503, 504 or 500 by [`Error::kind`], with a short text that tells the caller nothing about
/// upstreams. The error itself is in the response's extensions, for a layer that logs.
#[cfg(feature = "axum")]
impl axum_core::response::IntoResponse for Error {
    fn into_response(self) -> axum_core::response::Response {
        let mut response = answer(self.kind()).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(all(test, feature = "axum"))]
mod tests {
    use super::*;
    use axum_core::response::IntoResponse as _;

    #[test]
    fn answers_as_a_gateway_and_keeps_the_error_for_layers() {
        for (kind, status) in [
            (ErrorKind::Timeout, 504),
            (ErrorKind::NoEndpoints, 503),
            (ErrorKind::Sent, 502),
            (ErrorKind::Config, 500),
        ] {
            let response = Error::new(kind, "calling `secret-name`").into_response();
            assert_eq!(response.status(), status);
            assert_eq!(
                response
                    .extensions()
                    .get::<Error>()
                    .expect("the error")
                    .kind(),
                kind
            );
        }
    }
}
