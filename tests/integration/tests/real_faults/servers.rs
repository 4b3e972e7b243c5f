//! The servers, while the agents of the hosts live.

use std::time::Duration;

use mesh_lab::{Agent, Version};
use mesh_tests::{
    Scale,
    hosts::{Hosts, is_again, is_whole, log, outage, passing},
    peers::becomes,
    real::client,
    scale,
};
use tokio::time::Instant;
use tower_mesh::consul_api::Error;

/// What the agent of the caller has in its cache it answers with, and nothing else.
async fn only_the_cache_answers(agent: &Agent) {
    let consul = client(agent, None);
    let leaf = consul.agent().connect_ca_leaf("caller").await;
    leaf.expect("the leaf that was asked for before");
    let roots = consul.agent().connect_ca_roots().await;
    assert_eq!(roots.expect("the roots").meta.cache_hit, Some(true));
    let tell = |what: &str, error: Error| {
        println!("without a server: {what}: {error}");
        let status = error.status().expect("an answer");
        assert!(status.is_server_error() && error.is_retryable(), "{error}");
    };
    let health = consul.health().connect("api").await;
    tell("instances", health.expect_err("no server"));
    let rules = consul.intentions().match_destination("api").await;
    tell("intentions", rules.expect_err("no server"));
    let chain = consul.discovery_chain().get("api").await;
    tell("chain", chain.expect_err("no server"));
    let leaf = consul.agent().connect_ca_leaf("another").await;
    tell("leaf", leaf.expect_err("no server"));
}

/// When an agent can say again who passes.
async fn answers_again(agent: &Agent) -> Instant {
    let consul = client(agent, None);
    is_again("an agent answers", async || {
        passing(&consul, "api").await == Ok(1)
    })
    .await
}

#[tokio::test]
async fn requests_go_on_while_every_server_is_gone() {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return;
    };
    let hosts = Hosts::start(consul.server()).await;
    let calling = hosts.calling().await;
    calling.goes_on("before").await;
    let log = log();
    let seconds = match scale() {
        Scale::Full => 60,
        _ => 5,
    };
    let ask = async {
        becomes(
            "the status says that something is wrong",
            async || match is_whole(&calling.caller) {
                Ok(()) => Err("all is well".to_owned()),
                Err(status) => {
                    println!("{status}");
                    Ok(())
                }
            },
        )
        .await;
        calling.goes_on("without a server").await;
        only_the_cache_answers(&hosts.here).await;
        let status = calling.api.status();
        assert!(status.is_ready(), "the agent answers for it: {status}");
    };
    let away = Duration::from_secs(seconds);
    // What is beyond the election and Consul's own way back is ours.
    let ((port, ready), (), here, there, live) = tokio::join!(
        outage(&hosts.server, away, false),
        ask,
        answers_again(&hosts.here),
        answers_again(&hosts.there),
        is_again("both are whole", async || calling.is_whole().is_ok()),
    );
    println!(
        "after the server's port answered: ready {:?}, the caller's agent answers {:?}, that of the called {:?}, live {:?}",
        ready - port,
        here - port,
        there - port,
        live - port
    );
    let lines = log.take();
    println!("{} lines of log, as {:?}", lines.len(), lines.first());
    // An election may take ten seconds more.
    let most = 5 * usize::try_from(seconds + 15).unwrap();
    assert!(lines.len() <= most, "{}", lines.join("\n"));
    calling.goes_on("after").await;
    calling.end().await;
}
