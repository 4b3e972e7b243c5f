//! Tokens that are revoked, replaced, or may no longer see what they saw.

use std::fs;

use consul_api::{Config, Token};
use consul_connect::identity::source::AgentSource;
use mesh_lab::{Agent, DefaultPolicy, Version};
use mesh_tests::{
    hosts::{Calling, is_whole, log},
    peers::becomes,
    real_mesh::{Source, member},
};
use serde_json::json;
use tokio::time::Instant;
use tower_mesh::{Mesh, MeshBuilder};

const SEES: &str = r#"service "caller" { policy = "write" } service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }"#;
const BLIND: &str =
    r#"service "caller" { policy = "write" } service_prefix "" { policy = "read" }"#;

async fn agent() -> Option<Agent> {
    let consul = mesh_lab::consul(Version::Newest)?
        .acl(DefaultPolicy::Deny)
        .default_intention_policy("allow");
    Some(consul.start().await.unwrap())
}

async fn api(agent: &Agent) -> MeshBuilder {
    let token = agent.service_token("api").await.unwrap();
    member(agent, "api", Source::Grpc, Some(&token))
}

fn caller(agent: &Agent, token: Token) -> MeshBuilder {
    let consul = Config::new(agent.http_addr().to_string())
        .unwrap()
        .with_token(token);
    let client = consul_api::Client::new(consul.clone()).unwrap();
    Mesh::builder("caller")
        .consul(consul)
        .identity_source(AgentSource::new(client, "caller".parse().unwrap()))
}

async fn told(calling: &Calling, what: &str, word: &str) {
    becomes(what, async || match is_whole(&calling.caller) {
        Err(status) if status.contains(word) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

#[tokio::test]
async fn requests_go_on_with_a_revoked_token_until_its_file_holds_another() {
    let Some(agent) = agent().await else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    let write = |secret: &str| {
        let new = directory.path().join("new");
        fs::write(&new, secret).unwrap();
        fs::rename(new, &file).unwrap();
    };
    let first = agent.service_token("caller").await.unwrap();
    write(&first);
    let calling = Calling::start(api(&agent).await, caller(&agent, Token::file(&file))).await;
    calling.goes_on("before").await;
    let log = log();
    agent.delete_token(&first).await.unwrap();
    told(
        &calling,
        "the status says that the token is unknown",
        "ACL not found",
    )
    .await;
    calling.goes_on("with a revoked token").await;
    let second = agent.service_token("caller").await.unwrap();
    write(&second);
    let written = Instant::now();
    becomes("live again", async || is_whole(&calling.caller)).await;
    println!(
        "live {:?} after the file held another token",
        written.elapsed()
    );
    calling.goes_on("with the new token").await;
    let lines = log.take();
    println!("{} lines of log", lines.len());
    assert!(lines.len() <= 30, "{}", lines.join("\n"));
    let text = format!("{} {}", lines.join("\n"), calling.caller.status());
    assert!(!text.contains(&first) && !text.contains(&second), "{text}");
    calling.end().await;
}

#[tokio::test]
async fn a_token_that_may_no_longer_see_nodes_keeps_the_instances_it_saw() {
    let Some(agent) = agent().await else { return };
    let policy = json!({ "Name": "caller", "Rules": SEES });
    let policy = agent.http().put("/v1/acl/policy", &policy).await.unwrap();
    let id = policy.ok().unwrap()["ID"].as_str().unwrap().to_owned();
    let token = json!({ "Policies": [{ "ID": id }] });
    let token = agent.http().put("/v1/acl/token", &token).await.unwrap();
    let token = token.ok().unwrap()["SecretID"].as_str().unwrap().to_owned();
    let rules = async |rules: &str| {
        let policy = json!({ "ID": id, "Name": "caller", "Rules": rules });
        let path = format!("/v1/acl/policy/{id}");
        agent
            .http()
            .put(&path, &policy)
            .await
            .unwrap()
            .ok()
            .unwrap();
    };
    let calling = Calling::start(api(&agent).await, caller(&agent, Token::new(&token))).await;
    calling.goes_on("before").await;
    rules(BLIND).await;
    // Consul says so with its next answer: a change brings that about.
    agent.set_intention("other", "api", "allow").await.unwrap();
    let touch =
        json!({ "Name": "api", "ID": "api-other", "Port": 1, "Connect": { "Native": true } });
    let register = "/v1/agent/service/register";
    agent
        .http()
        .put(register, &touch)
        .await
        .unwrap()
        .ok()
        .unwrap();
    told(&calling, "the status says what is missing", "node:read").await;
    calling.goes_on("without node:read").await;
    assert_eq!(calling.traffic.instances().len(), 1);
    agent
        .http()
        .put("/v1/agent/service/deregister/api-other", &json!({}))
        .await
        .unwrap()
        .ok()
        .unwrap();
    rules(SEES).await;
    let given = Instant::now();
    becomes("live again", async || is_whole(&calling.caller)).await;
    println!("live {:?} after the right was given back", given.elapsed());
    calling.goes_on("after").await;
    calling.end().await;
}
