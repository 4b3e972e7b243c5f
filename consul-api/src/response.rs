//! What every answer of Consul carries beside its value.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

/// A value and what Consul said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response<T> {
    /// The decoded body.
    pub value: T,
    /// The headers that say how current and how complete it is.
    pub meta: Meta,
}

impl<T> Response<T> {
    /// The value alone.
    pub fn into_value(self) -> T {
        self.value
    }

    /// The same answer with another value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Response<U> {
        Response {
            value: f(self.value),
            meta: self.meta,
        }
    }
}

/// The `X-Consul-…` headers of an answer. Each may be missing; which ones an endpoint sends differs, and between versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Meta {
    /// `X-Consul-Index`: what a blocking query waits on. Opaque; may go back. Missing on answers without an index, and
    /// where the header was not a number.
    pub index: Option<u64>,
    /// `X-Consul-LastContact`: how long ago the server that answered heard from the leader.
    pub last_contact: Option<Duration>,
    /// `X-Consul-KnownLeader`. `Some(false)` is normal on answers that come from the streaming backend or the agent's cache:
    /// it is no sign of an outage.
    pub known_leader: Option<bool>,
    /// `X-Cache`: whether the agent answered from its cache.
    pub cache_hit: Option<bool>,
    /// `Age`: how old the cached value is. Only on cache hits.
    pub age: Option<Duration>,
    /// `X-Consul-ContentHash`: what a hash-based blocking query waits on.
    pub content_hash: Option<String>,
    /// `X-Consul-Results-Filtered-By-ACLs`: something was left out because the token may not read it.
    /// `false` means only that Consul did not say so: it never does for the anonymous token.
    pub filtered_by_acls: bool,
    /// `X-Consul-Default-ACL-Policy`: what ACLs decide where no rule matches. Not the default of intentions.
    pub default_acl_policy: Option<AclPolicy>,
    /// `X-Consul-Effective-Consistency`.
    pub effective_consistency: Option<Consistency>,
    /// `X-Consul-Query-Backend`.
    pub query_backend: Option<QueryBackend>,
    /// `X-Consul-Translate-Addresses`: the agent put WAN addresses in the place of LAN ones.
    pub addresses_translated: bool,
    /// `X-Consul-Reason`: why an agent-local health answer is what it is.
    pub reason: Option<String>,
}

/// What happens where no ACL rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AclPolicy {
    /// `allow`
    Allow,
    /// `deny`
    Deny,
}

/// How current a read was in effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Consistency {
    /// Answered by the leader under its lease (Consul's default).
    Leader,
    /// The leader asked a quorum whether it still leads.
    Consistent,
    /// Any server answered.
    Stale,
}

/// What produced an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum QueryBackend {
    /// A blocking query to a server.
    BlockingQuery,
    /// The agent's streamed, materialised view.
    Streaming,
}

impl Meta {
    /// Reads the headers of an answer. On error statuses other than 404 Consul sends indexes that mean nothing.
    pub(crate) fn from_headers(status: StatusCode, headers: &HeaderMap) -> Self {
        let text = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::trim)
        };
        let number = |name: &str| text(name).and_then(|value| value.parse::<u64>().ok());
        let flag = |name: &str| match text(name) {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => None,
        };
        let index_counts = status.is_success() || status == StatusCode::NOT_FOUND;
        Self {
            index: number("x-consul-index").filter(|_| index_counts),
            last_contact: number("x-consul-lastcontact").map(Duration::from_millis),
            known_leader: flag("x-consul-knownleader"),
            cache_hit: match text("x-cache") {
                Some("HIT") => Some(true),
                Some("MISS") => Some(false),
                _ => None,
            },
            age: number("age").map(Duration::from_secs),
            content_hash: text("x-consul-contenthash")
                .filter(|hash| !hash.is_empty())
                .map(str::to_owned),
            filtered_by_acls: flag("x-consul-results-filtered-by-acls") == Some(true),
            default_acl_policy: match text("x-consul-default-acl-policy") {
                Some("allow") => Some(AclPolicy::Allow),
                Some("deny") => Some(AclPolicy::Deny),
                _ => None,
            },
            effective_consistency: match text("x-consul-effective-consistency") {
                Some("leader") => Some(Consistency::Leader),
                Some("consistent") => Some(Consistency::Consistent),
                Some("stale") => Some(Consistency::Stale),
                _ => None,
            },
            query_backend: match text("x-consul-query-backend") {
                Some("blocking-query") => Some(QueryBackend::BlockingQuery),
                Some("streaming") => Some(QueryBackend::Streaming),
                _ => None,
            },
            addresses_translated: flag("x-consul-translate-addresses") == Some(true),
            reason: text("x-consul-reason")
                .filter(|reason| !reason.is_empty())
                .map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|&(name, value)| {
                (
                    http::HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn every_header_is_optional() {
        assert_eq!(
            Meta::from_headers(StatusCode::OK, &HeaderMap::new()),
            Meta::default()
        );
    }

    #[test]
    fn an_index_that_is_no_number_is_absent() {
        let meta = Meta::from_headers(StatusCode::OK, &headers(&[("x-consul-index", "abc")]));
        assert_eq!(meta.index, None);
    }

    #[test]
    fn index_counts_on_404_and_not_on_other_errors() {
        let headers = headers(&[("x-consul-index", "7"), ("x-consul-knownleader", "false")]);
        assert_eq!(
            Meta::from_headers(StatusCode::NOT_FOUND, &headers).index,
            Some(7)
        );
        assert_eq!(
            Meta::from_headers(StatusCode::INTERNAL_SERVER_ERROR, &headers).index,
            None
        );
        assert_eq!(
            Meta::from_headers(StatusCode::OK, &headers).known_leader,
            Some(false)
        );
    }
}
