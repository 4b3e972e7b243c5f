//! What an agent may answer when it is not well.

use std::time::Duration;

use consul_api::Config;
use consul_connect::identity::source::AgentSource;
use mesh_lab::{Fault, FaultProxy, Version};
use mesh_tests::{
    hosts::{Calling, is_whole, log},
    peers::becomes,
    real_mesh::{Source, member},
};
use tokio::time::{Instant, sleep};
use tower_mesh::Mesh;

/// How long each trouble lasts.
const TROUBLE: Duration = Duration::from_secs(3);

#[tokio::test]
async fn requests_go_on_while_the_agent_answers_with_errors_and_limits() {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return;
    };
    let agent = consul.start().await.unwrap();
    let proxy = FaultProxy::to(agent.http_addr()).await.unwrap();
    let consul = Config::new(proxy.address().to_string()).unwrap();
    let client = consul_api::Client::new(consul.clone()).unwrap();
    let caller = Mesh::builder("caller")
        .consul(consul)
        .identity_source(AgentSource::new(client, "caller".parse().unwrap()));
    let calling = Calling::start(member(&agent, "api", Source::Grpc, None), caller).await;
    let log = log();
    for (what, fault) in [
        ("no leader", Fault::no_leader()),
        ("503", Fault::http(503, "error reading from server: EOF")),
        (
            "503 for the rate",
            Fault::http(
                503,
                "rate limit exceeded for operation that can only be performed by the leader",
            ),
        ),
        (
            "429",
            Fault::http(429, "rate limit exceeded, try again later"),
        ),
        ("a stuck agent", Fault::Hang),
        ("resets", Fault::Reset),
    ] {
        calling.goes_on("before").await;
        let _ = log.take();
        let accepted = proxy.accepted();
        proxy.set(fault.clone());
        proxy.break_all();
        if fault != Fault::Hang {
            becomes(
                &format!("{what}: the status says so"),
                async || match is_whole(&calling.caller) {
                    Ok(()) => Err("all is well".to_owned()),
                    Err(_) => Ok(()),
                },
            )
            .await;
        }
        calling.goes_on(what).await;
        // The fault itself, not a wait for something.
        sleep(TROUBLE).await;
        let asked = proxy.accepted() - accepted;
        proxy.set(Fault::Pass);
        let answers = Instant::now();
        becomes(what, async || is_whole(&calling.caller)).await;
        let lines = log.take();
        println!(
            "{what}: live again after {:?}; {asked} connections and {} lines of log within {TROUBLE:?}",
            answers.elapsed(),
            lines.len()
        );
        assert!(lines.len() <= 30, "{}", lines.join("\n"));
        assert!(asked <= 200, "{what}: {asked} connections");
        calling.goes_on("after").await;
    }
    calling.end().await;
}
