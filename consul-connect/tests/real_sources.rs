//! The identity sources against a real Consul: established, renewed after a rotation, chosen, refused.

use std::time::Duration;

use consul_api::{Client, Config, Token};
use consul_connect::{
    Identity, IdentityConfig, ServiceName,
    identity::source::{self, AgentSource, GrpcSource, SelectConfig},
};
use mesh_lab::{Agent, DefaultPolicy, Error, Version};
use serde_json::json;
use tokio::time::{Instant, timeout};

/// Generous: a loaded machine is slow, and the tests print how long it took.
const LONG: Duration = Duration::from_secs(60);

fn name(name: &str) -> ServiceName {
    name.parse().expect("a service name")
}

fn config(agent: &Agent, token: &str) -> Config {
    Config::new(agent.http_addr().to_string())
        .expect("an address")
        .with_token(Token::new(token))
}

fn client(agent: &Agent, token: &str) -> Client {
    Client::new(config(agent, token)).expect("a client")
}

async fn mesh(version: Version) -> Result<Option<(Agent, String)>, Error> {
    let Some(consul) = mesh_lab::consul(version) else {
        return Ok(None);
    };
    let agent = consul.acl(DefaultPolicy::Deny).start().await?;
    let token = agent.service_token("web").await?;
    Ok(Some((agent, token)))
}

/// Waits until the identity satisfies `done`, and says how long that took.
async fn until(identity: &Identity, done: impl Fn(&Identity) -> bool) -> Duration {
    let begun = Instant::now();
    let mut changes = identity.changes();
    timeout(LONG, async {
        while !done(identity) {
            changes.changed().await.expect("the identity lives");
        }
    })
    .await
    .unwrap_or_else(|_| panic!("not within {LONG:?}: {}", identity.status()));
    begun.elapsed()
}

async fn follows_a_rotation(agent: &Agent, identity: &Identity, what: &str) -> Result<(), Error> {
    let before = identity.status();
    agent
        .configure_ca(&json!({ "PrivateKeyType": "ec", "PrivateKeyBits": 384 }))
        .await?;
    let roots = until(identity, |identity| identity.status().roots > before.roots).await;
    let leaf = until(identity, |identity| {
        identity.status().leaf_serial != before.leaf_serial
    })
    .await;
    println!("{what}: new roots after {roots:?}, new leaf {leaf:?} later");
    let status = identity.status();
    assert!(status.is_usable() && status.fault.is_none(), "{status}");
    assert_eq!(status.id, before.id);
    Ok(())
}

#[tokio::test]
async fn the_grpc_source_follows_a_rotation_with_keys_of_its_own() -> Result<(), Error> {
    for version in Version::ALL {
        let Some((agent, token)) = mesh(version).await? else {
            continue;
        };
        let grpc = client(&agent, &token)
            .grpc_at(&format!("http://{}", agent.grpc_addr()))
            .expect("gRPC");
        let source =
            GrpcSource::new(grpc, name("web"), "dc1").rotation_spread(Duration::from_secs(2));
        let identity = Identity::connect(source, IdentityConfig::default().service(name("web")))
            .await
            .expect("an identity");
        let status = identity.status();
        assert!(
            status
                .id
                .to_string()
                .ends_with("/ns/default/dc/dc1/svc/web"),
            "{status}"
        );
        follows_a_rotation(&agent, &identity, &format!("gRPC, {version}")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_agent_source_follows_a_rotation() -> Result<(), Error> {
    for version in Version::ALL {
        let Some((agent, token)) = mesh(version).await? else {
            continue;
        };
        let source = AgentSource::new(client(&agent, &token), name("web"));
        let identity = Identity::connect(source, IdentityConfig::default())
            .await
            .expect("an identity");
        follows_a_rotation(&agent, &identity, &format!("agent, {version}")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_forced_rotation_to_rsa_is_followed_without_a_gap() -> Result<(), Error> {
    let Some((agent, token)) = mesh(Version::Newest).await? else {
        return Ok(());
    };
    let grpc = client(&agent, &token)
        .grpc_at(&format!("http://{}", agent.grpc_addr()))
        .expect("gRPC");
    let source = GrpcSource::new(grpc, name("web"), "dc1").rotation_spread(Duration::from_secs(2));
    let identity = Identity::connect(source, IdentityConfig::default())
        .await
        .expect("an identity");
    let before = identity.status().leaf_serial;
    agent
        .configure_ca_without_cross_signing(
            &json!({ "PrivateKeyType": "rsa", "PrivateKeyBits": 2048 }),
        )
        .await?;
    let took = until(&identity, |identity| {
        identity.status().leaf_serial != before
    })
    .await;
    println!("forced to RSA: new leaf after {took:?}");
    assert!(identity.status().fault.is_none(), "{}", identity.status());
    Ok(())
}

#[tokio::test]
async fn a_token_that_may_not_sign_fails_at_once_and_says_so() -> Result<(), Error> {
    let Some((agent, token)) = mesh(Version::Newest).await? else {
        return Ok(());
    };
    let consul = client(&agent, &token);
    let grpc = consul
        .grpc_at(&format!("http://{}", agent.grpc_addr()))
        .expect("gRPC");
    let begun = Instant::now();
    let over_grpc = Identity::connect(
        GrpcSource::new(grpc, name("db"), "dc1"),
        IdentityConfig::default(),
    )
    .await;
    let over_http = Identity::connect(
        AgentSource::new(consul, name("db")),
        IdentityConfig::default(),
    )
    .await;
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    for refused in [over_grpc, over_http] {
        let mut text = String::new();
        let mut cause: Option<&dyn std::error::Error> =
            Some(refused.as_ref().expect_err("no permission"));
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        println!("refused{text}");
        assert!(text.contains("ermission denied"), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_source_is_chosen_from_what_the_agent_offers() -> Result<(), Error> {
    let Some((agent, token)) = mesh(Version::Newest).await? else {
        return Ok(());
    };
    let service = name("web");
    let choose = async |config: Config| {
        let client = Client::new(config).expect("a client");
        let patience = SelectConfig::default().within(Duration::from_secs(5));
        source::select(&client, &service, &patience).await
    };

    let configured = format!("http://{}", agent.grpc_addr())
        .parse()
        .expect("an address");
    let chosen = choose(config(&agent, &token).with_grpc_address(configured))
        .await
        .expect("a source");
    assert!(chosen.reason.contains("is configured"), "{}", chosen.reason);
    assert_eq!(chosen.datacenter, "dc1");
    Identity::connect(chosen.source, IdentityConfig::default())
        .await
        .expect("it works");

    // A configured address that fails is an error of its own, never a reason to fall back.
    let nobody = "http://127.0.0.1:1".parse().expect("an address");
    let chosen = choose(config(&agent, &token).with_grpc_address(nobody))
        .await
        .expect("a source");
    assert!(
        chosen.source.describe().contains("127.0.0.1:1"),
        "{chosen:?}"
    );
    let short = IdentityConfig::default().ready_within(Duration::from_secs(2));
    Identity::connect(chosen.source, short)
        .await
        .expect_err("nobody is there");

    let management = agent.token().expect("ACLs are on").to_owned();
    let chosen = choose(config(&agent, &management)).await.expect("a source");
    assert!(
        chosen.reason.contains("agent/self names"),
        "{}",
        chosen.reason
    );

    // The service's own token may not read agent/self, and no port is guessed.
    let chosen = choose(config(&agent, &token)).await.expect("a source");
    assert!(
        chosen.reason.contains("no gRPC address") && chosen.reason.contains("agent/self"),
        "{}",
        chosen.reason
    );
    println!("{}", chosen.reason);
    Identity::connect(chosen.source, IdentityConfig::default())
        .await
        .expect("it works");

    let refused = choose(config(&agent, "00000000-1111-2222-3333-444444444444"))
        .await
        .expect_err("an unknown token");
    assert!(refused.is_permanent(), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn a_consul_that_is_away_is_waited_for_and_then_named() -> Result<(), Error> {
    let config = Config::new("http://127.0.0.1:1").expect("an address");
    let client = Client::new(config).expect("a client");
    let begun = Instant::now();
    let patience = SelectConfig::default().within(Duration::from_secs(1));
    let error = source::select(&client, &name("web"), &patience)
        .await
        .expect_err("nobody is there");
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(
        !error.is_permanent() && error.to_string().contains("127.0.0.1:1"),
        "{error}"
    );
    Ok(())
}
