//! Asks the agent what it decides about a source that no intention names.
//!
//! No endpoint of Consul reports the default intention policy. The agent's `authorize` call evaluates it and says in its
//! `Reason` which default decided; `intentions/check` ignores `default_intention_policy`, and the headers report ACLs only.
//! This is the one deprecated call outside the agent source; configuring the policy removes it.

use std::{sync::Arc, time::Duration};

use consul_api::{AclPolicy, Client};
use tokio::{sync::watch, time::sleep};

use super::default_policy::{DefaultOrigin, DefaultPolicy, ResolvedDefault};
use super::store::Shared;

/// How often a known answer is asked for again.
const INTERVAL: Duration = Duration::from_secs(60);
/// The first pause while there is no answer; doubled up to [`INTERVAL`].
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Keeps the default current, for ever; the owner stops it by dropping the task. An answer once had is kept when a later
/// question fails.
pub(super) async fn follow(
    client: Client,
    shared: Arc<Shared>,
    mut acl: watch::Receiver<Option<AclPolicy>>,
) {
    let mut known = false;
    let mut retry = FIRST_RETRY;
    // The header arrives with the intentions; only a change after that is news.
    let mut heard = false;
    loop {
        let pause = match ask(&client, &shared).await {
            Ok(default) => {
                known = true;
                retry = FIRST_RETRY;
                shared.set_default(default);
                INTERVAL
            }
            Err(why) => {
                if known {
                    tracing::debug!(
                        why,
                        "default intention policy not confirmed, the known one is kept"
                    );
                } else {
                    shared.set_default(ResolvedDefault::unknown(why));
                }
                let pause = retry;
                retry = (retry * 2).min(INTERVAL);
                pause
            }
        };
        let wake = tokio::time::Instant::now() + pause;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(wake) => break,
                changed = acl.changed() => {
                    if changed.is_err() {
                        // The intentions are no longer followed: the timer alone is left.
                        sleep(pause).await;
                        break;
                    }
                    if std::mem::replace(&mut heard, true) || !known {
                        break;
                    }
                }
            }
        }
    }
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
