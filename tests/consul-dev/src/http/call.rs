//! One request, read once and handed to a route.

use bytes::Bytes;
use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::reply::Problem;
use crate::go;

/// A request with its parts decoded.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// As on the wire, without the query.
    pub(crate) path: String,
    /// What follows the route's prefix, percent-decoded.
    pub(crate) rest: String,
    query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Call {
    pub(crate) fn new(
        method: Method,
        path: &str,
        query: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Self {
        Self {
            method,
            path: path.to_owned(),
            rest: String::new(),
            query: query
                .split('&')
                .filter(|pair| !pair.is_empty())
                .map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(key, true), decode(value, true))
                })
                .collect(),
            headers,
            body,
        }
    }

    /// Takes what follows the route's prefix.
    pub(crate) fn set_rest(&mut self, prefix_len: usize) {
        self.rest = decode(self.path.get(prefix_len..).unwrap_or_default(), false);
    }

    /// The first value of a query parameter; an empty one counts as absent.
    pub(crate) fn query(&self, key: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(name, value)| name == key && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// Every value of a query parameter.
    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.query
            .iter()
            .filter(move |(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// Whether a query parameter is there at all.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.query.iter().any(|(name, _)| name == key)
    }

    /// The token: `?token=` beats `X-Consul-Token` beats `Authorization: Bearer`; empty for none.
    pub(crate) fn secret(&self) -> &str {
        if let Some(token) = self.query("token") {
            return token;
        }
        let header = |name: &str| {
            self.headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .filter(|value| !value.is_empty())
        };
        if let Some(token) = header("x-consul-token") {
            return token;
        }
        header("authorization")
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map_or("", |(_, token)| token.trim())
    }

    pub(crate) fn pretty(&self) -> bool {
        self.has("pretty")
    }

    /// The body as JSON; `label` begins the refusal, such as `Request decode failed`.
    pub(crate) fn json(&self, label: &str) -> Result<Value, Problem> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Problem::bad_request(format!("{label}: {}", go_syntax(&error, &self.body)))
        })
    }

    /// Refuses tenancy as the Community Edition does: any value at all, `default` included.
    pub(crate) fn refuse_tenancy(&self) -> Result<(), Problem> {
        for (key, what) in [("ns", "Namespaces"), ("partition", "Partitions")] {
            if self.query(key).is_some() {
                return Err(Problem::bad_request(format!(
                    "Invalid query parameter: \"{key}\" - {what} are a Consul Enterprise feature"
                )));
            }
        }
        for (key, what) in [
            ("X-Consul-Namespace", "Namespaces"),
            ("X-Consul-Partition", "Partitions"),
        ] {
            if self.headers.get(key).is_some_and(|value| !value.is_empty()) {
                return Err(Problem::bad_request(format!(
                    "Invalid header: \"{key}\" - {what} are a Consul Enterprise feature"
                )));
            }
        }
        Ok(())
    }

    /// Consistency, cache and staleness parameters must not contradict each other.
    pub(crate) fn consistency(&self) -> Result<&'static str, Problem> {
        let (stale, consistent) = (self.has("stale"), self.has("consistent"));
        let conflict = |with: &str| {
            Problem::bad_request(format!(
                "Cannot specify ?{with} with ?consistent, conflicting semantics."
            ))
        };
        if stale && consistent {
            return Err(conflict("stale"));
        }
        if self.has("cached") && consistent {
            return Err(conflict("cached"));
        }
        if let Some(value) = self.query("max_stale")
            && go::parse_duration(value).is_none()
        {
            return Err(Problem::bad_request(format!(
                "Invalid max_stale value {value:?}"
            )));
        }
        if let Some(control) = self.headers.get(http::header::CACHE_CONTROL) {
            let control = control.to_str().unwrap_or_default();
            let broken = control.split(',').any(|part| {
                let part = part.trim();
                part.split_once('=')
                    .is_some_and(|(_, age)| age.parse::<u64>().is_err())
            });
            if broken {
                return Err(Problem::bad_request("Invalid Cache-Control header."));
            }
        }
        Ok(match (stale, consistent) {
            (true, _) => "stale",
            (_, true) => "consistent",
            _ => "leader",
        })
    }

    /// The datacenter asked for, `None` for our own.
    pub(crate) fn foreign_datacenter(&self, ours: &str) -> bool {
        self.query("dc")
            .or_else(|| self.query("datacenter"))
            .is_some_and(|asked| asked != ours)
    }
}

fn decode(text: &str, form: bool) -> String {
    let plus = if form {
        text.replace('+', " ")
    } else {
        text.to_owned()
    };
    percent_decode_str(&plus).decode_utf8_lossy().into_owned()
}

/// A syntax error in the words of Go's decoder, as far as they can be told from the position.
fn go_syntax(error: &serde_json::Error, body: &[u8]) -> String {
    if body.iter().all(u8::is_ascii_whitespace) {
        return "EOF".to_owned();
    }
    if error.is_eof() {
        return "unexpected EOF".to_owned();
    }
    let offset = error.column().saturating_sub(1);
    match body.get(offset) {
        Some(byte) => {
            let before = body.get(..offset).unwrap_or_default();
            let after = before.iter().rev().find(|byte| !byte.is_ascii_whitespace());
            let place = match after {
                Some(b'{') => "looking for beginning of object key string",
                _ => "looking for beginning of value",
            };
            format!("invalid character '{}' {place}", *byte as char)
        }
        None => "unexpected end of JSON input".to_owned(),
    }
}
