//! The agent of the caller, and of the called.

use std::time::Duration;

use mesh_lab::{Agent, Version};
use mesh_tests::{
    Scale,
    hosts::{Calling, Hosts, is_whole, log, outage, passing},
    peers::becomes,
    real::client,
    scale,
};
use tokio::time::Instant;
use tower_mesh::Mesh;

/// Warnings and errors a second of an outage, of two members together, at most.
const LINES: usize = 5;

/// Prints how long after the port answered it is so.
fn print(what: &str, (port, ready): (Instant, Instant)) {
    println!(
        "{what}: {:?} after the port answered, {:?} after the agent was ready",
        port.elapsed(),
        ready.elapsed()
    );
}

/// Kills the agent of one of the two, for longer and longer, and once has it lose everything.
async fn requests_go_on_without(agent: &Agent, whose: &str, member: &Mesh, calling: &Calling) {
    let consul = client(agent, None);
    let log = log();
    let mut outages = vec![(1, false), (10, false), (1, true)];
    if scale() == Scale::Full {
        outages.push((60, false));
    }
    for (seconds, wiped) in outages {
        calling.goes_on("before").await;
        let _ = log.take();
        let what = format!("the agent of {whose} away for {seconds} s, wiped: {wiped}");
        let ask = async {
            becomes("the status says that it is away", async || {
                match is_whole(member) {
                    Ok(()) => Err("all is well".to_owned()),
                    Err(_) => Ok(()),
                }
            })
            .await;
            calling.goes_on("with the agent away").await;
        };
        let (since, ()) = tokio::join!(outage(agent, Duration::from_secs(seconds), wiped), ask);
        becomes(&what, async || is_whole(member)).await;
        print(&format!("{what}: {whose} is whole"), since);
        becomes("registered", async || {
            let found = passing(&consul, "api").await?;
            (found == 1).then_some(()).ok_or(format!("{found} passing"))
        })
        .await;
        print(&format!("{what}: the called passes"), since);
        becomes(&what, async || calling.is_whole()).await;
        print(&format!("{what}: both are whole"), since);
        calling.goes_on(&what).await;
        let lines = log.take();
        println!("{} lines of log, as {:?}", lines.len(), lines.first());
        let most = LINES * usize::try_from(seconds + 2).unwrap();
        assert!(lines.len() <= most, "{}", lines.join("\n"));
    }
}

#[tokio::test]
async fn requests_go_on_while_the_callers_agent_is_killed_and_wiped() {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return;
    };
    let hosts = Hosts::start(consul).await;
    let calling = hosts.calling().await;
    requests_go_on_without(&hosts.here, "the caller", &calling.caller, &calling).await;
    calling.end().await;
}

#[tokio::test]
async fn requests_go_on_while_the_agent_of_the_called_is_killed_and_wiped() {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return;
    };
    let hosts = Hosts::start(consul).await;
    let calling = hosts.calling().await;
    requests_go_on_without(&hosts.there, "the called", &calling.api, &calling).await;
    calling.end().await;
}

#[tokio::test]
async fn an_instance_is_called_although_consul_takes_its_node_for_dead() {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return;
    };
    let hosts = Hosts::start(consul).await;
    let calling = hosts.calling().await;
    calling.goes_on("before").await;
    hosts.there.kill().await.unwrap();
    // With the node the instance turns critical.
    becomes(
        "every instance is used although its node fails",
        async || {
            let status = calling.traffic.client.status();
            status.in_grace.then_some(()).ok_or(format!("{status:?}"))
        },
    )
    .await;
    calling.goes_on("in the grace").await;
    let since = outage(&hosts.there, Duration::from_secs(1), true).await;
    becomes("both are whole", async || calling.is_whole()).await;
    print("both are whole", since);
    calling.goes_on("after").await;
    calling.end().await;
}
