//! A request in the making.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Client, Response, deadline::RequestTimeout};
use crate::{
    body::Body,
    error::{BoxError, Error, ErrorKind},
};

/// A request to an upstream that has not been sent: see [`Client::get`].
///
/// What is wrong with it is told by [`send`](Self::send).
#[derive(Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct RequestBuilder<'a> {
    client: &'a Client,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Body,
    timeout: Option<Duration>,
    problem: Option<Error>,
}

/// What stays as it is in a query's names and values: RFC 3986's unreserved characters.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

impl<'a> RequestBuilder<'a> {
    pub(super) fn new(client: &'a Client, method: Method, path: &str) -> Self {
        let path = if path.is_empty() { "/" } else { path };
        Self {
            client,
            method,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: Body::empty(),
            timeout: None,
            problem: None,
        }
    }

    /// Adds a header; one of the same name that is there already stays.
    pub fn header<K, V>(mut self, name: K, value: V) -> Self
    where
        K: TryInto<HeaderName>,
        K::Error: Into<BoxError>,
        V: TryInto<HeaderValue>,
        V::Error: Into<BoxError>,
    {
        match (name.try_into(), value.try_into()) {
            (Ok(name), Ok(value)) => {
                self.headers.append(name, value);
            }
            (Err(source), _) => self.fail("a header name", source),
            (_, Err(source)) => self.fail("a header value", source),
        }
        self
    }

    /// Adds a name and a value to the query, escaped.
    pub fn query(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.path
            .push(if self.path.contains('?') { '&' } else { '?' });
        self.path.extend(utf8_percent_encode(name.as_ref(), QUERY));
        self.path.push('=');
        self.path.extend(utf8_percent_encode(value.as_ref(), QUERY));
        self
    }

    /// The body. Bytes and text can be sent a second time when the first was lost; see
    /// [`Body::new`] for streams.
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// A JSON body, with its content type unless there is one.
    #[cfg(feature = "json")]
    pub fn json<T: serde::Serialize + ?Sized>(mut self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(json) => {
                self.body = json.into();
                self.headers
                    .entry(http::header::CONTENT_TYPE)
                    .or_insert(HeaderValue::from_static("application/json"));
            }
            Err(source) => self.fail("a JSON body", source),
        }
        self
    }

    /// How long the head of the response may take, in place of the client's
    /// [`timeout`](Client::timeout).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends it.
    ///
    /// # Errors
    ///
    /// As [`Client::send`]; also if a part of the request is not valid.
    ///
    /// # Cancel safety
    ///
    /// As [`Client::send`].
    pub async fn send(self) -> Result<Response, Error> {
        let Self {
            client,
            method,
            path,
            headers,
            body,
            timeout,
            problem,
        } = self;
        if let Some(problem) = problem {
            return Err(problem);
        }
        // `items` would be read as an authority, and `/` asked for instead.
        if !path.starts_with('/') && path != "*" {
            let context = format!(
                "making a request to `{}`: the path `{path}` does not begin with `/`",
                client.name()
            );
            return Err(Error::new(ErrorKind::Config, context));
        }
        let uri = Uri::try_from(path.as_str()).map_err(|source| {
            let context = format!(
                "making a request to `{}`: `{path}` is no path",
                client.name()
            );
            Error::with_source(ErrorKind::Config, context, source)
        })?;
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        if let Some(timeout) = timeout {
            request.extensions_mut().insert(RequestTimeout(timeout));
        }
        let method = request.method().clone();
        let response = client.send(request).await?;
        Ok(Response::new(response, client, method, path))
    }

    fn fail(&mut self, what: &str, source: impl Into<BoxError>) {
        let context = format!(
            "making a request to `{}`: {what} is not valid",
            self.client.name()
        );
        let error = Error::with_source(ErrorKind::Config, context, source);
        self.problem.get_or_insert(error);
    }
}
