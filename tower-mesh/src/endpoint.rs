//! One instance of a target as requests see it: its connections and its load.

use std::{fmt, sync::Arc};

use consul_connect::Address;
use tokio::time::Instant;

use crate::{
    balance::Load,
    pool::{Open, Pool, PoolConfig},
};

/// A live endpoint. It keeps its identity, and so its load and connections, over all snapshots that
/// name the same instance.
pub(crate) struct Endpoint {
    /// Where it is and which instance it is, for messages and status.
    name: Arc<str>,
    address: Address,
    pool: Pool,
    load: Load,
}

impl Endpoint {
    pub(crate) fn new(
        name: Arc<str>,
        address: Address,
        open: Arc<dyn Open>,
        config: PoolConfig,
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            address,
            pool: Pool::new(open, config),
            load: Load::new(),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) fn load(&self) -> &Load {
        &self.load
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// One request, from the pick of its endpoint to the end of its response body; or one byte stream.
#[derive(Debug)]
pub(crate) struct InFlight {
    endpoint: Arc<Endpoint>,
    began: Instant,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Pending,
    Answered,
    Unsent,
}

impl InFlight {
    /// Counts one request, which began then, until this is dropped.
    pub(crate) fn begin(endpoint: Arc<Endpoint>, began: Instant) -> Self {
        endpoint.load.begin();
        Self {
            endpoint,
            began,
            outcome: Outcome::Pending,
        }
    }

    /// Where it goes.
    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The head of the response is here.
    pub(crate) fn answered(&mut self) {
        self.outcome = Outcome::Answered;
        let now = Instant::now();
        self.endpoint
            .load
            .answered(now, now.saturating_duration_since(self.began));
    }

    /// The connection or the response broke.
    pub(crate) fn failed(&mut self) {
        self.outcome = Outcome::Answered;
        self.endpoint.load.failed(Instant::now());
    }

    /// Nothing was sent, and it says nothing about the endpoint.
    pub(crate) fn unsent(&mut self) {
        self.outcome = Outcome::Unsent;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.endpoint.load.end();
        if self.outcome == Outcome::Pending {
            // The caller gave up, perhaps because it took too long.
            let now = Instant::now();
            self.endpoint
                .load
                .abandoned(now, now.saturating_duration_since(self.began));
        }
    }
}
