//! An instance stays in the catalog of a real Consul while it runs, whatever happens to its agent, and not after.

use std::time::Duration;

use axum::{Router, routing::get};
use mesh_lab::{Agent, Program, Version};
use mesh_tests::{
    peers::becomes,
    real::{client, eventually},
    real_mesh::{Source, member, serving},
};
use tokio::time::Instant;
use tower_mesh::{Client, Peer};

fn hello() -> Router {
    Router::new().route(
        "/",
        get(async |caller: Peer| caller.id().service().to_string()),
    )
}

/// How many instances of `service` are passing, as `agent` sees it; `None` while it does not answer.
async fn passing(agent: &Agent, service: &str) -> Option<usize> {
    let read = client(agent, None).health().connect(service).passing();
    Some(read.await.ok()?.value.len())
}

async fn is_registered_again_after_its_agent_was_wiped(version: Version) {
    let Some(consul) = mesh_lab::consul(version) else {
        return;
    };
    let (server, agent) = consul.start_pair().await.unwrap();
    let api = member(&agent, "api", Source::Agent, None)
        .join()
        .await
        .unwrap();
    let served = serving(&api, hello()).await;
    let caller = member(&server, "caller", Source::Grpc, None)
        .join()
        .await
        .unwrap();
    let upstream = caller.client("api");
    let call = async || upstream.get("/").send().await?.text().await;
    assert_eq!(call().await.unwrap(), "caller");

    agent.kill().await.unwrap();
    agent.wipe().unwrap();
    // Nothing that hung on the agent is needed for what is going on.
    assert_eq!(call().await.unwrap(), "caller");
    agent.restart().await.unwrap();
    let (_, after) = eventually("registered again", async || {
        let its_own = client(&agent, None).agent().services().await.ok()?.value;
        (its_own.len() == 1 && passing(&server, "api").await == Some(1)).then_some(())
    })
    .await;
    println!("{version}: the instance is back {after:?} after its wiped agent answers");
    assert_eq!(call().await.unwrap(), "caller");
    // The agent has it before its answer is here.
    becomes("the status says so", async || {
        let status = api.status();
        status.is_ready().then_some(()).ok_or(status.to_string())
    })
    .await;

    api.shutdown().await;
    served.await.unwrap().unwrap();
    let (_, after) = eventually("deregistered", async || {
        (passing(&server, "api").await == Some(0)).then_some(())
    })
    .await;
    println!("{version}: gone {after:?} after it left");
}

#[tokio::test]
async fn an_instance_is_registered_again_after_its_agent_was_wiped() {
    is_registered_again_after_its_agent_was_wiped(Version::Newest).await;
}

#[tokio::test]
async fn an_instance_is_registered_again_after_its_oldest_agent_was_wiped() {
    is_registered_again_after_its_agent_was_wiped(Version::Oldest).await;
}

async fn started(agent: &Agent, service: &str) -> Program {
    let program = Program::start(
        env!("CARGO_BIN_EXE_mesh-member"),
        [service],
        agent.environment(),
    )
    .unwrap();
    program.says("ready").await.unwrap();
    program
}

/// One request that takes long, begun.
async fn slow(upstream: &Client) -> tokio::task::JoinHandle<Result<String, tower_mesh::Error>> {
    let begun = async || {
        let count = upstream.get("/begun").send().await?.text().await?;
        Ok::<_, tower_mesh::Error>(count)
    };
    let before = begun().await.unwrap();
    let client = upstream.clone();
    let task = tokio::spawn(async move {
        let response = client.get("/slow/1500").send().await?;
        response.error_for_status()?.text().await
    });
    eventually("it has begun", async || {
        (begun().await.unwrap() != before).then_some(())
    })
    .await;
    task
}

#[tokio::test]
async fn sigterm_ends_an_instance_that_finishes_what_it_began_and_leaves_the_catalog() {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return;
    };
    let agent = consul.start().await.unwrap();
    let api = started(&agent, "api").await;
    let caller = member(&agent, "caller", Source::Grpc, None)
        .join()
        .await
        .unwrap();
    let upstream = caller.client("api");
    let slow = slow(&upstream).await;

    let told = Instant::now();
    api.terminate().unwrap();
    let (_, after) = eventually("critical, or gone", async || {
        (passing(&agent, "api").await == Some(0)).then_some(())
    })
    .await;
    println!("not to be called any more after {after:?}");
    assert_eq!(slow.await.unwrap().unwrap(), "done");
    assert!(api.ended().await.unwrap().success(), "{}", api.output());
    println!("ended after {:?}", told.elapsed());
    api.says("left").await.unwrap();
    let services = client(&agent, None).agent().services().await.unwrap().value;
    assert!(services.is_empty(), "{services:?}");
}

#[tokio::test]
async fn the_place_of_an_instance_that_ends_is_taken_by_another_without_a_failed_request() {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return;
    };
    let agent = consul.start().await.unwrap();
    let first = started(&agent, "api").await;
    let caller = member(&agent, "caller", Source::Grpc, None)
        .join()
        .await
        .unwrap();
    let upstream = caller.client("api");
    let second = started(&agent, "api").await;
    first.terminate().unwrap();
    let (mut calls, end) = (0_usize, Instant::now() + Duration::from_secs(60));
    while first.exited().unwrap().is_none() {
        assert!(Instant::now() < end, "{}", first.output());
        let answer = upstream.get("/").send().await.unwrap();
        let text = answer.error_for_status().unwrap().text().await.unwrap();
        assert!(text.starts_with("caller -> api "), "{text}");
        calls += 1;
    }
    let text = upstream.get("/").send().await.unwrap().text().await;
    assert_eq!(text.unwrap(), format!("caller -> api {}", second.id()));
    println!("{calls} calls while one of two ended, 0 failed");
}
