//! Answers this crate gives in the application's place, in the caller's protocol.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION},
    request::Parts,
};

use super::ResponseBody;
use crate::grpc::{self, Code};

/// The protocol a request is answered in.
#[derive(Clone, Debug)]
pub(crate) enum Dialect {
    Http,
    /// The same to a `HEAD`, whose answer has no body. hyper sends one over HTTP/2 if it is given one.
    Head,
    /// With the content type of the request, which the answer repeats.
    Grpc(HeaderValue),
}

impl Dialect {
    pub(crate) fn of(head: &Parts) -> Self {
        match grpc::content_type(&head.headers) {
            Some(value) => Self::Grpc(value.clone()),
            None if head.method == Method::HEAD => Self::Head,
            None => Self::Http,
        }
    }

    pub(crate) fn is_grpc(&self) -> bool {
        matches!(self, Self::Grpc(_))
    }
}

/// Why the application does not answer itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    /// The policy refused. The words are Envoy's, so that what watches for them goes on working.
    Denied,
    /// Rules cannot be asked about it.
    Malformed,
    /// The caller's deadline passed first.
    Deadline,
    /// The application returned an error or panicked.
    Failed,
}

impl Refusal {
    /// The outcome for HTTP, for gRPC, and the words for both.
    const fn outcome(self) -> (StatusCode, Code, &'static str) {
        match self {
            Self::Denied => (
                StatusCode::FORBIDDEN,
                Code::PermissionDenied,
                "RBAC: access denied",
            ),
            // What HTTP's 400 is to gRPC.
            Self::Malformed => (StatusCode::BAD_REQUEST, Code::Internal, "bad request"),
            Self::Deadline => (
                StatusCode::GATEWAY_TIMEOUT,
                Code::DeadlineExceeded,
                "deadline exceeded",
            ),
            Self::Failed => (
                StatusCode::INTERNAL_SERVER_ERROR,
                Code::Internal,
                "internal server error",
            ),
        }
    }

    /// The answer to a caller that speaks `dialect`.
    pub(crate) fn answer<B>(self, dialect: Dialect) -> Response<ResponseBody<B>> {
        let (_, _, words) = self.outcome();
        self.worded(
            dialect,
            HeaderValue::from_static(words),
            Bytes::from_static(words.as_bytes()),
        )
    }

    /// The same with something to say about it.
    pub(crate) fn answer_with<B>(self, dialect: Dialect, why: &str) -> Response<ResponseBody<B>> {
        let (_, _, words) = self.outcome();
        let text = format!("{words}: {why}");
        let message = grpc::message(&text);
        self.worded(dialect, message, text.into())
    }

    fn worded<B>(
        self,
        dialect: Dialect,
        message: HeaderValue,
        text: Bytes,
    ) -> Response<ResponseBody<B>> {
        let (status, code, _) = self.outcome();
        match dialect {
            Dialect::Grpc(content_type) => {
                grpc::trailers_only(content_type, code, message, ResponseBody::empty())
            }
            Dialect::Http | Dialect::Head => {
                let length = text.len();
                let mut response = Response::new(match dialect {
                    Dialect::Head => ResponseBody::empty(),
                    _ => ResponseBody::text(text),
                });
                *response.status_mut() = status;
                response.headers_mut().insert(CONTENT_LENGTH, length.into());
                response
                    .headers_mut()
                    .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
                response
            }
        }
    }

    /// Sends a caller elsewhere. gRPC knows no redirects, so there must be none.
    pub(crate) fn redirect<B>(location: HeaderValue) -> Response<ResponseBody<B>> {
        let mut response = Response::new(ResponseBody::empty());
        *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
        response.headers_mut().insert(LOCATION, location);
        response
    }

    /// What ends a gRPC response whose head is already out.
    pub(crate) fn trailers(self) -> HeaderMap {
        let (_, code, words) = self.outcome();
        grpc::trailers(code, HeaderValue::from_static(words))
    }
}
