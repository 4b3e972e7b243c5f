//! Instances from Consul's health of a service.
//!
//! Everything that is registered is asked for, not only what passes, so that it can be said why an
//! instance is left out.

mod entry;

use std::{error::Error as StdError, fmt};

use consul_connect::Identity;
use futures_util::StreamExt as _;

use super::{Resolution, Resolve, Target};
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
        let mut read = self.consul.health().connect(target.service.as_str());
        if target.datacenter != here {
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
        let only_passing = target.only_passing;
        Box::pin(read.watch().map(move |update| {
            let update = update.map_err(BoxError::from)?;
            if update.value.is_empty() && update.meta.filtered_by_acls {
                return Err(Hidden.into());
            }
            let instances = update.value.iter();
            Ok(instances
                .map(|entry| entry::instance(entry, &here, only_passing))
                .collect())
        }))
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
