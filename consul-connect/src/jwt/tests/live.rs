//! Providers followed on a development Consul, with keys on a server that fails on command.

mod entries;
mod keys;
mod server;

use std::sync::Mutex;

use consul_api::{Client, Config};
use consul_dev::{ConsulDev, Policy};
use serde_json::{Value, json};
use tokio::time::timeout;

use self::server::{Answer, KeyServer};
use super::{
    super::{JwtConfig, JwtProviderStatus, JwtProviders},
    *,
};
use crate::test_util::TestClock;

/// Long enough for a machine that is busy with something else.
const LONG: Duration = Duration::from_secs(60);

struct World {
    dev: ConsulDev,
    store: JwtProviders,
}

async fn world(config: JwtConfig) -> World {
    world_of(ConsulDev::start().await.expect("a Consul"), config, None)
}

fn world_of(dev: ConsulDev, config: JwtConfig, token: Option<&str>) -> World {
    let mut of_client = Config::new(dev.http_addr()).expect("an address");
    if let Some(token) = token {
        of_client = of_client.with_token(consul_api::Token::new(token));
    }
    let client = Client::new(of_client).expect("a client");
    let config = config.time_provider(Arc::new(TestClock::fixed(NOW)));
    let store = JwtProviders::new(client, config);
    World { dev, store }
}

impl World {
    fn put(&self, entry: &Value) {
        self.dev.put_config(entry).expect("a valid entry");
    }

    /// Why this token is refused now; `None`: it is not.
    fn refused(&self, token: &str) -> Option<String> {
        refused(
            &self.store.authenticate(&bearer(token), Duration::ZERO),
            "okta",
        )
    }

    fn status(&self) -> JwtProviderStatus {
        let mut all = self.store.status();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    /// Waits until it is so; every report of a task is looked at.
    async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let mut reports = self.store.reports();
        timeout(LONG, async {
            while !done(self) {
                reports.changed().await.expect("they live");
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {LONG:?}: {:?}", self.store.status()));
    }

    async fn accepted(&self, token: &str) {
        self.until("accepted", |world| world.refused(token).is_none())
            .await;
    }

    async fn refused_as(&self, token: &str, text: &str) {
        let told = |world: &Self| world.refused(token).is_some_and(|why| why.contains(text));
        self.until(text, told).await;
    }
}

/// An entry whose keys are on a server.
fn remote(uri: &str, more: Value) -> Value {
    let mut set = json!({ "URI": uri, "CacheDuration": "1s" });
    let members = set.as_object_mut().expect("an object");
    members.extend(more.as_object().expect("an object").clone());
    with(
        entry("okta", &[]),
        "JSONWebKeySet",
        json!({ "Remote": set }),
    )
}

fn trusting(pem: &str) -> Value {
    json!({ "JWKSCluster": { "TLSCertificates": { "TrustedCA": { "InlineString": pem } } } })
}

fn set(signers: &[&Signer]) -> String {
    let keys: Vec<&Value> = signers.iter().map(|signer| &signer.jwk).collect();
    json!({ "keys": keys }).to_string()
}
