//! One named dependency: what its name stands for now.
//!
//! An [`Upstream`] follows the discovery chain of its service and keeps the [`Cluster`] the chain
//! leads to. A request reads two published snapshots, the route and the cluster's, and waits for
//! neither once both are there.

mod authority;
mod chain;
mod context;
mod dial;
mod follow;
mod recent;
mod reference;
mod status;

#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::{sync::watch, time::Instant};
use tokio_util::task::AbortOnDropHandle;

pub(crate) use authority::{OwnAuthority, host_value};
pub(crate) use context::{Context, ContextConfig};
pub(crate) use dial::connect_stream;
pub(crate) use recent::Recent;
pub use reference::UpstreamRef;
pub use status::{EndpointStatus, UpstreamStatus};

use crate::{
    cluster::{Cluster, Snapshot},
    endpoint::Endpoint,
    error::{Error, ErrorKind},
    measure::Outbound,
    resolve::Hidden,
};

/// A named dependency. Its tasks stop with the last handle on it.
pub(crate) struct Upstream {
    /// The name, for messages.
    name: Arc<str>,
    /// The name as the authority of requests.
    authority: OwnAuthority,
    shared: Arc<Shared>,
    outbound: Arc<Outbound>,
    /// Holds the connector, and with it the watch over what it opened.
    _context: Arc<Context>,
    _following: Option<AbortOnDropHandle<()>>,
}

struct Shared {
    route: ArcSwapOption<Route>,
    changes: watch::Sender<u64>,
    /// Why there is no route, or no newer one.
    problem: Mutex<Option<Error>>,
}

/// Where requests go. Everything in it belongs together.
pub(crate) struct Route {
    pub(crate) cluster: Cluster,
    protocol: String,
    notes: Vec<String>,
}

/// What may be had at once.
pub(crate) enum Pick {
    Endpoint(Arc<Endpoint>),
    /// None is left, for this reason.
    NoEndpoint(Error),
    /// Consul has not told yet: see [`ready`](Upstream::ready).
    Unknown,
}

impl Upstream {
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What is counted and timed of it.
    pub(crate) fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    pub(crate) fn authority(&self) -> &OwnAuthority {
        &self.authority
    }

    /// Where requests go now, if that is known. Never waits.
    pub(crate) fn now(&self) -> Option<Arc<Snapshot>> {
        self.shared
            .route
            .load()
            .as_ref()?
            .cluster
            .snapshot()
            .as_ref()
            .map(Arc::clone)
    }

    /// An endpoint for one request that begins `now`. Never waits, and counts no reference but the
    /// endpoint's.
    pub(crate) fn pick(&self, bits: u64, now: Instant, tried: &[Arc<Endpoint>]) -> Pick {
        let route = self.shared.route.load();
        let snapshot = route.as_ref().map(|route| route.cluster.snapshot());
        let Some(snapshot) = snapshot.as_ref().and_then(|snapshot| snapshot.as_ref()) else {
            return Pick::Unknown;
        };
        match snapshot.pick(bits, now, tried) {
            Some(endpoint) => Pick::Endpoint(Arc::clone(endpoint)),
            None => Pick::NoEndpoint(snapshot.no_endpoint()),
        }
    }

    /// How many endpoints there are to pick from.
    pub(crate) fn endpoints(&self) -> usize {
        self.now().map_or(0, |snapshot| snapshot.endpoints().len())
    }

    /// Where requests go. Waits for the first answers of Consul, and only for them.
    ///
    /// # Errors
    ///
    /// At once when waiting is of no use: the name is wrong, or Consul refuses to tell. Otherwise it
    /// waits for ever; [`problem`](Self::problem) says what a deadline should blame.
    pub(crate) async fn ready(&self) -> Result<Arc<Snapshot>, Error> {
        let mut changes = self.shared.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let Some(route) = self.shared.route.load_full() else {
                if let Some(problem) = self.problem().filter(is_hopeless) {
                    return Err(problem);
                }
                // The sender lives as long as `self`.
                let _ = changes.changed().await;
                continue;
            };
            let mut resolved = route.cluster.changes();
            if let Some(snapshot) = route.cluster.snapshot().as_ref() {
                return Ok(Arc::clone(snapshot));
            }
            if let Some(problem) = self.problem().filter(is_hopeless) {
                return Err(problem);
            }
            tokio::select! {
                _ = resolved.changed() => {}
                _ = changes.changed() => {}
            }
        }
    }

    /// Why nothing, or nothing new, is known of this upstream.
    pub(crate) fn problem(&self) -> Option<Error> {
        let own = self
            .shared
            .problem
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        own.or_else(|| {
            let route = self.shared.route.load();
            let route = route.as_ref()?;
            let problem = route.cluster.problem()?;
            let context = format!("finding the instances of `{}`", self.name);
            Some(Error::with_source(
                ErrorKind::Consul,
                context,
                SharedError(problem.error),
            ))
        })
    }

    /// What to say when [`ready`](Self::ready) took too long.
    pub(crate) fn unknown(&self, waited: Duration) -> Error {
        let context = format!(
            "calling `{}`: where it is was not known within {waited:?}",
            self.name
        );
        match self.problem() {
            Some(problem) => Error::with_source(ErrorKind::Timeout, context, problem),
            None => Error::new(ErrorKind::Timeout, context),
        }
    }

    /// What is known now.
    pub(crate) fn status(&self) -> UpstreamStatus {
        status::of(self)
    }
}

impl Shared {
    fn new() -> Self {
        Self {
            route: ArcSwapOption::empty(),
            changes: watch::Sender::new(0),
            problem: Mutex::new(None),
        }
    }

    /// Store first, notify after.
    fn publish(&self, route: Route) {
        self.route.store(Some(Arc::new(route)));
        self.report(None);
    }

    fn report(&self, problem: Option<Error>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
        self.changes.send_modify(|changes| *changes += 1);
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Whether Consul's answer will stay the same until somebody changes something.
fn is_hopeless(problem: &Error) -> bool {
    let mut cause = Some(problem as &(dyn std::error::Error + 'static));
    while let Some(error) = cause {
        let refused = error
            .downcast_ref::<consul_api::Error>()
            .is_some_and(|error| error.is_permission_denied() || error.is_unknown_token());
        if refused || error.is::<Hidden>() {
            return true;
        }
        cause = error.source();
    }
    problem.kind() == ErrorKind::Config
}

/// An error that several are told of.
#[derive(Debug)]
struct SharedError(Arc<crate::error::BoxError>);

impl std::fmt::Display for SharedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for SharedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // Itself shown above; what is asked for is the error behind the sharing.
        Some(&**self.0)
    }
}

/// How long a route that replaces another may take to find its endpoints before it is used anyway.
const SETTLE: Duration = Duration::from_secs(5);
