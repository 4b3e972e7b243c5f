//! A byte stream to an upstream.

use std::{sync::Arc, time::Duration};

use consul_connect::Connection;
use tokio::time::{Instant, timeout};

use super::{Context, Upstream};
use crate::{
    balance::random,
    cluster::{connect_error, destination},
    endpoint::InFlight,
    error::Error,
    measure::Open,
};

/// Endpoints that are tried before the caller is told.
const TRIES: usize = 3;

/// How long the first call may wait for Consul to say where the upstream is.
const FIRST_ANSWER: Duration = Duration::from_secs(15);

/// Connects to an endpoint of the upstream, without ALPN. An endpoint that cannot be reached costs
/// nothing that another could not still do, so up to three are tried.
///
/// What is returned beside the connection counts it as load of its endpoint and as
/// open, and lives as long.
///
/// # Errors
///
/// `NoEndpoints`; `Connect`, `Denied` or `Identity` of the last endpoint tried; `Timeout` or
/// `Consul` if where it is cannot be learnt.
///
/// # Cancel safety
///
/// Dropping the future closes what was opened.
pub(crate) async fn connect_stream(
    context: &Context,
    upstream: &Upstream,
) -> Result<(Connection, InFlight, Open), Error> {
    let mut snapshot = match upstream.now() {
        Some(snapshot) => snapshot,
        None => match timeout(FIRST_ANSWER, upstream.ready()).await {
            Ok(ready) => ready?,
            Err(_elapsed) => return Err(upstream.unknown(FIRST_ANSWER)),
        },
    };
    let mut tried = Vec::new();
    let mut last = None;
    for attempt in 0..TRIES {
        // Who could not be reached may have been replaced meanwhile.
        if attempt > 0
            && let Some(newer) = upstream.now()
        {
            snapshot = newer;
        }
        let Some(endpoint) = snapshot.pick(random(), Instant::now(), &tried) else {
            break;
        };
        let destination = destination(context.identity(), snapshot.target(), endpoint.address());
        let mut load = InFlight::begin(Arc::clone(endpoint), Instant::now());
        match context.connector().connect(&destination).await {
            Ok(connection) => {
                load.answered();
                return Ok((connection, load, upstream.outbound().connected()));
            }
            Err(error) => {
                load.failed();
                upstream.outbound().refused(&error);
                last = Some(connect_error(endpoint.name(), error));
                tried.push(Arc::clone(endpoint));
            }
        }
    }
    Err(last.unwrap_or_else(|| snapshot.no_endpoint()))
}
