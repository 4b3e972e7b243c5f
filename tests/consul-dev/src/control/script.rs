//! Faults, indexes and the log of requests.

use crate::faults::{FaultRule, Recorded};
use crate::server::ConsulDev;

impl ConsulDev {
    /// Adds a fault. Of several that match a request, the first one added is used.
    pub fn fault(&self, rule: FaultRule) {
        self.shared.faults().add(rule);
    }

    /// Removes all faults. Requests that hang go on hanging.
    pub fn clear_faults(&self) {
        self.shared.faults().clear();
    }

    /// Every request since the start or the last [`clear_requests`](Self::clear_requests), HTTP and gRPC.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.faults().log.clone()
    }

    /// How many logged requests match a pattern as of [`FaultRule::new`].
    #[must_use]
    pub fn request_count(&self, pattern: &str) -> usize {
        self.shared.faults().count(pattern)
    }

    /// Empties the log of requests.
    pub fn clear_requests(&self) {
        self.shared.faults().log.clear();
    }

    /// The current index.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.shared.with(|state| state.index())
    }

    /// Takes all indexes back to at most `to`, as a restored snapshot does, and has blocked queries look again.
    pub fn rewind_index(&self, to: u64) {
        self.shared.with(|state| state.rewind(to));
    }

    /// Has every blocked query answer now, with its index unchanged, as a stopping server does.
    pub fn interrupt(&self) {
        self.shared.with(|state| state.interruptions += 1);
    }
}
