//! Instances from Consul's health of a service.
//!
//! Everything that is registered is asked for, not only what passes, so that it can be said why an
//! instance is left out.

mod entry;

use std::{error::Error as StdError, fmt};

use consul_api::{QueryBackend, Read, Update, health::ServiceEntry};
use consul_connect::Identity;
use futures_util::{StreamExt as _, stream};

use super::{Instance, Resolution, Resolve, Target};
use crate::error::BoxError;

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
            (watch, asked),
            async |(mut watch, asked)| {
                let update = watch.next().await?;
                let instances = match update {
                    Ok(update) => asked.instances(&update).await,
                    Err(error) => Err(error.into()),
                };
                Some((instances, (watch, asked)))
            },
        ))
    }
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

    async fn instances(
        &self,
        update: &Update<Vec<ServiceEntry>>,
    ) -> Result<Vec<Instance>, BoxError> {
        if update.value.is_empty() {
            // Consul's streaming backend, which serves blocking queries, never says that it hides something.
            let hides = match update.meta.query_backend {
                Some(QueryBackend::Streaming) => self.read().await?.meta.filtered_by_acls,
                _ => update.meta.filtered_by_acls,
            };
            if hides {
                return Err(Hidden.into());
            }
        }
        let instances = update.value.iter();
        Ok(instances
            .map(|entry| entry::instance(entry, &self.here, self.target.only_passing))
            .collect())
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
