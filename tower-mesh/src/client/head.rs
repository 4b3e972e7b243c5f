//! The head of a request: what it needs of a connection, and what of it must not be passed on.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version,
    header::{CONNECTION, HOST, TE, TRANSFER_ENCODING, UPGRADE},
    uri::{Authority, PathAndQuery, Scheme},
};

use crate::{
    body::Body,
    error::{Error, ErrorKind},
    grpc,
    pool::{Protocol, Want},
};

/// Who called whom, as proxies tell each other. Ours is in the handshake, and must not be spoofed.
const FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Brings a request into the form in which it is kept between tries, with an absolute URI, and says
/// what it can be sent on.
pub(super) fn prepare<B>(
    request: &mut Request<B>,
    upstream: &str,
    authority: &Authority,
) -> Result<Want, Error> {
    if request.method() == Method::CONNECT {
        let context =
            format!("calling `{upstream}`: a tunnel is no request, connect a byte stream");
        return Err(Error::new(ErrorKind::Config, context));
    }
    let upgrade = is_upgrade(request.headers());
    let needs_h2 =
        request.version() == Version::HTTP_2 || grpc::content_type(request.headers()).is_some();
    let want = match (needs_h2, upgrade) {
        (true, true) => {
            let context = format!("calling `{upstream}`: h2 has no upgrades");
            return Err(Error::new(ErrorKind::Protocol, context));
        }
        (true, false) => Want::Http2,
        (false, true) => Want::Http1,
        (false, false) => Want::Any,
    };
    clean(request.headers_mut(), upgrade);
    complete(request, upstream, authority)?;
    Ok(want)
}

/// Gives the request the form its connection speaks.
pub(super) fn shape(request: &mut Request<Body>, protocol: Protocol) {
    match protocol {
        Protocol::Http2 => *request.version_mut() = Version::HTTP_2,
        Protocol::Http1 => {
            *request.version_mut() = Version::HTTP_11;
            let uri = std::mem::take(request.uri_mut()).into_parts();
            if let Some(host) = uri.authority.and_then(|authority| host_value(&authority)) {
                request.headers_mut().insert(HOST, host);
            }
            let path = uri.path_and_query.unwrap_or_else(root);
            *request.uri_mut() = Uri::from(path);
        }
    }
}

/// Undoes [`shape`] for another try.
pub(super) fn unshape(
    request: &mut Request<Body>,
    upstream: &str,
    authority: &Authority,
) -> Result<(), Error> {
    complete(request, upstream, authority)
}

/// Makes the URI absolute. The authority is the request's own, in its URI or as `Host`, or the
/// upstream's name.
fn complete<B>(
    request: &mut Request<B>,
    upstream: &str,
    authority: &Authority,
) -> Result<(), Error> {
    let host = request.headers_mut().remove(HOST);
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    if parts.authority.is_none() {
        let host = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
        parts.authority = Some(host.unwrap_or_else(|| authority.clone()));
    }
    parts.scheme = Some(Scheme::HTTPS);
    if parts
        .path_and_query
        .as_ref()
        .is_none_or(|path| path.as_str().is_empty())
    {
        parts.path_and_query = Some(root());
    }
    *request.uri_mut() = Uri::from_parts(parts).map_err(|source| {
        let context = format!("calling `{upstream}`: making the URI of the request");
        Error::with_source(ErrorKind::Config, context, source)
    })?;
    Ok(())
}

fn root() -> PathAndQuery {
    PathAndQuery::from_static("/")
}

fn host_value(authority: &Authority) -> Option<HeaderValue> {
    // What is before an `@` is not a host.
    let host = authority.as_str();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    HeaderValue::try_from(host).ok()
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

/// Takes out what is meant for one connection only (RFC 9110, 7.6.1), and what nobody but a proxy
/// may say. `te: trailers` stays: gRPC servers ask for it, and h2 allows it.
fn clean(headers: &mut HeaderMap, upgrade: bool) {
    let suspicious = |name: &HeaderName| {
        matches!(*name, CONNECTION | TE | TRANSFER_ENCODING | UPGRADE)
            || *name == FORWARDED_CLIENT_CERT
            || *name == KEEP_ALIVE
            || *name == PROXY_CONNECTION
    };
    if !headers.keys().any(suspicious) {
        return;
    }
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
