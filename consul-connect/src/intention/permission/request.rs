//! A request as rules see it.

use http::{
    HeaderName, HeaderValue, Version, header::ValueIter, request::Parts, uri::PathAndQuery,
};

/// A head, looked at once and asked by every permission.
pub(super) struct Request<'a> {
    head: &'a Parts,
    path: Option<&'a str>,
}

impl<'a> Request<'a> {
    pub(super) fn new(head: &'a Parts) -> Self {
        let path = head.uri.path_and_query().map(PathAndQuery::path);
        Self { head, path }
    }

    pub(super) fn version(&self) -> Version {
        self.head.version
    }

    pub(super) fn method(&self) -> &'a str {
        self.head.method.as_str()
    }

    /// Without query; a URI keeps no fragment. `None` for a `CONNECT`, which has an authority only; `*` for an `OPTIONS` of the
    /// whole server.
    pub(super) fn path(&self) -> Option<&'a str> {
        self.path
    }

    pub(super) fn path_and_query(&self) -> Option<&'a str> {
        self.head.uri.path_and_query().map(PathAndQuery::as_str)
    }

    /// What the request line or `:authority` says. It outranks `Host`.
    pub(super) fn authority(&self) -> Option<&'a str> {
        self.head.uri.authority().map(http::uri::Authority::as_str)
    }

    /// HTTP/1.1 seldom says it. Then it is what came before a proxy, if one tells; what we see ourselves is always TLS.
    pub(super) fn scheme(&self) -> &'a str {
        let forwarded = || {
            let mut lines = self.head.headers.get_all("x-forwarded-proto").iter();
            let only = lines.next().filter(|_| lines.next().is_none())?;
            only.to_str()
                .ok()
                .filter(|scheme| matches!(*scheme, "http" | "https"))
        };
        self.head
            .uri
            .scheme_str()
            .or_else(forwarded)
            .unwrap_or("https")
    }

    pub(super) fn lines(&self, name: &HeaderName) -> ValueIter<'a, HeaderValue> {
        self.head.headers.get_all(name).iter()
    }
}
