//! A call as a value: pure, without I/O.

mod reply;
mod wire;

use std::{borrow::Cow, fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde::{Serialize, de::DeserializeOwned};

use crate::config::Config;
pub(crate) use reply::Reply;
use wire::Path;

type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// One call of Consul's HTTP API as a value: method, path, parameters, body, and the type its answer decodes into.
///
/// Making one does no I/O. The areas ([`Client::health`](crate::Client::health), …) make them; for an endpoint this crate does
/// not know, make one here and give it to [`Client::send`](crate::Client::send):
///
/// ```no_run
/// # async fn run(client: consul_api::Client) -> Result<(), consul_api::Error> {
/// use consul_api::Request;
///
/// let request: Request<Vec<String>> = Request::get(["catalog", "datacenters"]);
/// let datacenters = client.send(&request).await?.value;
/// # Ok(()) }
/// ```
pub struct Request<T> {
    method: Method,
    /// Behind `/v1`, not yet escaped.
    path: Vec<Cow<'static, str>>,
    query: Vec<(Cow<'static, str>, String)>,
    headers: HeaderMap,
    body: Option<Bytes>,
    cursor: Option<Cursor>,
    wait: Option<Duration>,
    sensitive: bool,
    /// Error statuses whose body is a value all the same.
    accepted: &'static [StatusCode],
    decode: fn(&Reply<'_>) -> Result<T, BoxError>,
    /// The first thing that cannot be sent. Told by `send`, so that building needs no `?`.
    invalid: Option<String>,
}

/// What a blocking query has seen already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cursor {
    /// `X-Consul-Index`
    Index(u64),
    /// `X-Consul-ContentHash`
    Hash(String),
}

impl<T: DeserializeOwned> Request<T> {
    /// A call of `/v1/<segments>`. Each segment is escaped whole, a `/` in it too; none may be empty.
    #[must_use]
    pub fn new<S: Into<Cow<'static, str>>>(
        method: Method,
        segments: impl IntoIterator<Item = S>,
    ) -> Self {
        Self::with_decoder(method, segments, |reply| reply.json())
    }

    /// `GET /v1/<segments>`
    #[must_use]
    pub fn get<S: Into<Cow<'static, str>>>(segments: impl IntoIterator<Item = S>) -> Self {
        Self::new(Method::GET, segments)
    }

    /// `PUT /v1/<segments>`
    #[must_use]
    pub fn put<S: Into<Cow<'static, str>>>(segments: impl IntoIterator<Item = S>) -> Self {
        Self::new(Method::PUT, segments)
    }

    /// `POST /v1/<segments>`
    #[must_use]
    pub fn post<S: Into<Cow<'static, str>>>(segments: impl IntoIterator<Item = S>) -> Self {
        Self::new(Method::POST, segments)
    }

    /// `DELETE /v1/<segments>`
    #[must_use]
    pub fn delete<S: Into<Cow<'static, str>>>(segments: impl IntoIterator<Item = S>) -> Self {
        Self::new(Method::DELETE, segments)
    }
}

impl<T> Request<T> {
    pub(crate) fn with_decoder<S: Into<Cow<'static, str>>>(
        method: Method,
        segments: impl IntoIterator<Item = S>,
        decode: fn(&Reply<'_>) -> Result<T, BoxError>,
    ) -> Self {
        let path: Vec<Cow<'static, str>> = segments.into_iter().map(Into::into).collect();
        // URL normalisation would turn these into another path, whether escaped or not.
        let invalid = path
            .iter()
            .find(|segment| matches!(&***segment, "" | "." | ".."))
            .map(|segment| format!("{segment:?} cannot be part of the path {}", Path(&path)));
        Self {
            method,
            path,
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: None,
            cursor: None,
            wait: None,
            sensitive: false,
            accepted: &[],
            decode,
            invalid,
        }
    }

    /// Sets a parameter, in the place of an earlier value.
    #[must_use]
    pub fn query(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.set_query(name, value);
        self
    }

    /// Adds a parameter beside earlier ones of the same name.
    #[must_use]
    pub fn query_also(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    /// Sets a request header, in the place of an earlier value. The token is not set here but by the client.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Sets the body, as it is.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sets the body to `value` as JSON. A value that cannot be JSON becomes an error of `send`.
    #[must_use]
    pub fn json(mut self, value: &(impl Serialize + ?Sized)) -> Self {
        self.set_json(value);
        self
    }

    /// Marks the call as one whose answer holds keys, or decides whom to trust: [`Client::send`](crate::Client::send) then refuses
    /// to make it over plaintext to another host, unless [`Config::allow_plaintext_consul`] was called.
    #[must_use]
    pub fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    pub(crate) fn accept(mut self, statuses: &'static [StatusCode]) -> Self {
        self.accepted = statuses;
        self
    }

    pub(crate) fn set_method(&mut self, method: Method) {
        self.method = method;
    }

    pub(crate) fn set_json(&mut self, value: &(impl Serialize + ?Sized)) {
        match serde_json::to_vec(value) {
            Ok(json) => {
                self.body = Some(json.into());
                self.headers.insert(
                    header::CONTENT_TYPE,
                    HeaderValue::from_static("application/json"),
                );
            }
            Err(error) => self.refuse(format!(
                "the body for {} is no JSON: {error}",
                Path(&self.path)
            )),
        }
    }

    pub(crate) fn set_query(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) {
        let name = name.into();
        self.remove_query(&name);
        self.query.push((name, value.into()));
    }

    pub(crate) fn add_query(&mut self, name: &'static str, value: impl Into<String>) {
        self.query.push((name.into(), value.into()));
    }

    pub(crate) fn remove_query(&mut self, name: &str) {
        self.query.retain(|(existing, _)| existing != name);
    }

    pub(crate) fn set_header(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.insert(name, value);
    }

    pub(crate) fn remove_header(&mut self, name: &HeaderName) {
        self.headers.remove(name);
    }

    /// Notes why this call cannot be sent; the first reason stays.
    pub(crate) fn refuse(&mut self, why: String) {
        self.invalid.get_or_insert(why);
    }

    /// Waits for a change from `cursor` on; `None` asks for the current value at once.
    pub(crate) fn set_cursor(&mut self, cursor: Option<Cursor>) {
        self.cursor = cursor;
    }

    /// How long the server may wait for a change.
    pub(crate) fn set_wait(&mut self, wait: Option<Duration>) {
        self.wait = wait;
    }

    pub(crate) fn wait(&self) -> Option<Duration> {
        self.wait
    }

    pub(crate) fn is_sensitive(&self) -> bool {
        self.sensitive
    }

    /// What this call asks for, without how current the caller is: equal for two calls that may share one answer.
    pub(crate) fn key(&self) -> String {
        let mut query: Vec<_> = self
            .query
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_str()))
            .collect();
        query.sort_unstable();
        format!(
            "{} {} {query:?} {:?} {:?}",
            self.method,
            Path(&self.path),
            self.headers,
            self.body
        )
    }

    /// "/v1/health/connect/web"
    pub(crate) fn path(&self) -> String {
        Path(&self.path).to_string()
    }

    /// "reading /v1/health/connect/web"
    pub(crate) fn operation(&self) -> String {
        let verb = match self.method {
            Method::GET => "reading",
            Method::DELETE => "deleting",
            _ => "writing",
        };
        format!("{verb} {}", Path(&self.path))
    }

    /// How long the answer may take: none of Consul's own waiting may look like a failure of the connection.
    pub(crate) fn patience(&self, config: &Config) -> Duration {
        if self.cursor.is_none() {
            return config.timeout();
        }
        // The server adds up to a sixteenth of the wait. Absent, it waits 5 minutes, on leafs 10: the longest it ever does.
        let wait = self.wait.unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
        (wait + wait / 16).saturating_add(config.timeout())
    }

    pub(crate) fn is_value(&self, status: StatusCode) -> bool {
        status.is_success() || self.accepted.contains(&status)
    }

    pub(crate) fn decode(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<T, BoxError> {
        (self.decode)(&Reply {
            status,
            headers,
            body,
            query: &self.query,
        })
    }
}

/// Consul caps what is asked for at this.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

impl<T> Clone for Request<T> {
    fn clone(&self) -> Self {
        Self {
            method: self.method.clone(),
            path: self.path.clone(),
            query: self.query.clone(),
            headers: self.headers.clone(),
            body: self.body.clone(),
            cursor: self.cursor.clone(),
            wait: self.wait,
            sensitive: self.sensitive,
            accepted: self.accepted,
            decode: self.decode,
            invalid: self.invalid.clone(),
        }
    }
}

impl<T> fmt::Debug for Request<T> {
    /// Without headers and body: they may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &format_args!("{}", Path(&self.path)))
            .field("query", &self.query)
            .field("cursor", &self.cursor)
            .field("wait", &self.wait)
            .field("sensitive", &self.sensitive)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
