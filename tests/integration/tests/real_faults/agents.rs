//! The agent of the caller, and of the called.

use std::time::Duration;

use mesh_lab::{Agent, Version};
use mesh_tests::{
    Scale,
    hosts::{Calling, Hosts, is_whole, log, outage},
    peers::becomes,
    real::client,
    scale,
};
use tokio::time::Instant;

/// Warnings and errors a second of an outage, of two members together, at most.
const LINES: usize = 5;

async fn passing(agent: &Agent) -> Result<(), String> {
    let read = client(agent, None).health().connect("api").passing();
    let found = read.await.map_err(|error| error.to_string())?.value.len();
    (found == 1).then_some(()).ok_or(format!("{found} passing"))
}

/// Prints how long after the port answered everything is live again.
async fn live_again(what: &str, since: (Instant, Instant), calling: &Calling) {
    becomes(what, async || calling.is_whole()).await;
    let (port, ready) = since;
    println!(
        "{what}: {:?} after the port answered, {:?} after the agent was ready",
        port.elapsed(),
        ready.elapsed()
    );
}

#[tokio::test]
async fn requests_go_on_while_the_callers_agent_is_killed_and_wiped() {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return;
    };
    let hosts = Hosts::start(consul).await;
    let calling = hosts.calling().await;
    let log = log();
    let mut outages = vec![(1, false), (10, false), (1, true)];
    if scale() == Scale::Full {
        outages.push((60, false));
    }
    for (seconds, wiped) in outages {
        calling.goes_on("before").await;
        let _ = log.take();
        let what = format!("the caller's agent away for {seconds} s, wiped: {wiped}");
        let ask = async {
            becomes("the status says that it is away", async || {
                match is_whole(&calling.caller) {
                    Ok(()) => Err("all is well".to_owned()),
                    Err(_) => Ok(()),
                }
            })
            .await;
            calling.goes_on("with the caller's agent away").await;
        };
        let (since, ()) = tokio::join!(
            outage(&hosts.here, Duration::from_secs(seconds), wiped),
            ask
        );
        live_again(&what, since, &calling).await;
        calling.goes_on(&what).await;
        let lines = log.take();
        println!("{} lines of log, as {:?}", lines.len(), lines.first());
        let most = LINES * usize::try_from(seconds + 2).unwrap();
        assert!(lines.len() <= most, "{}", lines.join("\n"));
    }
    calling.end().await;
}

#[tokio::test]
async fn requests_go_on_while_the_agent_of_the_called_is_killed_and_wiped() {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return;
    };
    let hosts = Hosts::start(consul).await;
    let calling = hosts.calling().await;
    calling.goes_on("before").await;
    hosts.there.kill().await.unwrap();
    hosts.there.wipe().unwrap();
    // Consul takes the node for dead, and with it the instance.
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
    becomes("registered again", async || passing(&hosts.there).await).await;
    println!(
        "registered with the wiped agent {:?} after its port answered, {:?} after it was ready",
        since.0.elapsed(),
        since.1.elapsed()
    );
    live_again("the agent of the called, wiped", since, &calling).await;
    calling.goes_on("after").await;
    calling.end().await;
}
