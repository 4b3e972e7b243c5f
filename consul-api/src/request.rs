//! A call as a value: pure, without I/O.

use std::{borrow::Cow, fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    config::{Config, address::Target},
    error::{Error, Kind},
};

type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// RFC 3986 unreserved characters stay, everything else is escaped: the strictest form, and the one every proxy agrees on.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

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

/// What a decoder sees of an answer with an accepted status.
pub(crate) struct Reply<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    /// The parameters of the request that was answered.
    pub(crate) query: &'a [(Cow<'static, str>, String)],
}

impl Reply<'_> {
    /// The body as JSON. An empty body reads as `null`: some writes answer with nothing.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, BoxError> {
        let body = if self.body.is_empty() {
            b"null"
        } else {
            self.body
        };
        Ok(serde_json::from_slice(body)?)
    }

    /// `null` and an empty body read as the default: an empty list.
    pub(crate) fn json_or_default<T: DeserializeOwned + Default>(&self) -> Result<T, BoxError> {
        Ok(self.json::<Option<T>>()?.unwrap_or_default())
    }

    /// Of calls that accept 404: `None` for it.
    pub(crate) fn json_unless_missing<T: DeserializeOwned>(&self) -> Result<Option<T>, BoxError> {
        if self.status != StatusCode::NOT_FOUND {
            return self.json().map(Some);
        }
        // A proxy that does not find the path says nothing about the object.
        if self
            .headers
            .keys()
            .any(|name| name.as_str().starts_with("x-consul-"))
        {
            Ok(None)
        } else {
            Err("this is no answer of Consul".into())
        }
    }
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
        wait + wait / 16 + config.timeout()
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

    /// The HTTP request this call is, for a Consul reached as `config` says. Pure; all headers except the token's.
    ///
    /// # Errors
    /// An invalid request: an empty path segment, or a body that does not serialise. A configuration error: credentials that no
    /// header can carry.
    pub fn to_http(&self, config: &Config) -> Result<http::Request<Bytes>, Error> {
        if let Some(why) = &self.invalid {
            return Err(Error::new(Kind::Request, why.clone()));
        }
        let address = config.address();
        let scheme = if address.is_tls() { "https" } else { "http" };
        let (authority, host) = dialled(config);
        let uri = format!(
            "{scheme}://{authority}{}{}{}",
            address.prefix(),
            Path(&self.path),
            self.query_text(config)
        );

        let mut request = http::Request::builder()
            .method(self.method.clone())
            .uri(uri);
        if let Some(headers) = request.headers_mut() {
            headers.extend(self.headers.clone());
            if let Some(host) = host {
                headers.insert(header::HOST, host);
            }
            if let Some(authorization) = config.basic_auth_header()? {
                headers.insert(header::AUTHORIZATION, authorization);
            }
        }
        request
            .body(self.body.clone().unwrap_or_default())
            .map_err(|error| {
                Error::new(
                    Kind::Request,
                    format!("{} makes no request", Path(&self.path)),
                )
                .with_source(error)
            })
    }

    fn query_text(&self, config: &Config) -> String {
        let mut text = String::new();
        let mut add = |name: &str, value: &str| {
            text.push(if text.is_empty() { '?' } else { '&' });
            text.extend(utf8_percent_encode(name, ESCAPED));
            if !value.is_empty() {
                text.push('=');
                text.extend(utf8_percent_encode(value, ESCAPED));
            }
        };
        let own = |name: &str| self.query.iter().any(|(existing, _)| existing == name);
        for (name, default) in [
            ("dc", config.datacenter()),
            ("ns", config.namespace()),
            ("partition", config.partition()),
        ] {
            if let Some(value) = default.filter(|_| !own(name)) {
                add(name, value);
            }
        }
        for (name, value) in &self.query {
            add(name, value);
        }
        match &self.cursor {
            Some(Cursor::Index(index)) => add("index", &index.to_string()),
            Some(Cursor::Hash(hash)) => add("hash", hash),
            None => {}
        }
        if let Some(wait) = self.wait.filter(|wait| !wait.is_zero()) {
            // Below a millisecond it would read as "not set", which is minutes.
            add("wait", &format!("{}ms", wait.as_millis().max(1)));
        }
        text
    }
}

/// Consul caps what is asked for at this.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// The authority to put into the URL, and the `Host` header if that is another one.
///
/// A configured server name is dialled *as that name* (the client resolves it to the configured host), so that it is also what SNI
/// asks for.
fn dialled(config: &Config) -> (String, Option<HeaderValue>) {
    let address = config.address();
    let name = config
        .tls()
        .server_name
        .as_deref()
        .filter(|_| address.is_tls());
    let authority = address.authority();
    match (name, address.target()) {
        (Some(name), Target::Unix(_)) => (
            crate::config::address::authority(name, 443, true),
            HeaderValue::from_str(&authority).ok(),
        ),
        (Some(name), Target::Tcp { port, .. }) if name.parse::<std::net::IpAddr>().is_err() => (
            crate::config::address::authority(name, *port, true),
            HeaderValue::from_str(&authority).ok(),
        ),
        _ => (authority, None),
    }
}

/// `/v1/…`, escaped.
struct Path<'a>(&'a [Cow<'static, str>]);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("/v1")?;
        for segment in self.0 {
            write!(f, "/{}", utf8_percent_encode(segment, ESCAPED))?;
        }
        Ok(())
    }
}

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
mod tests {
    use super::*;

    fn uri(request: &Request<serde_json::Value>, config: &Config) -> String {
        request
            .to_http(config)
            .expect("a request")
            .uri()
            .to_string()
    }

    #[test]
    fn segments_and_parameters_are_escaped_whole() {
        let request =
            Request::get(["health", "service", "a/b c?é"]).query("filter", "a == \"b&c\"");
        assert_eq!(
            uri(&request, &Config::default()),
            "http://localhost:8500/v1/health/service/a%2Fb%20c%3F%C3%A9?filter=a%20%3D%3D%20%22b%26c%22"
        );
    }

    #[test]
    fn a_segment_that_would_change_the_path_is_refused() {
        for name in ["", ".", ".."] {
            let request: Request<()> = Request::get(["health", "service", name]);
            let error = request.to_http(&Config::default()).expect_err("refused");
            assert!(error.is_invalid_request(), "{error}");
        }
    }

    #[test]
    fn scope_of_the_configuration_gives_way_to_that_of_the_call() {
        let config = Config::default()
            .with_datacenter("dc1")
            .with_namespace("team");
        let request = Request::get(["x"]).query("dc", "dc2");
        assert_eq!(
            uri(&request, &config),
            "http://localhost:8500/v1/x?ns=team&dc=dc2"
        );
    }

    #[test]
    fn prefix_of_the_address_stands_before_the_path() {
        let config = Config::new("https://gw.example/consul/").expect("an address");
        assert_eq!(
            uri(&Request::get(["x"]), &config),
            "https://gw.example/consul/v1/x"
        );
    }

    #[test]
    fn a_server_name_is_dialled_and_the_host_kept_in_its_header() {
        let config = Config::new("https://10.0.0.1:8501")
            .expect("an address")
            .with_tls_server_name("server.dc1.consul");
        let request = Request::<()>::get(["x"])
            .to_http(&config)
            .expect("a request");
        assert_eq!(request.uri(), "https://server.dc1.consul:8501/v1/x");
        assert_eq!(request.headers()[header::HOST], "10.0.0.1:8501");
    }

    #[test]
    fn patience_covers_the_servers_jitter() {
        let config = Config::default();
        let mut request: Request<()> = Request::get(["x"]);
        assert_eq!(request.patience(&config), config.timeout());
        request.set_cursor(Some(Cursor::Index(1)));
        assert!(request.patience(&config) > LONGEST_WAIT * 17 / 16);
        request.set_wait(Some(Duration::from_secs(16)));
        assert_eq!(
            request.patience(&config),
            Duration::from_secs(17) + config.timeout()
        );
    }

    #[test]
    fn debug_shows_neither_body_nor_headers() {
        let request = Request::<()>::put(["acl", "login"]).json("secret-jwt");
        assert!(!format!("{request:?}").contains("secret"));
    }
}
