//! An instance kept in the catalog of a development Consul that fails on command.

use std::time::Duration;

use consul_api::{Client, Config};
use consul_connect::{
    Identity, IdentityConfig, Registration, RegistrationConfig, ServiceName,
    identity::source,
    registration::{HealthState, RegistrationError, RegistrationState},
    test_util::{LeafSpec, TestCa},
};
use consul_dev::{ConsulDev, Fault, FaultRule};
use futures_util::StreamExt as _;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(30);
const UPDATE: &str = "PUT /v1/agent/check/update/*";
const DEREGISTER: &str = "PUT /v1/agent/service/deregister/*";
const REGISTER: &str = "PUT /v1/agent/service/register";

fn web() -> ServiceName {
    "web".parse().expect("a service name")
}

fn client(dev: &ConsulDev) -> Client {
    Client::new(Config::new(dev.http_addr()).expect("an address")).expect("a client")
}

fn config() -> RegistrationConfig {
    RegistrationConfig::new(web(), 8443)
        .id("web-1")
        .ttl(Duration::from_secs(3))
}

/// There is no stream of what the agent was told; it is looked at until it is so.
async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, looking)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {LONG:?}"));
}

async fn check(dev: &ConsulDev) -> Option<(String, String)> {
    let checks = client(dev).agent().checks().await.ok()?.into_value();
    let check = checks.get("web-1:mesh")?;
    Some((check.status.to_string(), check.output.clone()))
}

#[tokio::test]
async fn health_reaches_the_agent_and_its_text_changes_only_with_the_state() {
    let dev = ConsulDev::start().await.expect("a Consul");
    let registration = Registration::new(
        client(&dev),
        config().initial(HealthState::Critical("starting".into())),
    );
    registration.registered().await.expect("registered");
    let is = async |status: &str, output: &str| {
        until(output, async || {
            check(&dev).await == Some((status.to_owned(), output.to_owned()))
        })
        .await;
    };
    is(
        "critical",
        "application critical: starting; certificate valid",
    )
    .await;
    registration.health().set_passing();
    is("passing", "application passing; certificate valid").await;
    registration.health().set_warning("slow disk");
    is(
        "warning",
        "application warning: slow disk; certificate valid",
    )
    .await;
    let reports = dev.request_count(UPDATE);
    registration.health().set_warning("slow disk");
    until("the next report", async || {
        dev.request_count(UPDATE) > reports
    })
    .await;
    is(
        "warning",
        "application warning: slow disk; certificate valid",
    )
    .await;
}

#[tokio::test]
async fn an_agent_that_lost_everything_gets_the_instance_again_at_the_next_report() {
    let dev = ConsulDev::start().await.expect("a Consul");
    let registration = Registration::new(client(&dev), config());
    registration.registered().await.expect("registered");
    dev.wipe_agent();
    assert!(dev.service_ids().is_empty());
    until("registered again", async || dev.service_ids() == ["web-1"]).await;
    until("passing again", async || {
        check(&dev)
            .await
            .is_some_and(|(status, _)| status == "passing")
    })
    .await;
    assert_eq!(registration.status().state, RegistrationState::Registered);
}

#[tokio::test]
async fn an_agent_that_was_away_and_wiped_gets_the_instance_when_a_watch_is_answered_again() {
    let dev = ConsulDev::start().await.expect("a Consul");
    let client = client(&dev);
    // Reports that are far apart: only the watch can say so in time.
    let rare = config().ttl(Duration::from_secs(600));
    let registration = Registration::new(client.clone(), rare);
    let mut roots = client.agent().connect_ca_roots().watch();
    registration.registered().await.expect("registered");
    roots.next().await.expect("an item").expect("roots");
    dev.down().await.expect("it was up");
    let failed = roots.next().await.expect("an item");
    failed.expect_err("nobody answers");
    dev.wipe_agent();
    dev.up().await.expect("it comes back");
    until("registered again", async || dev.service_ids() == ["web-1"]).await;
}

#[tokio::test]
async fn an_agent_that_is_away_is_asked_until_it_is_back() {
    let dev = ConsulDev::start().await.expect("a Consul");
    dev.down().await.expect("it was up");
    let registration = Registration::new(client(&dev), config());
    until("failures", async || registration.status().failures > 1).await;
    assert_eq!(registration.status().state, RegistrationState::Pending);
    dev.up().await.expect("it comes back");
    timeout(LONG, registration.registered())
        .await
        .expect("in time")
        .expect("registered");
    until("no error", async || {
        registration.status().last_error.is_none()
    })
    .await;
}

#[tokio::test]
async fn an_expired_certificate_is_critical_and_a_new_one_passes_again() {
    let dev = ConsulDev::start().await.expect("a Consul");
    let ca = TestCa::new("one.consul");
    let (pusher, source) = source::channel();
    let short = LeafSpec::new(&ca.id("web")).valid(-60, Duration::from_secs(62));
    pusher.push(Ok(ca.issue(&short)));
    let identity = Identity::connect(source, IdentityConfig::default())
        .await
        .expect("an identity");
    let registration = Registration::new(
        client(&dev),
        config().ttl(Duration::from_secs(60)).identity(identity),
    );
    until("passing", async || {
        check(&dev)
            .await
            .is_some_and(|(status, _)| status == "passing")
    })
    .await;
    until("expired", async || {
        check(&dev).await
            == Some((
                "critical".into(),
                "application passing; certificate expired".into(),
            ))
    })
    .await;
    pusher.push(Ok(ca.material("web")));
    until("passing again", async || {
        check(&dev)
            .await
            .is_some_and(|(status, _)| status == "passing")
    })
    .await;
    drop(registration);
}

#[tokio::test]
async fn draining_is_critical_until_the_instance_is_gone() {
    let dev = ConsulDev::start().await.expect("a Consul");
    let registration = Registration::new(client(&dev), config());
    registration.registered().await.expect("registered");
    timeout(LONG, registration.drain()).await.expect("in time");
    let (status, output) = check(&dev).await.expect("a check");
    assert_eq!(
        (status.as_str(), output.as_str()),
        (
            "critical",
            "draining; application passing; certificate valid"
        )
    );
    registration.health().set_passing();
    timeout(LONG, registration.deregister())
        .await
        .expect("in time")
        .expect("deregistered");
    assert!(dev.service_ids().is_empty());
    assert_eq!(registration.status().state, RegistrationState::Deregistered);
    registration.deregister().await.expect("gone already");
    timeout(LONG, registration.drain())
        .await
        .expect("nothing to wait for");
}

#[tokio::test]
async fn deregistering_from_an_agent_that_is_away_gives_up_and_says_so() {
    let dev = ConsulDev::start().await.expect("a Consul");
    let registration = Registration::new(client(&dev), config());
    registration.registered().await.expect("registered");
    dev.down().await.expect("it was up");
    let error = timeout(LONG, registration.deregister())
        .await
        .expect("in time")
        .expect_err("nobody was told");
    let RegistrationError::NotDeregistered { cause, .. } = &error else {
        panic!("{error}")
    };
    assert!(cause.is_some());
}

#[tokio::test]
async fn an_agent_that_answers_nothing_but_the_last_call_is_left_in_order() {
    let dev = ConsulDev::start().await.expect("a Consul");
    let registration = Registration::new(client(&dev), config());
    registration.registered().await.expect("registered");
    dev.fault(FaultRule::new(UPDATE, Fault::Hang));
    dev.fault(FaultRule::new(DEREGISTER, Fault::Hang).times(1));
    registration.health().set_critical("no database");
    let reports = dev.request_count(UPDATE);
    until("a report hangs", async || {
        dev.request_count(UPDATE) > reports
    })
    .await;
    registration.deregister().await.expect("in time");
    assert_eq!(dev.request_count(DEREGISTER), 2);
}

#[tokio::test]
async fn a_dropped_registration_sends_nothing_more_and_leaves_the_instance() {
    let dev = ConsulDev::start().await.expect("a Consul");
    let registration = Registration::new(client(&dev), config());
    registration.registered().await.expect("registered");
    let health = registration.health();
    drop(registration);
    health.set_critical("after the end");
    until("critical by its TTL", async || {
        check(&dev)
            .await
            .is_some_and(|(status, _)| status == "critical")
    })
    .await;
    assert_eq!(dev.service_ids(), ["web-1"]);
    let (_, output) = check(&dev).await.expect("a check");
    assert!(!output.contains("after the end"), "{output}");
}

#[tokio::test]
async fn a_definition_the_agent_refuses_is_said_and_tried_again() {
    let dev = ConsulDev::start().await.expect("a Consul");
    dev.fault(FaultRule::new(REGISTER, Fault::status(400, "Invalid service address")).times(2));
    let registration = Registration::new(client(&dev), config());
    let error = timeout(LONG, registration.registered())
        .await
        .expect("at once")
        .expect_err("refused");
    assert!(
        matches!(error, RegistrationError::Refused { .. }),
        "{error}"
    );
    until("registered after all", async || {
        registration.status().state == RegistrationState::Registered
    })
    .await;
}

#[tokio::test]
async fn what_somebody_else_registers_is_left_to_them() {
    let dev = ConsulDev::start().await.expect("a Consul");
    let registration = Registration::new(client(&dev), config().external("Nomad"));
    registration
        .registered()
        .await
        .expect("nothing to wait for");
    registration.health().set_critical("no database");
    registration.drain().await;
    registration.deregister().await.expect("nothing to do");
    assert_eq!(
        registration.status().to_string(),
        "web-1 of web: registered by Nomad"
    );
    assert!(dev.requests().is_empty());
}
