//! Replies, and refusals in the server's words.

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use crate::go;

/// A reply before the connection sees it.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
    /// From the multiplexer itself, which adds no headers.
    pub(crate) bare: bool,
}

pub(crate) const JSON: &str = "application/json";
const JSON_UTF8: &str = "application/json; charset=utf-8";
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

impl Reply {
    pub(crate) fn json(value: &Value, pretty: bool) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: Some(JSON),
            headers: Vec::new(),
            body: Bytes::from(go::encode(value, pretty)),
            bare: false,
        }
    }

    /// An empty 200, as the agent's write endpoints answer.
    pub(crate) fn done() -> Self {
        Self {
            status: StatusCode::OK,
            content_type: Some(JSON_UTF8),
            headers: Vec::new(),
            body: Bytes::new(),
            bare: false,
        }
    }

    pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            content_type: Some(TEXT),
            headers: Vec::new(),
            body: Bytes::from(text.into()),
            bare: false,
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn bare(mut self) -> Self {
        self.bare = true;
        self
    }

    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn content_type(mut self, content_type: Option<&'static str>) -> Self {
        self.content_type = content_type;
        self
    }
}

/// A refusal: status and text.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
    /// Found by the agent before any server was asked.
    pub(crate) early: bool,
}

impl Problem {
    fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
            early: false,
        }
    }

    pub(crate) fn early(mut self) -> Self {
        self.early = true;
        self
    }

    pub(crate) fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text).early()
    }

    pub(crate) fn unauthorized(text: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, text).early()
    }

    pub(crate) fn too_large(text: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, text).early()
    }

    pub(crate) fn forbidden(text: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, text)
    }

    pub(crate) fn not_found(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, text)
    }

    pub(crate) fn internal(text: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }

    pub(crate) fn unknown_token() -> Self {
        Self::forbidden("ACL not found")
    }
}

impl From<Problem> for Reply {
    fn from(problem: Problem) -> Self {
        Self::text(problem.status, problem.text)
    }
}
