//! The endpoints of one target, and which of them may be used.

mod dialer;
mod snapshot;

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use consul_connect::Address;
use futures_util::StreamExt as _;
use tokio::{
    runtime::Handle,
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

pub(crate) use dialer::{Dialer, connect_error, destination};
pub(crate) use snapshot::Snapshot;

use crate::{
    endpoint::Endpoint,
    error::BoxError,
    resolve::{Instance, Resolution, Target},
    time::later,
};

/// For how long instances that only their nodes speak against are used when there are no others: an agent may be away for a
/// minute, then it has to start, and to be taken for alive again.
pub(crate) const NODE_GRACE: Duration = Duration::from_secs(90);
/// For how long at most instances are used that were well when all of them vanished. A member registers again within two
/// seconds of its agent's return. After a minute without servers Consul takes the nodes of all agents for gone, and an agent
/// that finds a server again was seen to need 2.5 s until its services are back in the catalog.
const VANISHED: Duration = Duration::from_secs(10);

/// A target with its endpoints. The task that follows the resolver stops with the cluster.
pub(crate) struct Cluster {
    target: Arc<Target>,
    shared: Arc<Shared>,
    _following: AbortOnDropHandle<()>,
}

struct Shared {
    snapshot: ArcSwapOption<Snapshot>,
    /// Counts publications and failures, for those who wait for the first.
    changes: watch::Sender<u64>,
    /// What the resolver said last, if it was an error.
    problem: Mutex<Option<Problem>>,
}

/// Makes the endpoint of an instance.
pub(crate) type Make = Box<dyn Fn(&Instance) -> Arc<Endpoint> + Send>;

impl Cluster {
    pub(crate) fn new(
        runtime: &Handle,
        upstream: Arc<str>,
        target: Target,
        resolution: Resolution,
        grace: Duration,
        make: Make,
    ) -> Self {
        let target = Arc::new(target);
        let shared = Arc::new(Shared {
            snapshot: ArcSwapOption::empty(),
            changes: watch::Sender::new(0),
            problem: Mutex::new(None),
        });
        let follower = Follower {
            upstream,
            target: Arc::clone(&target),
            shared: Arc::downgrade(&shared),
            grace,
            make,
            endpoints: HashMap::new(),
            instances: Vec::new(),
            node_failing_since: None,
            held_until: None,
        };
        let following = runtime.spawn(follower.follow(resolution));
        Self {
            target,
            shared,
            _following: AbortOnDropHandle::new(following),
        }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// The present set, once there was one.
    pub(crate) fn snapshot(&self) -> arc_swap::Guard<Option<Arc<Snapshot>>> {
        self.shared.snapshot.load()
    }

    /// What the resolver said last, if it was an error.
    pub(crate) fn problem(&self) -> Option<Problem> {
        self.shared
            .problem
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }
}

/// What keeps a resolver from saying anything new.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    /// What it said last.
    pub(crate) error: Arc<BoxError>,
    /// Since when it has said nothing else.
    pub(crate) since: Instant,
}

/// The task of a cluster.
struct Follower {
    upstream: Arc<str>,
    target: Arc<Target>,
    /// Weak: the task does not keep what its handle owns.
    shared: Weak<Shared>,
    grace: Duration,
    make: Make,
    /// Every known instance's endpoint, used or not: one that flaps keeps its load and connections.
    endpoints: HashMap<(String, Address), Arc<Endpoint>>,
    instances: Vec<Instance>,
    node_failing_since: Option<Instant>,
    /// The resolver knows no instance any more, and `instances` are those it knew before.
    held_until: Option<Instant>,
}

impl Follower {
    async fn follow(mut self, mut resolution: Resolution) {
        let mut grace_ends: Option<Instant> = None;
        loop {
            let item = tokio::select! {
                item = resolution.next() => item,
                () = until(grace_ends) => {
                    grace_ends = self.publish();
                    continue;
                }
            };
            match item {
                Some(Ok(instances)) => {
                    if instances.is_empty() {
                        self.hold();
                    } else {
                        self.held_until = None;
                        self.instances = instances;
                    }
                    self.renew_endpoints();
                    self.report(None);
                    grace_ends = self.publish();
                }
                Some(Err(error)) => {
                    tracing::debug!(upstream = %self.upstream, %error, "resolving failed");
                    self.report(Some(error));
                }
                None => break,
            }
        }
        // What was resolved last stays; a grace still ends.
        while grace_ends.is_some() {
            until(grace_ends).await;
            grace_ends = self.publish();
        }
    }

    /// An agent that has lost its data takes its instances out of the catalog until they have registered again, often in the
    /// moment its node is well again. So what was dialled a moment ago is dialled a moment longer, or to the end of the grace.
    fn hold(&mut self) {
        let now = Instant::now();
        let (usable, failing_nodes) = snapshot::usable(&self.instances);
        self.held_until.get_or_insert_with(|| {
            match (self.node_failing_since, failing_nodes.is_empty()) {
                _ if !usable.is_empty() => later(now, self.grace.min(VANISHED)),
                (Some(since), false) => later(since, self.grace),
                _ => now,
            }
        });
    }

    fn renew_endpoints(&mut self) {
        let mut known = HashMap::with_capacity(self.instances.len());
        for instance in &self.instances {
            let key = (instance.id.clone(), instance.address.clone());
            let endpoint = match self.endpoints.remove(&key) {
                Some(endpoint) => endpoint,
                None => (self.make)(instance),
            };
            known.insert(key, endpoint);
        }
        self.endpoints = known;
    }

    /// Builds the snapshot whole and publishes it once; returns when time alone will change it.
    fn publish(&mut self) -> Option<Instant> {
        let now = Instant::now();
        if self.held_until.is_some_and(|end| end <= now) {
            self.held_until = None;
            self.instances.clear();
            self.renew_endpoints();
        }
        let (usable, failing_nodes) = snapshot::usable(&self.instances);
        self.node_failing_since = match (usable.is_empty(), failing_nodes.is_empty()) {
            (true, false) => Some(self.node_failing_since.unwrap_or(now)),
            _ => None,
        };
        let grace_ends = self
            .node_failing_since
            .map(|since| later(since, self.grace));
        let ends = self.held_until.or(grace_ends);
        let in_grace = ends.is_some_and(|end| now < end);
        let used = if in_grace && usable.is_empty() {
            failing_nodes
        } else {
            usable
        };
        let used = used.into_iter().filter_map(|instance| {
            let endpoint = self
                .endpoints
                .get(&(instance.id.clone(), instance.address.clone()))?;
            Some((Arc::clone(endpoint), instance.weight))
        });
        let snapshot = Snapshot::new(
            &self.upstream,
            &self.target,
            used.collect(),
            &self.instances,
            in_grace,
        );
        if in_grace && self.held_until.is_some() {
            tracing::warn!(
                upstream = %self.upstream,
                "no instance is known any more; those that were are dialled a little longer"
            );
        } else if in_grace {
            tracing::warn!(
                upstream = %self.upstream,
                "checks of nodes took out every instance; they are still dialled for {:?}",
                self.grace
            );
        }
        if let Some(shared) = self.shared.upgrade() {
            shared.snapshot.store(Some(Arc::new(snapshot)));
            shared.changes.send_modify(|changes| *changes += 1);
        }
        ends.filter(|_| in_grace)
    }

    fn report(&self, problem: Option<BoxError>) {
        if let Some(shared) = self.shared.upgrade() {
            let mut known = shared
                .problem
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let since = known
                .as_ref()
                .map_or_else(Instant::now, |known| known.since);
            *known = problem.map(|error| Problem {
                error: Arc::new(error),
                since,
            });
            drop(known);
            shared.changes.send_modify(|changes| *changes += 1);
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
