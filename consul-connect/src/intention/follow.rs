//! The task that moves what Consul says into the published set.

use std::{sync::Arc, time::Duration};

use consul_api::{AclPolicy, Error, Update, Watch, intention as wire};
use futures_util::StreamExt;
use tokio::{sync::watch, time::sleep};

use super::published::Shared;
use crate::Reason;

/// How often a set that became too old is looked at again.
const STALE_RECHECK: Duration = Duration::from_secs(1);

/// Follows the intentions, for ever; the owner stops it by dropping the task.
///
/// `acl` is told of the ACL default policy in the answers' headers: when it changes, the default of intentions may have.
pub(super) async fn intentions(
    mut watch: Watch<Vec<wire::Intention>>,
    shared: Arc<Shared>,
    max_staleness: Option<Duration>,
    acl: watch::Sender<Option<AclPolicy>>,
) {
    let mut check = max_staleness;
    loop {
        tokio::select! {
            item = watch.next() => match item {
                Some(Ok(Update { value, meta, .. })) => {
                    shared.receive(value);
                    acl.send_if_modified(|known| {
                        std::mem::replace(known, meta.default_acl_policy) != meta.default_acl_policy
                    });
                }
                Some(Err(error)) => failed(&shared, error),
                None => return,
            },
            () = sleep(check.unwrap_or_default()), if check.is_some() => {}
        }
        if let Some(max) = max_staleness {
            // Before the first answer everybody is denied for that reason.
            let age = watch.status().last_answer.unwrap_or_default();
            shared.set_stale((age >= max).then(|| too_old(max)));
            check = Some(if age >= max { STALE_RECHECK } else { max - age });
        }
    }
}

fn failed(shared: &Shared, error: Error) {
    if error.is_permission_denied() || error.is_unknown_token() {
        shared.start.send_if_modified(|start| start.refused(error));
    }
}

fn too_old(max: Duration) -> Reason {
    let text = format!(
        "the intentions are too old: Consul has not confirmed them for more than {} s",
        max.as_secs()
    );
    Reason::new("intentions_stale", text)
}
