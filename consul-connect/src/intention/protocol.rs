//! Which protocol Consul takes the destination for. Permissions are about requests; on a `tcp` service they deny.
//!
//! Consul refuses to write such an intention, and to make such a service a `tcp` one. What is left is a replica that has one of
//! two entries and not yet the other, and the end of a service-defaults entry by other means.

use std::sync::Arc;

use consul_api::Client;
use futures_util::StreamExt;
use tokio::sync::watch;

use super::published::Shared;

/// Follows the protocol while there are permissions, for ever; the owner stops it by dropping the task.
pub(super) async fn follow(client: Client, shared: Arc<Shared>, mut wanted: watch::Receiver<bool>) {
    loop {
        if wanted.wait_for(|wanted| *wanted).await.is_err() {
            return;
        }
        let chain = client.discovery_chain().get(shared.service.as_str());
        let mut watch = chain.watch();
        loop {
            tokio::select! {
                // An error says nothing about the protocol: what was known stays.
                item = watch.next() => match item {
                    Some(Ok(update)) => shared.set_has_requests(update.value.protocol != "tcp"),
                    Some(Err(_)) => {}
                    None => return,
                },
                unwanted = wanted.wait_for(|wanted| !*wanted) => match unwanted {
                    Ok(_) => break,
                    Err(_closed) => return,
                },
            }
        }
    }
}
