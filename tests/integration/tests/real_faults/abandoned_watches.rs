//! Consul goes on with most long polls whose client has gone, and gives a host 200 connections.

use consul_api::health::ServiceEntry;
use futures_util::StreamExt as _;
use mesh_lab::Version;
use mesh_tests::real::client;
use tokio::time::Instant;

#[tokio::test]
async fn a_thousand_watches_made_and_dropped_do_not_lock_the_host_out() {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return;
    };
    let agent = consul.start().await.unwrap();
    let consul = client(&agent, None);
    let began = Instant::now();
    for number in 0..1000 {
        let read = consul.discovery_chain().get(format!("api-{number}"));
        let mut watch = read.watch();
        watch.next().await.unwrap().unwrap();
        // The long poll is on its way, or waits for its turn.
        while watch.status().requests < 2 {
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
    }
    println!("1,000 watches: {:?}", began.elapsed());
    // Another process of this host.
    let other = client(&agent, None);
    let entries: Vec<ServiceEntry> = other.health().connect("api").await.unwrap().value;
    assert!(entries.is_empty());
    let logs = agent.logs();
    assert!(!logs.contains("too many"), "{logs}");
}
