//! The task that follows the discovery chain of an upstream.

use std::{sync::Arc, sync::Weak};

use consul_connect::ServiceName;
use futures_util::StreamExt as _;
use tokio::time::{Instant, sleep_until};

use super::{
    Context, Route, SETTLE, Shared, UpstreamRef,
    chain::{self, Destination},
};
use crate::{
    cluster::Cluster,
    error::{Error, ErrorKind},
    resolve::Target,
};

/// What an upstream without Consul stands for.
pub(super) fn direct(
    context: &Context,
    name: &Arc<str>,
    service: ServiceName,
    datacenter: Option<&str>,
) -> Route {
    let here = context.identity().current();
    let datacenter = datacenter.unwrap_or_else(|| here.id().datacenter());
    let target = Target::new(service, datacenter);
    route(
        context,
        name,
        Destination {
            target,
            protocol: String::new(),
            notes: Vec::new(),
        },
    )
}

fn route(context: &Context, name: &Arc<str>, destination: Destination) -> Route {
    let Destination {
        target,
        protocol,
        notes,
    } = destination;
    let http2_only = matches!(protocol.as_str(), "http2" | "grpc");
    Route {
        cluster: context.cluster(name, target, http2_only),
        protocol,
        notes,
    }
}

/// Follows the chain until nobody holds the upstream.
pub(super) async fn follow(
    context: Arc<Context>,
    consul: consul_api::Client,
    name: Arc<str>,
    reference: UpstreamRef,
    shared: Weak<Shared>,
) {
    let mut read = consul.discovery_chain().get(reference.service.clone());
    if let Some(datacenter) = &reference.datacenter {
        read = read.compile_in(datacenter.clone());
    }
    let mut watch = read.watch();
    let mut used: Option<Destination> = None;
    while let Some(update) = watch.next().await {
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let found = match update {
            Ok(update) => chain::destination(&update.value).map_err(|what| {
                let context = format!("reading the discovery chain of `{name}`: {what}");
                let error = Error::new(ErrorKind::Consul, context);
                tracing::warn!(upstream = %name, %error, "the discovery chain is not followed");
                error
            }),
            // The watch says it to the log, and not each time.
            Err(error) => {
                let context = format!("reading the discovery chain of `{name}`");
                Err(Error::with_source(ErrorKind::Consul, context, error))
            }
        };
        match found {
            Ok(destination) if used.as_ref() == Some(&destination) => shared.report(None),
            Ok(destination) => {
                for note in &destination.notes {
                    tracing::warn!(upstream = %name, "{note}");
                }
                let next = route(&context, &name, destination.clone());
                if used.is_some() {
                    settle(&next.cluster).await;
                }
                used = Some(destination);
                shared.publish(next);
            }
            Err(error) => shared.report(Some(error)),
        }
    }
}

/// A route that replaces another takes over when it has endpoints to offer, so that no request
/// waits for them.
async fn settle(cluster: &Cluster) {
    let deadline = Instant::now() + SETTLE;
    let mut changes = cluster.changes();
    while cluster.snapshot().is_none() {
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = sleep_until(deadline) => return,
        }
    }
}
