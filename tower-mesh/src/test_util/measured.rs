use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use tokio::time::Instant;

use crate::{
    authorize::Decision,
    measure::{Exchanges, Outbound, Sink},
};

/// The measurements of requests with one peer, for the recorder that the process, or the thread, has when this is made.
pub struct Measured(Arc<Exchanges>);

impl Measured {
    /// As a client of `peer` has them.
    #[must_use]
    pub fn new(service: &str, peer: &str) -> Self {
        let outbound = Outbound::new(&Sink::of(service), peer.into());
        Self(Arc::clone(outbound.exchanges()))
    }

    /// Counts and times one request that is over at once, and the decision about it if there was one.
    pub fn exchange(&self, decision: Option<&Decision>, status: StatusCode, headers: &HeaderMap) {
        let mut exchange = self.0.begin(false, Instant::now());
        match decision {
            Some(Decision::Allow(permit)) => self.0.permitted(permit),
            Some(Decision::Deny(reason)) => self.0.denied(reason),
            _ => {}
        }
        exchange.answered(status, headers);
    }
}

impl std::fmt::Debug for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Measured").finish_non_exhaustive()
    }
}
