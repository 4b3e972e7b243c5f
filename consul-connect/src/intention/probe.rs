//! Asks the agent what it decides about a source that no intention names.
//!
//! No endpoint of Consul reports the default intention policy. The agent's `authorize` call evaluates it and says in its
//! `Reason` which default decided; `intentions/check` ignores `default_intention_policy`, and the headers report ACLs only.
//! This is the one deprecated call outside the agent source; configuring the policy removes it.

use std::{sync::Arc, time::Duration};

use consul_api::{AclPolicy, Client};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::default_policy::{DefaultOrigin, DefaultPolicy, ResolvedDefault};
use super::published::Shared;

/// How often a known answer is asked for again.
const INTERVAL: Duration = Duration::from_secs(60);
/// The first pause while there is no answer; doubled up to [`INTERVAL`].
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Keeps the default current, for ever; the owner stops it by dropping the task.
pub(super) async fn follow(
    client: Client,
    shared: Arc<Shared>,
    acl: watch::Receiver<Option<AclPolicy>>,
    max_staleness: Option<Duration>,
) {
    let question = || {
        let (client, shared) = (client.clone(), Arc::clone(&shared));
        async move { ask(&client, &shared).await }
    };
    repeat(
        question,
        |default| shared.set_default(default),
        acl,
        max_staleness,
    )
    .await;
}

/// Asks, each minute and whenever the ACL default changes.
///
/// An answer once had is kept when a later question fails, except for one: `allow` ends with the ACL default it was found
/// under, or when nothing has confirmed it for `max_staleness`, and is in force again when the agent has confirmed it.
async fn repeat<F>(
    mut ask: impl FnMut() -> F,
    mut set: impl FnMut(ResolvedDefault),
    mut acl: watch::Receiver<Option<AclPolicy>>,
    max_staleness: Option<Duration>,
) where
    F: Future<Output = Result<ResolvedDefault, String>>,
{
    let mut known: Option<ResolvedDefault> = None;
    let mut header = *acl.borrow_and_update();
    let mut retry = FIRST_RETRY;
    let mut confirmed = Instant::now();
    let interval = max_staleness.map_or(INTERVAL, |most| (most / 2).clamp(FIRST_RETRY, INTERVAL));
    loop {
        let pause = match ask().await {
            Ok(default) => {
                retry = FIRST_RETRY;
                confirmed = Instant::now();
                known = Some(default.clone());
                set(default);
                interval
            }
            Err(why) => {
                let age = confirmed.elapsed();
                let left = max_staleness.map(|most| most.saturating_sub(age));
                let mut pause = retry;
                match &known {
                    Some(known) if known.policy() != DefaultPolicy::Allow => {}
                    Some(_) if left.is_none_or(|left| !left.is_zero()) => {
                        tracing::warn!(
                            why,
                            age = age.as_secs(),
                            "the default intention policy is not confirmed; the known one, allow, is kept"
                        );
                        pause = left.map_or(pause, |left| pause.min(left));
                    }
                    Some(_) => {
                        known = None;
                        set(ResolvedDefault::unknown(format!(
                            "it said allow, and has not confirmed that for {} s ({why})",
                            age.as_secs()
                        )));
                    }
                    None => set(ResolvedDefault::unknown(why)),
                }
                retry = (retry * 2).min(INTERVAL);
                pause
            }
        };
        let changed = async {
            loop {
                if acl.changed().await.is_err() {
                    // Nobody follows the intentions any more: the timer alone is left.
                    std::future::pending::<()>().await;
                }
                let before = std::mem::replace(&mut header, *acl.borrow_and_update());
                match &known {
                    Some(known) if is_confirmed_by(known, before, header) => {}
                    _ => return,
                }
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = changed => {
                if known.as_ref().is_some_and(|known| known.policy() == DefaultPolicy::Allow) {
                    known = None;
                    set(ResolvedDefault::unknown(UNCONFIRMED));
                }
            }
        }
    }
}

const UNCONFIRMED: &str =
    "it said allow, then its ACL default changed, and it has not confirmed the default since";

/// Whether another ACL default in the headers says nothing against a known answer: the first one there is may have come
/// after the answer it agrees with.
fn is_confirmed_by(
    known: &ResolvedDefault,
    before: Option<AclPolicy>,
    now: Option<AclPolicy>,
) -> bool {
    let by_acl = *known.origin() == DefaultOrigin::AgentAclPolicy;
    let allows = known.policy() == DefaultPolicy::Allow;
    before.is_none() && !(by_acl && allows && now == Some(AclPolicy::Deny))
}

async fn ask(client: &Client, shared: &Shared) -> Result<ResolvedDefault, String> {
    // A namespace that no service has is outside of the wildcards of the default one, so that the default decides even
    // where `*` is named. Should an agent not take it, the default namespace is as good where no wildcard is.
    let mut why = String::new();
    for namespace in ["no-such-namespace", "default"] {
        let source = format!(
            "spiffe://{}/ns/{namespace}/dc/{}/svc/no-such-service-{:016x}",
            shared.own.name(),
            shared.own.datacenter(),
            rand::random::<u64>()
        );
        match client
            .agent()
            .connect_authorize(shared.service.as_str(), &source, "00")
            .await
        {
            Ok(answer) => {
                let answer = answer.into_value();
                if let Some(default) =
                    ResolvedDefault::from_answer(answer.authorized, &answer.reason)
                {
                    return Ok(default);
                }
                why = format!("a rule decides about every source ({})", answer.reason);
            }
            Err(error) => {
                why = describe(&error);
                if error.is_permission_denied() || error.is_unknown_token() {
                    break;
                }
            }
        }
    }
    match client.agent().self_().await {
        Ok(info) => from_configuration(&info.into_value())
            .ok_or_else(|| format!("{why}; its configuration does not say")),
        Err(error) => Err(format!("{why}; its configuration: {}", describe(&error))),
    }
}

fn from_configuration(info: &consul_api::agent::SelfInfo) -> Option<ResolvedDefault> {
    let policy = match (info.default_intention_policy(), info.acl_default_policy()) {
        (Some("allow"), _) | (None | Some(""), Some("allow")) => DefaultPolicy::Allow,
        (Some("deny"), _) | (None | Some(""), Some("deny")) => DefaultPolicy::Deny,
        _ => return None,
    };
    Some(ResolvedDefault::new(
        policy,
        DefaultOrigin::AgentConfiguration,
    ))
}

fn describe(error: &consul_api::Error) -> String {
    match error.server_message() {
        Some(message) => format!("{error}: {message}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
