//! The source that needs only the agent's HTTP API: leaf and roots as the agent hands them out.

use std::{sync::Arc, time::Duration};

use consul_api::{Client, Watch, connect_ca};
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep_until};

use super::check::{fits, is_permanent};
use super::{IdentitySource, SourceError};
use crate::{KeyPem, Material, ServiceName, time::after};

/// How long a leaf and roots that do not fit wait for the newer half.
const HOLD: Duration = Duration::from_secs(3);

/// Leaf and roots from `agent/connect/ca`. The agent makes the key and renews the leaf.
///
/// # Security
/// The agent keeps the key and hands it, with the leaf, to every caller that can reach its HTTP API and names the service,
/// whatever its token. Prefer `GrpcSource` where the agent has a gRPC port. These endpoints are deprecated in Consul
/// since 1.16 and still served.
#[derive(Clone, Debug)]
pub struct AgentSource {
    client: Client,
    service: ServiceName,
}

impl AgentSource {
    /// The identity of `service` from the agent of `client`. The token needs `service:write` on the service.
    pub fn new(client: Client, service: ServiceName) -> Self {
        Self { client, service }
    }
}

impl IdentitySource for AgentSource {
    fn materials(self: Box<Self>) -> BoxStream<'static, Result<Material, SourceError>> {
        let state = Pair {
            leaf_watch: self
                .client
                .agent()
                .connect_ca_leaf(self.service.as_str())
                .watch(),
            roots_watch: self.client.agent().connect_ca_roots().watch(),
            place: format!("the agent at {}", self.client.config().address()),
            service: self.service,
            leaf: None,
            roots: None,
            hold: None,
            delivered: false,
        };
        stream::unfold(state, async |mut state| {
            state.next().await.map(|item| (item, state))
        })
        .boxed()
    }

    fn describe(&self) -> String {
        format!("the agent at {}", self.client.config().address())
    }
}

/// The two halves as they came last.
struct Pair {
    leaf_watch: Watch<connect_ca::Leaf>,
    roots_watch: Watch<connect_ca::Roots>,
    place: String,
    service: ServiceName,
    leaf: Option<Arc<connect_ca::Leaf>>,
    roots: Option<Arc<connect_ca::Roots>>,
    /// Until when to wait for the half that is missing.
    hold: Option<Instant>,
    /// Whether the leaf has been delivered before, with other roots.
    delivered: bool,
}

impl Pair {
    async fn next(&mut self) -> Option<Result<Material, SourceError>> {
        loop {
            let hold = self.hold;
            let held = tokio::select! {
                item = self.leaf_watch.next() => match item? {
                    Ok(update) => {
                        self.leaf = Some(update.value);
                        self.delivered = false;
                        false
                    }
                    Err(cause) => return Some(Err(self.failed("leaf", cause))),
                },
                item = self.roots_watch.next() => match item? {
                    Ok(update) => {
                        self.roots = Some(update.value);
                        false
                    }
                    Err(cause) => return Some(Err(self.failed("roots", cause))),
                },
                () = sleep_until(hold.unwrap_or_else(Instant::now)), if hold.is_some() => true,
            };
            let Some((material, domains)) = self.material() else {
                continue;
            };
            match fits(&material) {
                Ok(()) => {
                    self.hold = None;
                    self.delivered = true;
                    return Some(Ok(material));
                }
                // The leaf in use has lost its root. Trust in others must not wait for the agent to have a new leaf.
                Err(_) if self.delivered && domains.is_none() => {
                    self.hold = None;
                    return Some(Ok(material));
                }
                Err(_) if !held => {
                    self.hold.get_or_insert_with(|| after(Instant::now(), HOLD));
                }
                Err(misfit) => {
                    self.hold = None;
                    // Either way the one in use stays; a leaf of another trust domain is better said by name.
                    return Some(match domains {
                        Some((leaf, roots)) => Err(SourceError::new(format!(
                            "{} has a leaf of trust domain {leaf} and roots of {roots}; waiting for a pair",
                            self.place
                        ))
                        .with_cause(misfit)),
                        None => Ok(material),
                    });
                }
            }
        }
    }

    /// Both halves as one, and their trust domains if they differ.
    fn material(&self) -> Option<(Material, Option<(String, String)>)> {
        let (leaf, roots) = (self.leaf.as_ref()?, self.roots.as_ref()?);
        let pems = roots
            .roots
            .iter()
            .map(|root| root.root_cert.clone())
            .collect();
        let material = Material::new(
            leaf.cert_pem.clone(),
            KeyPem::from(leaf.private_key_pem.expose()),
            pems,
        );
        let material = match roots.trust_domain.parse() {
            Ok(trust_domain) => material.with_trust_domain(trust_domain),
            Err(_unusable) => material,
        };
        let claimed = leaf
            .service_uri
            .strip_prefix("spiffe://")
            .and_then(|rest| rest.split('/').next());
        let differ = claimed
            .filter(|claimed| !roots.trust_domain.is_empty() && *claimed != roots.trust_domain)
            .map(|claimed| (claimed.to_owned(), roots.trust_domain.clone()));
        Some((material, differ))
    }

    fn failed(&self, what: &str, cause: consul_api::Error) -> SourceError {
        let permanent = is_permanent(&cause);
        let error = SourceError::new(format!(
            "reading the {what} of {} from {}",
            self.service, self.place
        ))
        .with_cause(cause);
        if permanent { error.permanent() } else { error }
    }
}
