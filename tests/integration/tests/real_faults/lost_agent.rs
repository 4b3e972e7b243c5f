//! Hundreds of watches of one process whose agent is killed.

use std::time::Duration;

use consul_api::{Watch, health::ServiceEntry};
use mesh_lab::Version;
use mesh_tests::{Scale, hosts::outage, peers::becomes, real::client, scale};
use tokio::time::{Instant, sleep};

const WATCHES: usize = 300;
/// Connections a second while there is no agent, at most.
const A_SECOND: f64 = 5.0;

type Watches = [Watch<Vec<ServiceEntry>>];

/// Each request is a connection while none can be kept.
fn requests(watches: &Watches) -> u64 {
    watches.iter().map(|watch| watch.status().requests).sum()
}

async fn all(what: &str, watches: &Watches, fail: bool) {
    becomes(what, async || {
        let others = watches.iter().filter(|watch| {
            let status = watch.status();
            status.last_answer.is_none() || status.failing_for.is_some() != fail
        });
        match others.count() {
            0 => Ok(()),
            others => Err(format!("{others} do not")),
        }
    })
    .await;
}

#[tokio::test]
async fn three_hundred_watches_of_a_killed_agent_connect_five_times_a_second_and_all_come_back() {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return;
    };
    let agent = consul.start().await.unwrap();
    let consul = client(&agent, None);
    let watches: Vec<_> = (0..WATCHES)
        .map(|number| consul.health().connect(format!("api-{number}")).watch())
        .collect();
    all("all are answered", &watches, false).await;
    let mut outages = vec![1, 10];
    if scale() == Scale::Full {
        outages.push(60);
    }
    for seconds in outages {
        let before = requests(&watches);
        agent.kill().await.unwrap();
        all("all know that it is away", &watches, true).await;
        println!("{} connections until then", requests(&watches) - before);
        let (before, began) = (requests(&watches), Instant::now());
        // The fault itself, not a wait for something.
        sleep(Duration::from_secs(seconds)).await;
        let (made, took) = (requests(&watches) - before, began.elapsed().as_secs_f64());
        let rate = made as f64 / took;
        println!("{made} connections in {took:.1} s without an agent, {rate:.1} a second");
        assert!(rate <= A_SECOND, "{rate}");
        let (port, ready) = outage(&agent, Duration::ZERO, false).await;
        all("all are live again", &watches, false).await;
        println!(
            "away for {seconds} s: all are live again {:?} after the port answered, {:?} after the agent was ready",
            port.elapsed(),
            ready.elapsed()
        );
    }
}
