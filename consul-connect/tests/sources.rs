//! The identity sources against a development Consul that fails on command, and against files.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use consul_api::{Client, Config};
use consul_connect::{
    Identity, IdentityConfig, IdentitySource, Material, ServiceName,
    identity::source::{AgentSource, FilesSource, GrpcSource, SelectConfig, select},
    test_util::TestCa,
};
use consul_dev::{ConsulDev, Fault, FaultRule};
use futures_util::StreamExt;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(30);

fn web() -> ServiceName {
    "web".parse().expect("a service name")
}

fn client(dev: &ConsulDev) -> Client {
    Client::new(Config::new(dev.http_addr()).expect("an address")).expect("a client")
}

fn grpc(dev: &ConsulDev) -> GrpcSource {
    let grpc = client(dev).grpc_at(dev.grpc_addr()).expect("gRPC");
    GrpcSource::new(grpc, web(), "dc1").rotation_spread(Duration::from_millis(100))
}

fn agent(dev: &ConsulDev) -> AgentSource {
    AgentSource::new(client(dev), web())
}

async fn connect(source: impl IdentitySource) -> Identity {
    Identity::connect(source, IdentityConfig::default())
        .await
        .expect("an identity")
}

async fn until(identity: &Identity, done: impl Fn(&Identity) -> bool) {
    let mut changes = identity.changes();
    timeout(LONG, async {
        while !done(identity) {
            changes.changed().await.expect("the identity lives");
        }
    })
    .await
    .unwrap_or_else(|_| panic!("not within {LONG:?}: {}", identity.status()));
}

#[tokio::test]
async fn a_new_trust_domain_is_joined_by_itself() {
    let dev = ConsulDev::start().await.expect("a Consul");
    for identity in [connect(grpc(&dev)).await, connect(agent(&dev)).await] {
        let before = identity.status().trust_domain;
        let new = dev.new_trust_domain().expect("a new authority");
        until(&identity, |identity| {
            identity.status().trust_domain.as_str() == new
        })
        .await;
        let status = identity.status();
        assert_ne!(status.trust_domain, before);
        assert_eq!(
            status.id.trust_domain(),
            &status.trust_domain,
            "leaf and roots are of one time"
        );
    }
}

#[tokio::test]
async fn a_rotation_without_cross_signing_is_followed_by_both_sources() {
    let dev = ConsulDev::start().await.expect("a Consul");
    for identity in [connect(grpc(&dev)).await, connect(agent(&dev)).await] {
        let before = identity.status().leaf_serial;
        dev.rotate_root_without_cross_signing().expect("a new root");
        until(&identity, |identity| {
            identity.status().leaf_serial != before
        })
        .await;
        assert!(identity.status().is_usable());
    }
}

/// Consul begins a leaf's validity a minute in the past: this one is good for ten seconds, and due within three.
const LEAF: Duration = Duration::from_secs(70);

#[tokio::test]
async fn a_leaf_of_seconds_is_renewed_again_and_again() {
    let dev = ConsulDev::builder()
        .leaf_ttl(LEAF)
        .start()
        .await
        .expect("a Consul");
    let identity = connect(grpc(&dev)).await;
    let mut serials = vec![identity.status().leaf_serial];
    while serials.len() < 4 {
        let last = serials.last().cloned();
        until(&identity, |identity| {
            Some(identity.status().leaf_serial) != last
        })
        .await;
        assert!(
            identity.status().is_usable(),
            "no gap between two leafs: {}",
            identity.status()
        );
        serials.push(identity.status().leaf_serial);
    }
}

#[tokio::test]
async fn an_authority_at_its_limit_is_asked_again_and_the_first_identity_waits_for_it() {
    let dev = ConsulDev::start().await.expect("a Consul");
    let signing = "/hashicorp.consul.connectca.ConnectCAService/Sign";
    dev.fault(FaultRule::new(signing, Fault::no_leader()).times(2));
    let identity = connect(grpc(&dev)).await;
    assert!(identity.status().is_usable());
    assert_eq!(dev.request_count(signing), 3);
}

#[tokio::test]
async fn without_consul_the_identity_stays_and_says_so() {
    let dev = ConsulDev::start().await.expect("a Consul");
    for identity in [connect(grpc(&dev)).await, connect(agent(&dev)).await] {
        dev.down().await.expect("it was up");
        timeout(LONG, async {
            // Faults are not publications, so there is no generation to wait for.
            while identity.status().fault.is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .expect("the fault is told");
        assert!(identity.status().is_usable());
        dev.up().await.expect("it comes back");
        let serial = identity.status().leaf_serial;
        dev.rotate_root().expect("a new root");
        until(&identity, |identity| {
            identity.status().leaf_serial != serial
        })
        .await;
        assert!(identity.status().fault.is_none(), "{}", identity.status());
    }
}

#[tokio::test]
async fn a_token_is_sent_to_the_grpc_port_the_agent_names_and_to_none_that_is_guessed() {
    let dev = ConsulDev::start().await.expect("a Consul");
    let chosen = select(&client(&dev), &web(), &SelectConfig::default())
        .await
        .expect("a source");
    assert!(chosen.source.describe().contains("gRPC"), "{chosen:?}");

    let refused = Fault::status(403, "Permission denied");
    dev.fault(FaultRule::new("GET /v1/agent/self", refused));
    let chosen = select(&client(&dev), &web(), &SelectConfig::default())
        .await
        .expect("a source");
    assert!(!chosen.source.describe().contains("gRPC"), "{chosen:?}");
    assert!(!chosen.reason.contains("850"), "{}", chosen.reason);
}

#[tokio::test]
async fn an_agent_that_cannot_name_its_grpc_port_for_a_moment_is_asked_again() {
    let dev = ConsulDev::start().await.expect("a Consul");
    dev.fault(FaultRule::new("GET /v1/agent/self", Fault::no_leader()).times(2));
    let chosen = select(&client(&dev), &web(), &SelectConfig::default())
        .await
        .expect("a source");
    assert!(chosen.source.describe().contains("gRPC"), "{chosen:?}");
}

#[tokio::test]
async fn no_deadline_is_too_far_away() {
    let dev = ConsulDev::start().await.expect("a Consul");
    let forever = SelectConfig::default().within(Duration::MAX);
    select(&client(&dev), &web(), &forever)
        .await
        .expect("a source");
}

#[tokio::test]
async fn a_withdrawn_root_ends_at_once_with_the_leafs_of_an_agent_too() {
    let dev = ConsulDev::start().await.expect("a Consul");
    let identity = connect(agent(&dev)).await;
    let (ours, before) = (dev.active_root(), identity.current());
    // The agent cannot have a new leaf signed for now.
    dev.fault(FaultRule::new(
        "GET /v1/agent/connect/ca/leaf/*",
        Fault::no_leader(),
    ));
    dev.rotate_root_without_cross_signing().expect("a new root");
    dev.remove_root(&ours).expect("an old one");
    until(&identity, |identity| {
        identity.current().roots() != before.roots() && identity.current().roots().len() == 1
    })
    .await;
    let current = identity.current();
    assert_eq!(current.leaf().serial(), before.leaf().serial());
}

/// A directory of one test, removed with it.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("consul-connect-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    fn write(&self, file: &str, text: &str) {
        // As tools do it: written beside, then renamed over.
        let beside = self.0.join(format!("{file}.new"));
        std::fs::write(&beside, text).expect("a file");
        std::fs::rename(beside, self.0.join(file)).expect("renamed");
    }

    fn put(&self, material: &Material) {
        self.write("leaf.pem", &material.chain_pem);
        self.write("key.pem", material.key_pem.expose());
        self.write("roots.pem", &material.roots_pem.concat());
    }

    fn source(&self) -> FilesSource {
        FilesSource::new(
            self.0.join("leaf.pem"),
            self.0.join("key.pem"),
            self.0.join("roots.pem"),
        )
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test(start_paused = true)]
async fn files_are_delivered_whole_when_they_change() {
    let (ca, directory) = (TestCa::new("files.consul"), Directory::new());
    let first = ca.material("web");
    directory.put(&first);
    let mut materials = Box::new(directory.source()).materials();
    let item = materials.next().await.expect("an item").expect("material");
    assert_eq!(item.chain_pem, first.chain_pem);

    let second = ca.material("web");
    directory.put(&second);
    let item = materials.next().await.expect("an item").expect("material");
    assert_eq!(item.chain_pem, second.chain_pem);
    assert_eq!(item.key_pem.expose(), second.key_pem.expose());
}

#[tokio::test(start_paused = true)]
async fn a_half_written_pair_is_waited_for() {
    let (ca, directory) = (TestCa::new("files.consul"), Directory::new());
    directory.put(&ca.material("web"));
    let mut materials = Box::new(directory.source()).materials();
    materials.next().await.expect("an item").expect("material");

    let next = ca.material("web");
    directory.write("leaf.pem", &next.chain_pem);
    // The key is still the old one: nothing is delivered for a while, then the fault is said, once.
    assert!(
        timeout(Duration::from_secs(3), materials.next())
            .await
            .is_err()
    );
    let error = materials
        .next()
        .await
        .expect("an item")
        .expect_err("it lasts");
    assert!(
        error.to_string().contains("key.pem") && !error.is_permanent(),
        "{error}"
    );
    assert!(
        timeout(Duration::from_secs(60), materials.next())
            .await
            .is_err(),
        "said once"
    );

    directory.write("key.pem", next.key_pem.expose());
    let item = materials.next().await.expect("an item").expect("material");
    assert_eq!(item.chain_pem, next.chain_pem);
}

#[tokio::test(start_paused = true)]
async fn missing_files_are_named_once_and_waited_for() {
    let (ca, directory) = (TestCa::new("files.consul"), Directory::new());
    let mut materials = Box::new(directory.source()).materials();
    let error = materials
        .next()
        .await
        .expect("an item")
        .expect_err("there is nothing");
    assert!(error.to_string().contains("leaf.pem"), "{error}");
    assert!(
        timeout(Duration::from_secs(60), materials.next())
            .await
            .is_err(),
        "said once"
    );
    directory.put(&ca.material("web"));
    materials.next().await.expect("an item").expect("material");
}
