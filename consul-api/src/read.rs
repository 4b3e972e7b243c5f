//! Calls that wait to be sent: `Read` for blocking-capable reads, `Call` for everything else.

use std::{fmt, future::Future, pin::Pin, time::Duration};

use http::{HeaderValue, header};

use crate::{
    client::Client,
    error::Error,
    request::{Cursor, Request},
    response::Response,
};

type SendFuture<T> = Pin<Box<dyn Future<Output = Result<Response<T>, Error>> + Send>>;

/// A read that Consul can hold back until its answer changes.
///
/// Set what is wanted, then `.await` it for one answer, or [`watch`](Read::watch) it for every following one.
///
/// # Errors
/// Awaiting gives the errors of [`Client::send`].
///
/// # Cancel safety
/// Dropping it, or the future it becomes, ends the request; a read changes nothing.
#[must_use = "nothing is asked until this is awaited or watched"]
pub struct Read<T> {
    client: Client,
    request: Request<T>,
    pace: Pace,
}

/// What an endpoint's blocking queries go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// `X-Consul-Index`
    Index,
    /// `X-Consul-ContentHash`
    Hash,
}

/// A call that is made once: a write, or a read that does not block.
///
/// # Errors
/// Awaiting gives the errors of [`Client::send`].
///
/// # Cancel safety
/// Dropping the future ends the request. Whether Consul has acted on a write by then is not known.
#[must_use = "nothing is sent until this is awaited"]
pub struct Call<T> {
    client: Client,
    request: Request<T>,
}

impl<T> Read<T> {
    pub(crate) fn new(client: &Client, request: Request<T>) -> Self {
        Self {
            client: client.clone(),
            request,
            pace: Pace::Index,
        }
    }

    /// Blocks by content hash instead of index.
    pub(crate) fn by_hash(mut self) -> Self {
        self.pace = Pace::Hash;
        self
    }

    pub(crate) fn map_request(mut self, f: impl FnOnce(&mut Request<T>)) -> Self {
        f(&mut self.request);
        self
    }

    pub(crate) fn into_parts(self) -> (Client, Request<T>, Pace) {
        (self.client, self.request, self.pace)
    }

    /// The request as a value, as it would be sent.
    pub fn request(&self) -> &Request<T> {
        &self.request
    }

    /// Asks another datacenter than the agent's own.
    pub fn datacenter(self, name: impl Into<String>) -> Self {
        self.map_request(|request| request.set_query("dc", name))
    }

    /// Asks in a namespace. Enterprise: the Community Edition answers 400 to any value.
    pub fn namespace(self, name: impl Into<String>) -> Self {
        self.map_request(|request| request.set_query("ns", name))
    }

    /// Asks in an admin partition. Enterprise: the Community Edition answers 400 to any value.
    pub fn partition(self, name: impl Into<String>) -> Self {
        self.map_request(|request| request.set_query("partition", name))
    }

    /// Asks for what a cluster peer of this name has exported to us.
    pub fn peer(self, name: impl Into<String>) -> Self {
        self.map_request(|request| request.set_query("peer", name))
    }

    /// Asks for the members of a sameness group. Enterprise.
    pub fn sameness_group(self, name: impl Into<String>) -> Self {
        self.map_request(|request| request.set_query("sameness-group", name))
    }

    /// Keeps what matches an expression of Consul's filter language, as `Service.Meta.version == "2"`. Evaluated by Consul.
    pub fn filter(self, expression: impl Into<String>) -> Self {
        self.map_request(|request| request.set_query("filter", expression))
    }

    /// Sorts by round-trip time from a node; `_agent` is the agent's own.
    pub fn near(self, node: impl Into<String>) -> Self {
        self.map_request(|request| request.set_query("near", node))
    }

    /// Lets any server answer, not only the leader: scales, works without a leader, may be behind (see `meta.last_contact`).
    pub fn stale(self) -> Self {
        self.consistency("stale")
    }

    /// Has the leader ask a quorum whether it still leads: the most current, the slowest. In the place of [`cached`](Self::cached).
    pub fn consistent(self) -> Self {
        self.consistency("consistent").map_request(|request| {
            request.remove_query("cached");
            request.remove_header(&header::CACHE_CONTROL);
        })
    }

    /// Has the leader answer, also where the agent is configured to make such reads stale.
    pub fn leader(self) -> Self {
        self.consistency("leader")
    }

    /// Lets the agent answer from its cache, where the endpoint has one. In the place of [`consistent`](Self::consistent).
    pub fn cached(self) -> Self {
        self.map_request(|request| {
            request.remove_query("consistent");
            request.set_query("cached", "");
        })
    }

    /// Lets the agent answer from its cache, and says how old the value may be, and how old while the servers are away. Both count in
    /// whole seconds, rounded down.
    pub fn cached_within(
        self,
        max_age: Option<Duration>,
        stale_if_error: Option<Duration>,
    ) -> Self {
        let limits: Vec<String> = [("max-age", max_age), ("stale-if-error", stale_if_error)]
            .into_iter()
            .filter_map(|(name, limit)| limit.map(|limit| format!("{name}={}", limit.as_secs())))
            .collect();
        self.cached().map_request(|request| {
            if let Ok(value) = HeaderValue::from_str(&limits.join(", ")) {
                request.set_header(header::CACHE_CONTROL, value);
            }
        })
    }

    /// How long Consul may hold the answer back. At most 10 minutes; Consul's default is 5 (10 for leafs). It adds up to a
    /// sixteenth. A watch uses it for each of its queries.
    pub fn wait(self, wait: Duration) -> Self {
        self.map_request(|request| request.set_wait(Some(wait)))
    }

    /// Holds the answer back until its index is higher than this one, which came with an earlier answer. 0 means: do not.
    ///
    /// One step of a blocking query, for those who write their own loop. [`watch`](Self::watch) is the loop.
    pub fn index(self, index: u64) -> Self {
        self.map_request(|request| request.set_cursor((index > 0).then_some(Cursor::Index(index))))
    }

    fn consistency(self, mode: &'static str) -> Self {
        self.map_request(|request| {
            for mode in ["stale", "consistent", "leader"] {
                request.remove_query(mode);
            }
            request.set_query(mode, "");
        })
    }
}

impl<T> Call<T> {
    pub(crate) fn new(client: &Client, request: Request<T>) -> Self {
        Self {
            client: client.clone(),
            request,
        }
    }

    pub(crate) fn map_request(mut self, f: impl FnOnce(&mut Request<T>)) -> Self {
        f(&mut self.request);
        self
    }

    /// The request as a value, as it would be sent.
    pub fn request(&self) -> &Request<T> {
        &self.request
    }

    /// Makes the call in another datacenter than the agent's own.
    pub fn datacenter(self, name: impl Into<String>) -> Self {
        self.map_request(|request| request.set_query("dc", name))
    }

    /// Makes the call in a namespace. Enterprise: the Community Edition answers 400 to any value.
    pub fn namespace(self, name: impl Into<String>) -> Self {
        self.map_request(|request| request.set_query("ns", name))
    }

    /// Makes the call in an admin partition. Enterprise: the Community Edition answers 400 to any value.
    pub fn partition(self, name: impl Into<String>) -> Self {
        self.map_request(|request| request.set_query("partition", name))
    }
}

impl<T: 'static> IntoFuture for Read<T> {
    type Output = Result<Response<T>, Error>;
    type IntoFuture = SendFuture<T>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.client.send(&self.request).await })
    }
}

impl<T: 'static> IntoFuture for Call<T> {
    type Output = Result<Response<T>, Error>;
    type IntoFuture = SendFuture<T>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.client.send(&self.request).await })
    }
}

impl<T> Clone for Read<T> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            request: self.request.clone(),
            pace: self.pace,
        }
    }
}

impl<T> Clone for Call<T> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            request: self.request.clone(),
        }
    }
}

impl<T> fmt::Debug for Read<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Read").field(&self.request).finish()
    }
}

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Call").field(&self.request).finish()
    }
}
