//! Heads of requests.

use http::{HeaderMap, Method, Request, Uri, Version, request::Parts};

/// A head to ask rules about, without what else hangs on a request: its extensions hold the connection that may be upgraded.
pub(crate) fn bare(method: &Method, uri: &Uri, version: Version, headers: &HeaderMap) -> Parts {
    let (mut head, ()) = Request::new(()).into_parts();
    head.method = method.clone();
    head.uri = uri.clone();
    head.version = version;
    head.headers.clone_from(headers);
    head
}
