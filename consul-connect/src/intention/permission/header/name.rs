//! Which header is meant, and what of it there is to compare once Envoy has put a request in order.

mod known;

use std::fmt;

use http::{HeaderName, HeaderValue, header};

use self::known::{CRUMBS, Repeated, Seen, default, repeated, seen};
pub use self::known::{ENVOY_ORDERS, join_lines, list_separator};
use crate::intention::permission::request::Request;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Method,
    /// With the query, unlike what path rules see.
    Path,
    /// `host` is another word for it.
    Authority,
    Scheme,
    Field {
        name: HeaderName,
        repeated: Repeated,
        seen: Seen,
        /// What Envoy puts there if nothing is.
        default: Option<&'static str>,
    },
}

impl Name {
    /// `None`: no header of a request has such a name.
    pub(super) fn compile(wire: &str) -> Option<Self> {
        Some(match &*wire.to_ascii_lowercase() {
            ":method" => Self::Method,
            ":path" => Self::Path,
            ":authority" | "host" => Self::Authority,
            ":scheme" => Self::Scheme,
            lower => Self::Field {
                name: HeaderName::from_bytes(lower.as_bytes()).ok()?,
                repeated: repeated(lower),
                seen: seen(lower),
                default: default(lower),
            },
        })
    }

    pub(super) fn is_present(&self, request: &Request<'_>) -> bool {
        self.any(request, |_| true).unwrap_or(false)
    }

    /// Whether one of its values is a hit; `None` if there is none to ask about.
    pub(super) fn any(&self, request: &Request<'_>, hit: impl Fn(&[u8]) -> bool) -> Option<bool> {
        match self {
            Self::Method => Some(hit(request.method().as_bytes())),
            Self::Path => request.path_and_query().map(|path| hit(path.as_bytes())),
            Self::Scheme => Some(hit(request.scheme().as_bytes())),
            Self::Authority => match request.authority() {
                Some(authority) => Some(hit(authority.as_bytes())),
                None => lines(request, &header::HOST, Some(","), hit),
            },
            Self::Field { seen, .. } if !seen.by_rules(request) => None,
            Self::Field {
                name,
                repeated,
                default,
                ..
            } => {
                let separator = repeated.separator(request.version());
                // What is left of nothing but empty parts is no header, there.
                if separator == Some(CRUMBS) && request.lines(name).all(|line| line.is_empty()) {
                    return None;
                }
                let found = lines(request, name, separator, &hit);
                found.or_else(|| default.map(|default| hit(default.as_bytes())))
            }
        }
    }
}

/// Asks about each line by itself, or about all of them joined. Takes memory only where there is something to join.
fn lines(
    request: &Request<'_>,
    name: &HeaderName,
    separator: Option<&str>,
    hit: impl Fn(&[u8]) -> bool,
) -> Option<bool> {
    let mut lines = request.lines(name).map(HeaderValue::as_bytes);
    let first = lines.next()?;
    let Some(separator) = separator else {
        return Some(hit(first) || lines.any(hit));
    };
    let Some(second) = lines.next() else {
        return Some(hit(first));
    };
    let all = [first, second].into_iter().chain(lines);
    Some(hit(&join_lines(all, separator)))
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => ":method",
            Self::Path => ":path",
            Self::Authority => ":authority",
            Self::Scheme => ":scheme",
            Self::Field { name, .. } => name.as_str(),
        })
    }
}
