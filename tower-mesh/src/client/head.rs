//! The head of a request: what it needs of a connection, and what of it must not be passed on.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version,
    header::{CONNECTION, HOST, TE, TRANSFER_ENCODING, UPGRADE},
    uri::{Authority, PathAndQuery, Scheme},
};

use crate::{
    body::Body,
    error::{Error, ErrorKind},
    pool::{Protocol, Want},
    upstream::{OwnAuthority, host_value},
};

/// Who called whom, as proxies tell each other. Ours is in the handshake, and must not be spoofed.
const FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// What is known of a request before it has a connection.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) want: Want,
    pub(super) is_idempotent: bool,
    /// The authority that the request itself brought, in its URI or as `Host`.
    authority: Option<Authority>,
}

/// Brings a request into the form in which it is kept between tries, with nothing but a path for a
/// URI and no `Host`, and says what it can be sent on.
pub(super) fn prepare<B>(
    request: &mut Request<B>,
    is_grpc: bool,
    upstream: &str,
) -> Result<Prepared, Error> {
    if request.method() == Method::CONNECT {
        let context =
            format!("calling `{upstream}`: a tunnel is no request, connect a byte stream");
        return Err(Error::new(ErrorKind::Config, context));
    }
    let suspicious = request.headers().keys().any(is_suspicious);
    let upgrade = suspicious && is_upgrade(request.headers());
    let needs_h2 = request.version() == Version::HTTP_2 || is_grpc;
    let want = match (needs_h2, upgrade) {
        (true, true) => {
            let context = format!("calling `{upstream}`: h2 has no upgrades");
            return Err(Error::new(ErrorKind::Protocol, context));
        }
        (true, false) => Want::Http2,
        (false, true) => Want::Http1,
        (false, false) => Want::Any,
    };
    let mut authority = None;
    if suspicious {
        clean(request.headers_mut(), upgrade);
        let host = request.headers_mut().remove(HOST);
        authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    }
    let path = request.uri().path_and_query().map(PathAndQuery::as_str);
    if request.uri().authority().is_some() || path.is_none_or(str::is_empty) {
        let parts = std::mem::take(request.uri_mut()).into_parts();
        authority = parts.authority.or(authority);
        let path = parts
            .path_and_query
            .filter(|path| !path.as_str().is_empty());
        *request.uri_mut() = Uri::from(path.unwrap_or_else(root));
    }
    Ok(Prepared {
        want,
        is_idempotent: request.method().is_idempotent(),
        authority,
    })
}

/// Gives a request the form its connection speaks, whatever it was shaped for before.
///
/// # Errors
///
/// `Config`, if its path cannot follow an authority.
pub(super) fn shape(
    request: &mut Request<Body>,
    prepared: &Prepared,
    own: &OwnAuthority,
    protocol: Protocol,
) -> Result<(), Error> {
    match protocol {
        Protocol::Http1 => {
            *request.version_mut() = Version::HTTP_11;
            if request.uri().authority().is_some() {
                let path = std::mem::take(request.uri_mut())
                    .into_parts()
                    .path_and_query;
                *request.uri_mut() = Uri::from(path.unwrap_or_else(root));
            }
            let host = prepared.authority.as_ref().and_then(host_value);
            let host = host.unwrap_or_else(|| own.host().clone());
            request.headers_mut().insert(HOST, host);
        }
        Protocol::Http2 => {
            *request.version_mut() = Version::HTTP_2;
            request.headers_mut().remove(HOST);
            let mut parts = std::mem::take(request.uri_mut()).into_parts();
            let authority = prepared
                .authority
                .as_ref()
                .unwrap_or_else(|| own.authority());
            parts.authority = Some(authority.clone());
            parts.scheme = Some(Scheme::HTTPS);
            *request.uri_mut() = Uri::from_parts(parts).map_err(|source| {
                let context = format!(
                    "calling `{}`: making the URI of the request",
                    own.authority()
                );
                Error::with_source(ErrorKind::Config, context, source)
            })?;
        }
    }
    Ok(())
}

fn root() -> PathAndQuery {
    PathAndQuery::from_static("/")
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(UPGRADE)
        && connection_tokens(headers).any(|token| token.eq_ignore_ascii_case("upgrade"))
}

fn connection_tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

/// Whether a head with this header has to be looked at closely.
fn is_suspicious(name: &HeaderName) -> bool {
    matches!(*name, HOST | CONNECTION | TE | TRANSFER_ENCODING | UPGRADE)
        || *name == FORWARDED_CLIENT_CERT
        || *name == KEEP_ALIVE
        || *name == PROXY_CONNECTION
}

/// Takes out what is meant for one connection only (RFC 9110, 7.6.1), and what nobody but a proxy
/// may say. `te: trailers` stays: gRPC servers ask for it, and h2 allows it.
fn clean(headers: &mut HeaderMap, upgrade: bool) {
    let listed: Vec<HeaderName> = connection_tokens(headers)
        .filter_map(|token| token.parse().ok())
        .collect();
    for name in listed
        .into_iter()
        .filter(|name| *name != UPGRADE && *name != TE)
    {
        headers.remove(name);
    }
    for name in [
        CONNECTION,
        TRANSFER_ENCODING,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        FORWARDED_CLIENT_CERT,
    ] {
        headers.remove(name);
    }
    let trailers = headers
        .get_all(TE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case("trailers"));
    headers.remove(TE);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    } else {
        headers.remove(UPGRADE);
    }
}

#[cfg(test)]
mod tests;
