//! What a call looks like on the wire.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use http::{HeaderValue, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Cursor, LONGEST_WAIT, Request};
use crate::{
    config::{Config, address::Target},
    error::{Error, Kind},
};

/// RFC 3986 unreserved characters stay, everything else is escaped: the strictest form, and the one every proxy agrees on.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

impl<T> Request<T> {
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
            // Consul refuses what its own durations cannot hold, and waits no longer than this anyway.
            let wait = wait.min(LONGEST_WAIT);
            // Below a millisecond it would read as "not set", which is minutes.
            add("wait", &format!("{}ms", wait.as_millis().max(1)));
        }
        text
    }
}

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
pub(super) struct Path<'a>(pub(super) &'a [Cow<'static, str>]);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("/v1")?;
        for segment in self.0 {
            write!(f, "/{}", utf8_percent_encode(segment, ESCAPED))?;
        }
        Ok(())
    }
}
