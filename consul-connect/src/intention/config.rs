use std::time::Duration;

use super::DefaultPolicy;
use crate::{ClusterPeers, ServiceName, jwt::JwtConfig};

/// How [`Intentions`](crate::Intentions) are followed.
#[derive(Clone, Debug, Default)]
pub struct IntentionsConfig {
    pub(super) default_policy: Option<DefaultPolicy>,
    pub(super) max_staleness: Option<Duration>,
    pub(super) shadow: bool,
    pub(super) jwt: JwtConfig,
    pub(super) cluster_peers: ClusterPeers,
}

impl IntentionsConfig {
    /// Says what happens to callers that no intention matches, so that no agent is asked.
    #[must_use]
    pub fn default_policy(mut self, policy: DefaultPolicy) -> Self {
        self.default_policy = Some(policy);
        self
    }

    /// The cluster peers whose callers may be decided about: the same that the listener verifies them by. They are told which
    /// cluster peers the intentions name. Default none, so that intentions about cluster peers match nobody.
    #[must_use]
    pub fn cluster_peers(mut self, cluster_peers: ClusterPeers) -> Self {
        self.cluster_peers = cluster_peers;
        self
    }

    /// Denies everybody once Consul has not confirmed the intentions for this long. Default: they never get too old.
    ///
    /// Consul is then asked at least twice in this time. Less than ten seconds is taken as ten.
    #[must_use]
    pub fn max_staleness(mut self, age: Duration) -> Self {
        self.max_staleness = Some(age.max(Duration::from_secs(10)));
        self
    }

    /// How the tokens that intentions ask for are verified, as far as Consul does not say it.
    #[must_use]
    pub fn jwt(mut self, jwt: JwtConfig) -> Self {
        self.jwt = jwt;
        self
    }

    /// Enforces nothing: what would be denied is allowed, with a [`Permit`](crate::Permit) that says why it would have been
    /// [denied](crate::Permit::overruled). For finding out what a set of intentions would break before it is enforced.
    ///
    /// # Security
    /// Every service of the own trust domain may call, whatever the intentions say. Who calls is still verified, and tokens
    /// are still taken out of requests.
    #[must_use]
    pub fn dangerously_shadow(mut self) -> Self {
        self.shadow = true;
        self
    }
}

/// Why there are no intentions.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IntentionsError {
    /// Consul does not let this token read them; waiting does not mend that.
    #[error(
        "the intentions of {service} may not be read: the token needs `service:write` on {service}, \
         or `intentions:read`"
    )]
    Refused {
        /// The destination.
        service: ServiceName,
        /// What Consul said.
        #[source]
        cause: consul_api::Error,
    },
}
