//! The task that moves what Consul says about one cluster peer into the published set.

use std::sync::Arc;

use consul_api::{Error, Watch, peering::Peering};
use futures_util::StreamExt;

use super::{ClusterPeer, ClusterPeerFault, Entry, Shared};

/// Follows one peering, for ever; the owner stops it by dropping the task.
pub(super) async fn follow(
    mut watch: Watch<Option<Peering>>,
    name: Arc<str>,
    ticket: u64,
    shared: Arc<Shared>,
) {
    // Which peering was usable last: one that is made anew under the same name is another.
    let mut usable = None;
    while let Some(item) = watch.next().await {
        match item {
            Ok(update) => {
                let peering = Option::as_ref(&update.value);
                let same = peering.is_some_and(|peering| usable.as_ref() == Some(&peering.id));
                let next = peering.ok_or(ClusterPeerFault::Unknown);
                let next = next.and_then(ClusterPeer::try_from);
                if next.is_ok() {
                    usable = peering.map(|peering| peering.id.clone());
                }
                shared.update(&name, ticket, |entry| entry.told(&name, next, same));
            }
            Err(error) => shared.update(&name, ticket, |entry| entry.failed(&name, error)),
        }
    }
}

impl Entry {
    /// Consul has answered. `same`: about the peering that was usable before.
    fn told(&mut self, name: &str, next: Result<ClusterPeer, ClusterPeerFault>, same: bool) {
        match next {
            Ok(peer) => {
                tracing::info!(cluster_peer = name, trust_domain = %peer.trust_domain(), roots = peer.roots().len(), "cluster peer known");
                self.usable = Some(Arc::new(peer));
                self.fault = None;
            }
            Err(fault) => {
                tracing::warn!(
                    cluster_peer = name,
                    reason = fault.code(),
                    "cluster peer: {fault}"
                );
                // Roots that cannot be read say nothing about those from before; that the peering has ended does.
                if !(same && matches!(fault, ClusterPeerFault::Roots(_))) {
                    self.usable = None;
                }
                self.fault = Some(fault);
            }
        }
    }

    /// A request failed, which takes nothing away that is known.
    fn failed(&mut self, name: &str, cause: Error) {
        let fault = if cause.is_permission_denied() || cause.is_unknown_token() {
            ClusterPeerFault::NotPermitted { cause }
        } else if self.usable.is_some() {
            return;
        } else {
            ClusterPeerFault::Away { cause }
        };
        if self.fault.as_ref().map(ClusterPeerFault::code) != Some(fault.code()) {
            tracing::warn!(
                cluster_peer = name,
                reason = fault.code(),
                "cluster peer: {fault}"
            );
        }
        self.fault = Some(fault);
    }
}
