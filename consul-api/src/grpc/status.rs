//! What a gRPC status means in the words of the HTTP API.

use std::error::Error as _;

use http::StatusCode;
use tonic::{Code, Status};

use super::connector::DialError;
use crate::{Error, error::Kind};

/// The error for `status`, met while doing `operation`.
pub(super) fn error(operation: String, status: Status) -> Error {
    // A status that has a source was made on this side of the connection.
    if let Some(source) = status.source() {
        if let Some(dialling) = dialling(source) {
            return Error::new(Kind::Connect, operation).with_source(dialling.clone());
        }
        let kind = match status.code() {
            Code::DeadlineExceeded => Kind::Timeout,
            Code::OutOfRange => Kind::TooLarge,
            _ => Kind::Transport,
        };
        return Error::new(kind, operation).with_source(status);
    }
    match (status.code(), http_status(status.code())) {
        (Code::DeadlineExceeded, _) => {
            Error::new(Kind::Timeout, operation).with_message(status.message())
        }
        (_, code) => Error::new(Kind::Api, operation)
            .with_status(code)
            .with_message(status.message()),
    }
}

fn dialling<'a>(source: &'a (dyn std::error::Error + 'static)) -> Option<&'a DialError> {
    std::iter::successors(Some(source), |&error| error.source())
        .find_map(|error| error.downcast_ref())
}

/// The status with which Consul's HTTP API would have said the same.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        // A CA that is not ready yet is "failed precondition" here and 500 there.
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(code: Code, words: &str) -> Error {
        error("signing a leaf".to_owned(), Status::new(code, words))
    }

    #[test]
    fn refusals_have_the_predicates_of_the_http_api() {
        assert!(served(Code::Unauthenticated, "ACL not found").is_unknown_token());
        assert!(served(Code::PermissionDenied, "token lacks permission").is_permission_denied());
        assert!(
            served(
                Code::ResourceExhausted,
                "Rate limit reached, try again later"
            )
            .is_rate_limited()
        );
        let leader_only =
            "rate limit exceeded for operation that can only be performed by the leader";
        assert!(served(Code::Unavailable, leader_only).is_rate_limited());
        assert!(!served(Code::InvalidArgument, "not a CSR").is_retryable());
        assert!(served(Code::FailedPrecondition, "CA not initialized").is_retryable());
    }

    #[test]
    fn the_servers_words_are_kept() {
        let error = served(Code::InvalidArgument, "SPIFFE ID is not valid");
        assert_eq!(
            error.to_string(),
            "signing a leaf: Consul answered 400: SPIFFE ID is not valid"
        );
    }
}
