//! Instances from Consul's health of a service.
//!
//! Everything that is registered is asked for, not only what passes, so that it can be said why an
//! instance is left out.

mod entry;

use std::{error::Error as StdError, fmt, time::Duration};

use consul_api::{QueryBackend, Read, Update, health::ServiceEntry};
use consul_connect::Identity;
use futures_util::{StreamExt as _, stream};
use tokio::time::sleep;

use super::{Instance, Resolution, Resolve, Target};

/// Resolves by watching `/v1/health/connect/<service>`.
pub(crate) struct Health {
    consul: consul_api::Client,
    identity: Identity,
}

/// Consul has nothing for us, and says that it hides something.
#[derive(Debug)]
pub(crate) struct Hidden;

impl Health {
    pub(crate) fn new(consul: consul_api::Client, identity: Identity) -> Self {
        Self { consul, identity }
    }
}

impl Resolve for Health {
    fn resolve(&self, target: &Target) -> Resolution {
        let here = self.identity.current().id().datacenter().to_owned();
        let asked = Asked {
            consul: self.consul.clone(),
            target: target.clone(),
            here,
        };
        let watch = asked.read().watch();
        Box::pin(stream::unfold(
            (watch, asked, None),
            async |(mut watch, asked, doubtful)| {
                let update = match doubtful {
                    None => watch.next().await?,
                    Some(doubtful) => tokio::select! {
                        update = watch.next() => update?,
                        () = sleep(ASK_AGAIN) => Ok(doubtful),
                    },
                };
                let (instances, doubtful) = match update {
                    Err(error) => (Err(error.into()), None),
                    Ok(update) => match asked.instances(&update).await {
                        Err(Doubt::Hidden) => (Err(Hidden.into()), None),
                        Err(Doubt::Unanswered(error)) => (Err(error.into()), Some(update)),
                        Ok(instances) => (Ok(instances), None),
                    },
                };
                Some((instances, (watch, asked, doubtful)))
            },
        ))
    }
}

/// How soon it is asked again whether there is really nothing, when that could not be answered.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Why an empty answer is not believed.
enum Doubt {
    Hidden,
    Unanswered(consul_api::Error),
}

/// What is watched, to ask it once more.
struct Asked {
    consul: consul_api::Client,
    target: Target,
    here: String,
}

impl Asked {
    fn read(&self) -> Read<Vec<ServiceEntry>> {
        let target = &self.target;
        let mut read = self.consul.health().connect(target.service.as_str());
        if target.datacenter != self.here {
            read = read.datacenter(target.datacenter.clone());
        }
        if !target.filter.is_empty() {
            read = read.filter(target.filter.clone());
        }
        // Consul's Community Edition refuses even its own default, so only others are sent.
        if target.namespace != "default" {
            read = read.namespace(target.namespace.clone());
        }
        if target.partition != "default" {
            read = read.partition(target.partition.clone());
        }
        read
    }

    async fn instances(&self, update: &Update<Vec<ServiceEntry>>) -> Result<Vec<Instance>, Doubt> {
        if !update.value.is_empty() {
            return Ok(self.read_as_instances(&update.value));
        }
        if update.meta.query_backend != Some(QueryBackend::Streaming) {
            return if update.meta.filtered_by_acls {
                Err(Doubt::Hidden)
            } else {
                Ok(Vec::new())
            };
        }
        // Consul's streaming backend, which serves blocking queries, never says that it hides something, and a server that
        // was just started streams what it knows before it has read what it knew. The leader says both.
        let answer = self.read().consistent().await.map_err(Doubt::Unanswered)?;
        if answer.value.is_empty() && answer.meta.filtered_by_acls {
            return Err(Doubt::Hidden);
        }
        Ok(self.read_as_instances(&answer.value))
    }

    fn read_as_instances(&self, entries: &[ServiceEntry]) -> Vec<Instance> {
        let instances = entries.iter();
        instances
            .map(|entry| entry::instance(entry, &self.here, self.target.only_passing))
            .collect()
    }
}

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the token may see no instance; it needs service:read on the service and node:read",
        )
    }
}

impl StdError for Hidden {}
