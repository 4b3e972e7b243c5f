//! A response, and the usual ways to read it.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, Version};
use http_body_util::BodyExt as _;

use super::Client;
use crate::{
    body::Body,
    error::{Error, ErrorKind},
};

/// The longest body that is read into memory unless the caller says otherwise.
const DEFAULT_LIMIT: usize = 16 * 1024 * 1024;

/// A response of an upstream: its head is here, its body is read by one of the methods.
#[derive(Debug)]
pub struct Response {
    inner: http::Response<Body>,
    /// What it is a response to, for messages.
    origin: String,
    limit: usize,
}

impl Response {
    pub(super) fn new(
        inner: http::Response<Body>,
        client: &Client,
        method: Method,
        path: String,
    ) -> Self {
        // The query may hold what does not belong into logs.
        let path = path.split('?').next().unwrap_or_default();
        let origin = format!("{method} {path} on `{}`", client.name());
        Self {
            inner,
            origin,
            limit: DEFAULT_LIMIT,
        }
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.inner.status()
    }

    /// The protocol it came by.
    #[must_use]
    pub fn version(&self) -> Version {
        self.inner.version()
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    /// The same response with another limit, in bytes, on what the reading methods take into
    /// memory. Default 16 MiB.
    #[must_use]
    pub fn with_limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// The response, unless its status is one of an error.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Status`] for 400 to 599; [`Error::status`] has it.
    pub fn error_for_status(self) -> Result<Self, Error> {
        let status = self.status();
        if status.is_client_error() || status.is_server_error() {
            return Err(Error::from_status(
                status,
                format!("{}: {status}", self.origin),
            ));
        }
        Ok(self)
    }

    /// The whole body.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Body`] if the connection is lost, or the body is longer than the
    /// [limit](Self::with_limit); [`ErrorKind::Timeout`] if it pauses for too long.
    ///
    /// # Cancel safety
    ///
    /// What was read is lost.
    pub async fn bytes(self) -> Result<Bytes, Error> {
        let Self {
            inner,
            origin,
            limit,
        } = self;
        let mut body = inner.into_body();
        let too_long = || {
            Error::new(
                ErrorKind::Body,
                format!("{origin}: the response is longer than {limit} bytes"),
            )
        };
        let announced = http_body::Body::size_hint(&body).lower();
        if announced > limit as u64 {
            return Err(too_long());
        }
        let mut whole = BytesMut::new();
        let mut first: Option<Bytes> = None;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            let so_far = first.as_ref().map_or(whole.len(), Bytes::len);
            if so_far + data.len() > limit {
                return Err(too_long());
            }
            // Most bodies are one piece, which need not be copied.
            match first.take() {
                None if whole.is_empty() => first = Some(data),
                one => {
                    if let Some(one) = one {
                        whole.extend_from_slice(&one);
                    }
                    whole.extend_from_slice(&data);
                }
            }
        }
        Ok(first.unwrap_or_else(|| whole.freeze()))
    }

    /// The whole body as text.
    ///
    /// # Errors
    ///
    /// As [`bytes`](Self::bytes), and [`ErrorKind::Decode`] if it is not UTF-8.
    ///
    /// # Cancel safety
    ///
    /// What was read is lost.
    pub async fn text(self) -> Result<String, Error> {
        let origin = self.origin.clone();
        String::from_utf8(self.bytes().await?.into()).map_err(|source| {
            let context = format!("{origin}: the response is no UTF-8");
            Error::with_source(ErrorKind::Decode, context, source)
        })
    }

    /// The whole body, decoded from JSON.
    ///
    /// # Errors
    ///
    /// As [`bytes`](Self::bytes), and [`ErrorKind::Decode`] if it is not that JSON.
    ///
    /// # Cancel safety
    ///
    /// What was read is lost.
    #[cfg(feature = "json")]
    pub async fn json<T: serde::de::DeserializeOwned>(self) -> Result<T, Error> {
        let origin = self.origin.clone();
        serde_json::from_slice(&self.bytes().await?).map_err(|source| {
            let context = format!("{origin}: decoding the response");
            Error::with_source(ErrorKind::Decode, context, source)
        })
    }

    /// The response as `http` knows it, with a body that streams.
    #[must_use]
    pub fn into_inner(self) -> http::Response<Body> {
        self.inner
    }
}

impl From<Response> for http::Response<Body> {
    fn from(response: Response) -> Self {
        response.into_inner()
    }
}
