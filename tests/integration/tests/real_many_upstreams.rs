//! One process that calls 300 services, at one agent that gives a host so many connections and limits its rate.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use consul_api::Config;
use mesh_lab::{Agent, Fault, FaultProxy, Version};
use mesh_tests::{peers::becomes, real::eventually};
use serde_json::json;
use tokio::time::{Instant, sleep};
use tower_mesh::{Client, Mesh};

const UPSTREAMS: usize = 300;
/// The default of [`Config::with_watch_connections`].
const CONNECTIONS: usize = 32;
const STALE: Duration = Duration::from_secs(10);
const LIMITED: u64 = 10;

async fn register(agent: &Agent, number: usize, instance: usize) {
    let service = json!({
        "Name": format!("api-{number}"), "ID": format!("api-{number}-{instance}"), "Port": instance,
        "Connect": { "Native": true }
    });
    let answer = agent
        .http()
        .put("/v1/agent/service/register", &service)
        .await;
    answer.unwrap().ok().unwrap();
}

/// How many of them know something else than so many instances, or are in trouble.
fn wrong(clients: &[Client], instances: usize) -> usize {
    clients
        .iter()
        .filter(|client| {
            let status = client.status();
            status.usable.len() != instances || status.failing_for.is_some()
        })
        .count()
}

async fn all_know(what: &str, clients: &[Client], instances: usize) {
    becomes(what, async || match wrong(clients, instances) {
        0 => Ok(()),
        wrong => Err(format!("{wrong} do not")),
    })
    .await;
}

async fn follow(proxy: &FaultProxy, agent: &Agent) {
    let grpc = agent.grpc_addr().to_string().parse().unwrap();
    let config = Config::new(proxy.address().to_string())
        .unwrap()
        .with_grpc_address(grpc);
    let mesh = Mesh::builder("caller").consul(config).join().await.unwrap();
    let clients: Vec<Client> = (0..UPSTREAMS)
        .map(|number| mesh.client(format!("api-{number}")))
        .collect();
    all_know("the first instances are known", &clients, 1).await;

    // Long after the start each has its turn.
    sleep(STALE * 2).await;
    let mut latest = Duration::ZERO;
    for number in (0..UPSTREAMS).step_by(UPSTREAMS / 10) {
        register(agent, number, 2).await;
        let (_, after) = eventually("the change is seen", async || {
            (clients[number].status().usable.len() == 2).then_some(())
        })
        .await;
        latest = latest.max(after);
    }
    println!("changes were seen after {latest:?} at the latest");
    assert!(latest <= STALE, "{latest:?}");
    for number in 0..UPSTREAMS {
        register(agent, number, 2).await;
    }
    all_know("the second instances are known", &clients, 2).await;

    proxy.set(Fault::http(429, "rate limit exceeded, try again later"));
    proxy.break_all();
    becomes("all know of the limit", async || {
        match clients
            .iter()
            .filter(|client| client.status().failing_for.is_none())
            .count()
        {
            0 => Ok(()),
            others => Err(format!("{others} do not")),
        }
    })
    .await;
    let before = proxy.accepted();
    // The fault itself, not a wait for something.
    sleep(Duration::from_secs(LIMITED)).await;
    let asked = proxy.accepted() - before;
    println!("{asked} requests in {LIMITED} s of the limit");
    assert!(asked <= LIMITED * 2, "{asked}");
    proxy.set(Fault::Pass);
    let over = Instant::now();
    all_know("all are live again", &clients, 2).await;
    println!("all are live again {:?} after the limit", over.elapsed());
    mesh.shutdown().await;
}

#[tokio::test]
async fn three_hundred_upstreams_share_their_connections_and_honour_a_limit() {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return;
    };
    let agent = consul.start().await.unwrap();
    for number in 0..UPSTREAMS {
        register(&agent, number, 1).await;
    }
    let proxy = FaultProxy::to(agent.http_addr()).await.unwrap();
    let most = AtomicUsize::new(0);
    let count = async {
        loop {
            most.fetch_max(proxy.open(), Ordering::Relaxed);
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = count => {}
        () = follow(&proxy, &agent) => {}
    }
    let most = most.into_inner();
    println!("{most} connections at the same time");
    assert!(most <= CONNECTIONS, "{most}");
}
