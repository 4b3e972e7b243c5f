//! An instance kept in the catalog of a real Consul.

use std::time::Duration;

use consul_api::{Client, Config, health::Status};
use consul_connect::{
    Registration, RegistrationConfig, ServiceName,
    registration::{RegistrationError, RegistrationState},
};
use futures_util::StreamExt;
use mesh_lab::{Agent, DefaultPolicy, Error, Version};
use tokio::time::{Instant, timeout};

const LONG: Duration = Duration::from_secs(60);

fn web() -> ServiceName {
    "web".parse().expect("a service name")
}

fn client(agent: &Agent, token: Option<&str>) -> Client {
    let config = Config::new(agent.http_addr().to_string()).expect("an address");
    Client::new(match token {
        Some(token) => config.with_token(consul_api::Token::new(token)),
        None => config,
    })
    .expect("a client")
}

fn config() -> RegistrationConfig {
    RegistrationConfig::bound_to(web(), "127.0.0.1:9443".parse().expect("an address"))
        .tag("v1")
        .meta("k", "v")
}

/// The check's status and text in the catalog of `agent`, if the instance is there.
type Seen = Option<(Status, String)>;

/// Waits until the catalog shows what is wanted, and says how long that took.
async fn until(agent: &Agent, id: &str, done: impl Fn(&Seen) -> bool) -> Duration {
    let begun = Instant::now();
    let token = agent.token().map(str::to_owned);
    let mut catalog = client(agent, token.as_deref())
        .health()
        .connect("web")
        .watch();
    let mut seen = None;
    timeout(LONG, async {
        loop {
            if let Some(Ok(update)) = catalog.next().await {
                let entry = update.value.iter().find(|entry| entry.service.id == id);
                seen = entry.map(|entry| {
                    let check = entry
                        .checks
                        .iter()
                        .find(|check| check.check_id == format!("{id}:mesh"));
                    check
                        .map(|check| (check.status.clone(), check.output.clone()))
                        .unwrap_or_default()
                });
                if done(&seen) {
                    return;
                }
            }
        }
    })
    .await
    .unwrap_or_else(|_| panic!("not within {LONG:?}, the catalog shows {seen:?}"));
    begun.elapsed()
}

fn is(seen: &Seen, status: &Status) -> bool {
    seen.as_ref().is_some_and(|(seen, _)| seen == status)
}

#[tokio::test]
async fn an_instance_lives_its_life_in_the_catalog() -> Result<(), Error> {
    for version in Version::ALL {
        let Some(consul) = mesh_lab::consul(version) else {
            continue;
        };
        let agent = consul.acl(DefaultPolicy::Deny).start().await?;
        let token = agent.service_token("web").await?;
        let registration = Registration::new(client(&agent, Some(&token)), config());
        registration
            .registered()
            .await
            .expect("the token may register it");
        let id = registration.id().to_owned();
        assert!(
            id.starts_with("web-") && id.ends_with("-127.0.0.1-9443"),
            "{id}"
        );

        let passing = until(&agent, &id, |seen| is(seen, &Status::Passing)).await;
        registration.health().set_warning("slow disk");
        let warning = until(&agent, &id, |seen| is(seen, &Status::Warning)).await;
        registration.drain().await;
        let critical = until(&agent, &id, |seen| is(seen, &Status::Critical)).await;
        registration.deregister().await.expect("the agent is there");
        let gone = until(&agent, &id, Option::is_none).await;
        println!(
            "{version}: passing {passing:?}, warning {warning:?}, drained {critical:?}, gone {gone:?}"
        );
        assert_eq!(registration.status().state, RegistrationState::Deregistered);
    }
    Ok(())
}

#[tokio::test]
async fn an_agent_that_was_wiped_gets_the_instance_again() -> Result<(), Error> {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return Ok(());
    };
    let (server, agent) = consul.start_pair().await?;
    let registration =
        Registration::new(client(&agent, None), config().ttl(Duration::from_secs(6)));
    registration.registered().await.expect("registered");
    let id = registration.id().to_owned();
    until(&server, &id, |seen| is(seen, &Status::Passing)).await;

    agent.kill().await?;
    agent.wipe()?;
    agent.restart().await?;
    let begun = Instant::now();
    let services = client(&agent, None);
    timeout(LONG, async {
        while !services
            .agent()
            .services()
            .await
            .is_ok_and(|services| services.value.contains_key(&id))
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await
    .expect("registered again");
    println!(
        "wiped agent: registered again {:?} after its restart",
        begun.elapsed()
    );
    until(&server, &id, |seen| is(seen, &Status::Passing)).await;
    registration.deregister().await.expect("the agent is there");
    Ok(())
}

#[tokio::test]
async fn an_instance_deregistered_by_somebody_else_comes_back_within_a_ttl() -> Result<(), Error> {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return Ok(());
    };
    let agent = consul.start().await?;
    let registration =
        Registration::new(client(&agent, None), config().ttl(Duration::from_secs(6)));
    registration.registered().await.expect("registered");
    let id = registration.id().to_owned();
    until(&agent, &id, Option::is_some).await;
    client(&agent, None)
        .agent()
        .deregister_service(id.as_str())
        .await
        .expect("an operator may");
    let gone = until(&agent, &id, Option::is_none).await;
    let back = until(&agent, &id, |seen| is(seen, &Status::Passing)).await;
    println!("deregistered by hand: gone {gone:?}, back {back:?} later");
    assert!(back < Duration::from_secs(20));
    Ok(())
}

#[tokio::test]
async fn a_dropped_registration_turns_critical_when_its_ttl_has_passed() -> Result<(), Error> {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return Ok(());
    };
    let agent = consul.start().await?;
    let registration =
        Registration::new(client(&agent, None), config().ttl(Duration::from_secs(3)));
    registration.registered().await.expect("registered");
    let id = registration.id().to_owned();
    until(&agent, &id, |seen| is(seen, &Status::Passing)).await;
    drop(registration);
    let critical = until(&agent, &id, |seen| is(seen, &Status::Critical)).await;
    println!("dropped: critical after {critical:?}");
    Ok(())
}

#[tokio::test]
async fn a_token_that_may_not_register_is_refused() -> Result<(), Error> {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return Ok(());
    };
    let agent = consul.acl(DefaultPolicy::Deny).start().await?;
    let token = agent.service_token("db").await?;
    let registration = Registration::new(client(&agent, Some(&token)), config());
    let error = timeout(LONG, registration.registered())
        .await
        .expect("at once")
        .expect_err("another service's token");
    assert!(
        matches!(error, RegistrationError::Refused { .. }),
        "{error}"
    );
    assert_eq!(registration.status().state, RegistrationState::Pending);
    println!("{}", registration.status());
    Ok(())
}
