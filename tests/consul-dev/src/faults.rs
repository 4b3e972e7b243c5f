//! Scripted faults: what goes wrong, on which requests, how often.

use std::time::Duration;

/// What happens to a request instead of, or on top of, its regular answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// No answer at all, until the client gives up or the server stops.
    Hang,
    /// The connection is reset before any answer.
    Reset,
    /// A refusal with this status and text. On gRPC: 503 is `Unavailable`, 429 `ResourceExhausted`, 403 `PermissionDenied`, else `Internal`.
    Status {
        /// The HTTP status.
        status: u16,
        /// The text body.
        text: String,
    },
    /// The regular answer, but this much later.
    Delay(Duration),
    /// The regular answer, its body in pieces of `chunk` bytes with a pause before each.
    SlowBody {
        /// Bytes per piece, at least 1.
        chunk: usize,
        /// The pause before each piece.
        pause: Duration,
    },
    /// 200 with a body that is no JSON.
    Garbage,
    /// The regular head with its full length, then half the body, then the connection is closed.
    Truncate,
    /// The regular answer with another `X-Consul-Index`, or none.
    Index(Option<String>),
}

impl Fault {
    /// 500 `No cluster leader`.
    #[must_use]
    pub fn no_leader() -> Self {
        Self::status(500, "No cluster leader")
    }

    /// What reads get above the request limit: 429.
    #[must_use]
    pub fn rate_limited_read() -> Self {
        Self::status(
            429,
            "rate limit exceeded, try again later or against a different server",
        )
    }

    /// What writes and leaf signing get above the request limit: 503, on gRPC `Unavailable`.
    #[must_use]
    pub fn rate_limited_write() -> Self {
        Self::status(
            503,
            "rate limit exceeded for operation that can only be performed by the leader, try again later",
        )
    }

    /// What signing gets above the CSR limit: 429, on gRPC `ResourceExhausted`.
    #[must_use]
    pub fn csr_limited() -> Self {
        Self::status(429, "Rate limit reached, try again later")
    }

    /// A refusal with this status and text.
    #[must_use]
    pub fn status(status: u16, text: impl Into<String>) -> Self {
        Self::Status {
            status,
            text: text.into(),
        }
    }

    /// The regular answer, but its index went back to 1.
    #[must_use]
    pub fn index_back() -> Self {
        Self::Index(Some("1".to_owned()))
    }
}

/// A fault and the requests it is for.
///
/// The pattern is `"METHOD path"` or `"path"`; `*` stands for any characters. gRPC methods are paths too:
/// `/hashicorp.consul.connectca.ConnectCAService/Sign`.
///
/// ```
/// use consul_dev::{Fault, FaultRule};
/// let rule = FaultRule::new("GET /v1/health/*", Fault::no_leader()).after(1).times(2);
/// # let _ = rule;
/// ```
#[derive(Clone, Debug)]
pub struct FaultRule {
    method: Option<String>,
    path: String,
    fault: Fault,
    skip: u64,
    left: Option<u64>,
}

impl FaultRule {
    /// A rule for every request that matches the pattern.
    #[must_use]
    pub fn new(pattern: &str, fault: Fault) -> Self {
        let (method, path) = match pattern.split_once(' ') {
            Some((method, path)) => (Some(method.to_owned()), path),
            None => (None, pattern),
        };
        Self {
            method,
            path: path.to_owned(),
            fault,
            skip: 0,
            left: None,
        }
    }

    /// Lets the first `count` matching requests pass.
    #[must_use]
    pub fn after(mut self, count: u64) -> Self {
        self.skip = count;
        self
    }

    /// Ends after `count` requests were hit.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.left = Some(count);
        self
    }

    fn matches(&self, method: &str, path: &str) -> bool {
        self.method
            .as_deref()
            .is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && glob(&self.path, path)
    }
}

/// A request the server took, in the order of arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recorded {
    /// `GET`; `POST` for gRPC.
    pub method: String,
    /// The path as on the wire; for gRPC `/package.Service/Method`.
    pub path: String,
    /// The query string without `?`, tokens blanked.
    pub query: String,
    /// Whether a token came with it.
    pub authenticated: bool,
    /// The `Host` or authority it was sent to.
    pub host: String,
}

/// The active rules and the log of requests.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Vec<FaultRule>,
    pub(crate) log: Vec<Recorded>,
}

impl Faults {
    pub(crate) fn add(&mut self, rule: FaultRule) {
        self.rules.push(rule);
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    /// The fault for this request, if any; the first rule that matches is used up by one.
    pub(crate) fn take(&mut self, method: &str, path: &str) -> Option<Fault> {
        for rule in &mut self.rules {
            if rule.left == Some(0) || !rule.matches(method, path) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            if let Some(left) = &mut rule.left {
                *left -= 1;
            }
            return Some(rule.fault.clone());
        }
        None
    }

    pub(crate) fn count(&self, pattern: &str) -> usize {
        let rule = FaultRule::new(pattern, Fault::Hang);
        self.log
            .iter()
            .filter(|request| rule.matches(&request.method, &request.path))
            .count()
    }
}

/// `*` matches any run of characters, `/` included.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        last = Some(part);
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    match last {
        None => rest.is_empty(),
        Some(tail) => tail.is_empty() || text.ends_with(tail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_paths() {
        assert!(glob("/v1/health/*", "/v1/health/connect/web"));
        assert!(glob("*/leaf/*", "/v1/agent/connect/ca/leaf/web"));
        assert!(glob("/v1/agent/self", "/v1/agent/self"));
        assert!(!glob("/v1/agent/self", "/v1/agent/selfish"));
        assert!(!glob("/v1/health/*", "/v1/catalog/nodes"));
    }

    #[test]
    fn a_rule_skips_then_hits_then_ends() {
        let mut faults = Faults::default();
        faults.add(FaultRule::new("GET /a", Fault::Hang).after(1).times(2));
        let hits: Vec<bool> = (0..5).map(|_| faults.take("GET", "/a").is_some()).collect();
        assert_eq!(hits, [false, true, true, false, false]);
        assert_eq!(faults.take("PUT", "/a"), None);
    }
}
