//! The headers that Envoy treats in a way of their own, as seen at 1.38.3 behind a listener like the one Consul configures.
//! About 190 names were tried.

use http::{HeaderName, HeaderValue, Version, header};

use crate::intention::permission::request::Request;

/// What several lines of one header are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeated {
    /// Each is a value.
    Apart,
    /// One value, joined by commas.
    Joined,
    /// `cookie`.
    Crumbs,
}

/// When rules see a header that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Always,
    /// With a request to leave HTTP. Envoy removes it otherwise.
    InUpgrades,
    /// It is about the connection, or it is how Envoys instruct each other: a caller cannot say it.
    Never,
}

impl Seen {
    pub(super) fn by_rules(self, request: &Request<'_>) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::InUpgrades => request
                .lines(&header::CONNECTION)
                .map(HeaderValue::as_bytes)
                .flat_map(|line| line.split(|&byte| byte == b','))
                .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade")),
        }
    }
}

/// What several lines of this header are joined with before rules look at them, and before an application behind an Envoy does;
/// `None`: each is a value by itself.
pub fn list_separator(name: &HeaderName, version: Version) -> Option<&'static str> {
    repeated(name.as_str()).separator(version)
}

/// Several lines of a header as one.
pub fn join_lines<'a>(lines: impl IntoIterator<Item = &'a [u8]>, separator: &str) -> Vec<u8> {
    let mut all = Vec::new();
    for line in lines {
        // An empty line adds nothing to a list, but a separator to a cookie.
        if !all.is_empty() && (!line.is_empty() || separator == CRUMBS) {
            all.extend_from_slice(separator.as_bytes());
        }
        all.extend_from_slice(line);
    }
    all
}

impl Repeated {
    pub(super) fn separator(self, version: Version) -> Option<&'static str> {
        match self {
            Self::Joined => Some(","),
            // HTTP/2 lets a client split this one; what was split is one value again.
            Self::Crumbs if version == Version::HTTP_2 => Some(CRUMBS),
            Self::Crumbs | Self::Apart => None,
        }
    }
}

/// Between the parts of a cookie.
pub(super) const CRUMBS: &str = "; ";

pub(super) fn repeated(name: &str) -> Repeated {
    if name == "cookie" {
        Repeated::Crumbs
    } else if JOINED.contains(&name) {
        Repeated::Joined
    } else {
        Repeated::Apart
    }
}

pub(super) fn seen(name: &str) -> Seen {
    match name {
        "connection" | "upgrade" => Seen::InUpgrades,
        "keep-alive" | "proxy-connection" | "transfer-encoding" => Seen::Never,
        _ if ENVOY_ORDERS.contains(&name) => Seen::Never,
        _ => Seen::Always,
    }
}

/// What is there in any case once a request has arrived over TLS. Of the id only that it is one can be known.
pub(super) fn default(name: &str) -> Option<&'static str> {
    match name {
        "x-forwarded-proto" => Some("https"),
        "x-request-id" => Some("00000000-0000-4000-8000-000000000000"),
        _ => None,
    }
}

const JOINED: [&str; 38] = [
    "accept",
    "accept-encoding",
    "access-control-request-headers",
    "access-control-request-method",
    "access-control-request-private-network",
    "authorization",
    "cache-control",
    "cdn-loop",
    "content-encoding",
    "content-type",
    "expect",
    "grpc-accept-encoding",
    "grpc-timeout",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "origin",
    "pragma",
    "proxy-status",
    "referer",
    "user-agent",
    "via",
    "x-client-trace-id",
    "x-envoy-attempt-count",
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
    "x-envoy-external-address",
    "x-envoy-is-timeout-retry",
    "x-envoy-original-host",
    "x-envoy-original-path",
    "x-envoy-upstream-stream-duration-ms",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-request-id",
];

/// How proxies order each other about. An Envoy takes none of these from a caller, and hands none on.
pub const ENVOY_ORDERS: [&str; 16] = [
    "x-envoy-decorator-operation",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-force-trace",
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-internal",
    "x-envoy-ip-tags",
    "x-envoy-max-retries",
    "x-envoy-original-url",
    "x-envoy-retriable-header-names",
    "x-envoy-retriable-status-codes",
    "x-envoy-retry-grpc-on",
    "x-envoy-retry-on",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response",
    "x-envoy-upstream-rq-timeout-ms",
];
