//! Which source to use when nobody said.

use std::{fmt, time::Duration};

use consul_api::Client;
use tokio::time::{Instant, sleep};

use super::check::is_permanent;
use super::{AgentSource, IdentitySource, SourceError};
use crate::{ServiceName, time::after};

/// The first pause between two attempts to reach Consul; doubled up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// A source, and why it is the one.
#[non_exhaustive]
pub struct Selected {
    /// The source.
    pub source: Box<dyn IdentitySource>,
    /// The datacenter the identity will be of.
    pub datacenter: String,
    /// What was chosen and why, as a sentence for people.
    pub reason: String,
}

impl fmt::Debug for Selected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selected")
            .field("source", &self.source.describe())
            .field("datacenter", &self.datacenter)
            .field("reason", &self.reason)
            .finish()
    }
}

/// How to [`select`] a source.
#[derive(Clone, Debug)]
pub struct SelectConfig {
    datacenter: Option<String>,
    within: Duration,
    rotation_spread: Option<Duration>,
}

impl Default for SelectConfig {
    fn default() -> Self {
        Self {
            datacenter: None,
            within: Duration::from_secs(30),
            rotation_spread: None,
        }
    }
}

impl SelectConfig {
    /// The datacenter the identity is to be of. Default: the agent's.
    #[must_use]
    pub fn datacenter(mut self, datacenter: impl Into<String>) -> Self {
        self.datacenter = Some(datacenter.into());
        self
    }

    /// How long Consul is asked again while it is away. Default 30 s.
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Self {
        self.within = deadline;
        self
    }

    /// Over how long leafs are renewed when another root begins to sign. Only the gRPC source, whose default is 30 s, has
    /// the choice.
    #[must_use]
    pub fn rotation_spread(mut self, spread: Duration) -> Self {
        self.rotation_spread = Some(spread);
        self
    }
}

/// Chooses the identity source of `service` once, from what this Consul offers, and logs the choice.
///
/// In this order: the gRPC address of the configuration (`CONSUL_GRPC_ADDR`), which is used whether it answers or not,
/// because a configured address that fails is an error and never a reason for another; the gRPC port that `agent/self`
/// names, if the token may read it; the agent's HTTP API. What is not configured must answer, and for the same trust domain
/// as the agent, to be chosen. No port is guessed: whoever listens there would be sent the token.
///
/// While Consul is away it is asked again, up to the deadline of `config`.
///
/// # Errors
/// [`SourceError`] with what Consul, or the attempt to reach it, said last. At once if it is a
/// [permanent](SourceError::is_permanent) one.
///
/// # Cancel safety
/// Nothing remains when the future is dropped.
pub async fn select(
    client: &Client,
    service: &ServiceName,
    config: &SelectConfig,
) -> Result<Selected, SourceError> {
    let deadline = after(Instant::now(), config.within);
    let mut pause = FIRST_PAUSE;
    loop {
        match attempt(client, service, config).await {
            Ok(selected) => {
                tracing::info!(%service, datacenter = selected.datacenter, reason = selected.reason, "identity source");
                return Ok(selected);
            }
            Err(error) if error.is_permanent() || after(Instant::now(), pause) > deadline => {
                return Err(error);
            }
            Err(error) => {
                tracing::debug!(%service, %error, "Consul is not there yet");
                sleep(pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
            }
        }
    }
}

async fn attempt(
    client: &Client,
    service: &ServiceName,
    config: &SelectConfig,
) -> Result<Selected, SourceError> {
    let datacenter = match &config.datacenter {
        Some(datacenter) => datacenter.clone(),
        None => own_datacenter(client, service).await?,
    };
    #[cfg(feature = "grpc")]
    let why_not_grpc = match over_grpc::find(client).await? {
        over_grpc::Found::At(grpc, reason) => {
            let mut source = super::GrpcSource::new(grpc, service.clone(), &datacenter);
            if let Some(spread) = config.rotation_spread {
                source = source.rotation_spread(spread);
            }
            let reason = format!("{}: {reason}", source.describe());
            return Ok(Selected {
                source: Box::new(source),
                datacenter,
                reason,
            });
        }
        over_grpc::Found::Nowhere(why) => why,
    };
    #[cfg(not(feature = "grpc"))]
    let why_not_grpc = "gRPC is not compiled in";
    let source = AgentSource::new(client.clone(), service.clone());
    let reason = format!(
        "{}, which makes the key and keeps it: {why_not_grpc}",
        source.describe()
    );
    Ok(Selected {
        source: Box::new(source),
        datacenter,
        reason,
    })
}

async fn own_datacenter(client: &Client, service: &ServiceName) -> Result<String, SourceError> {
    let failed = |cause: consul_api::Error| {
        let permanent = is_permanent(&cause);
        let text = format!(
            "reading the datacenter of {service} from Consul at {}",
            client.config().address()
        );
        let error = SourceError::new(text).with_cause(cause);
        if permanent { error.permanent() } else { error }
    };
    // Every token that may act for the service may read this; `agent/self` needs more.
    let chain = client
        .discovery_chain()
        .get(service.as_str())
        .await
        .map_err(failed)?;
    Ok(chain.into_value().datacenter)
}

#[cfg(feature = "grpc")]
mod over_grpc {
    //! Looks for a gRPC port that belongs to the same Consul.

    use std::time::Duration;

    use consul_api::{Address, Client, grpc::Grpc};
    use futures_util::StreamExt;
    use tokio::time::timeout;

    use super::{SourceError, is_permanent};

    /// How long a port that nobody configured may take to answer.
    const PATIENCE: Duration = Duration::from_secs(2);

    pub(super) enum Found {
        At(Grpc, String),
        /// With what was tried.
        Nowhere(String),
    }

    pub(super) async fn find(client: &Client) -> Result<Found, SourceError> {
        if let Some(address) = client.config().grpc_address() {
            let grpc = client.grpc().map_err(|cause| {
                let text = format!("preparing gRPC to {address}");
                SourceError::new(text).with_cause(cause).permanent()
            })?;
            return Ok(Found::At(grpc, "the gRPC address is configured".to_owned()));
        }
        let mut tried = Vec::new();
        let ours = match client.agent().connect_ca_roots().await {
            Ok(roots) => roots.into_value().trust_domain,
            Err(cause) if is_permanent(&cause) => {
                return Ok(Found::Nowhere(format!(
                    "no gRPC address is configured, and the agent: {cause}"
                )));
            }
            Err(cause) => {
                let text = format!(
                    "reading the roots from Consul at {}",
                    client.config().address()
                );
                return Err(SourceError::new(text).with_cause(cause));
            }
        };
        for candidate in candidates(client, &mut tried).await? {
            match answers(client, &candidate, &ours).await {
                Ok(grpc) => {
                    let reason = "agent/self names this gRPC port".to_owned();
                    return Ok(Found::At(grpc, reason));
                }
                Err(why) => tried.push(format!("{candidate}: {why}")),
            }
        }
        Ok(Found::Nowhere(format!(
            "no gRPC address is configured, and none that answers is known ({})",
            tried.join("; ")
        )))
    }

    /// Addresses to try. Only what the agent itself names: a token goes to none that was guessed.
    ///
    /// # Errors
    /// If the agent cannot tell now. A moment of weakness must not choose the source that shares its keys for good.
    async fn candidates(
        client: &Client,
        tried: &mut Vec<String>,
    ) -> Result<Vec<String>, SourceError> {
        let ports = match client.agent().self_().await {
            Ok(info) => info
                .into_value()
                .xds
                .map(|xds| xds.ports)
                .unwrap_or_default(),
            Err(error) if error.is_retryable() => {
                let place = client.config().address();
                let text = format!("asking Consul at {place} for its gRPC port");
                return Err(SourceError::new(text).with_cause(error));
            }
            Err(error) => {
                tried.push(format!("agent/self: {error}"));
                return Ok(Vec::new());
            }
        };
        let host = host(client.config().address());
        let open: Vec<_> = [("http", ports.plaintext), ("https", ports.tls)]
            .into_iter()
            .filter(|&(_, port)| port > 0)
            .map(|(scheme, port)| format!("{scheme}://{host}:{port}"))
            .collect();
        if open.is_empty() {
            tried.push("agent/self says that gRPC is off".to_owned());
        }
        Ok(open)
    }

    /// The host of the agent; this one if it is reached by a socket.
    fn host(address: &Address) -> String {
        let uri = address.to_string().parse::<http::Uri>().ok();
        let host = uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
        host.and_then(|uri| uri.host().map(str::to_owned))
            .unwrap_or_else(|| "127.0.0.1".to_owned())
    }

    /// Whether the authority of our own mesh is there. On a host with several agents a usual port may be another's.
    async fn answers(client: &Client, address: &str, ours: &str) -> Result<Grpc, String> {
        let grpc = client.grpc_at(address).map_err(|error| error.to_string())?;
        let first = timeout(PATIENCE, grpc.watch_roots().next()).await;
        match first {
            Err(_elapsed) => Err("no answer".to_owned()),
            Ok(None) => Err("no roots".to_owned()),
            Ok(Some(Err(error))) => Err(error.to_string()),
            Ok(Some(Ok(roots))) if roots.trust_domain != ours => Err(format!(
                "it is of trust domain {}, not {ours}",
                roots.trust_domain
            )),
            Ok(Some(Ok(_same))) => Ok(grpc),
        }
    }

    #[cfg(test)]
    mod tests {
        use super::host;

        #[test]
        fn the_host_of_an_agent_is_kept_and_a_socket_means_this_one() {
            for (address, expected) in [
                ("http://10.0.0.1:8500", "10.0.0.1"),
                ("https://consul.internal:8501/prefix", "consul.internal"),
                ("http://[::1]:8500", "[::1]"),
                ("localhost:8500", "localhost"),
                ("unix:///run/consul.sock", "127.0.0.1"),
            ] {
                assert_eq!(host(&address.parse().expect("an address")), expected);
            }
        }
    }
}
