//! The servers, while the agents of the hosts live.

use std::time::Duration;

use mesh_lab::Version;
use mesh_tests::{
    Scale,
    hosts::{Hosts, is_whole, log, outage},
    peers::becomes,
    scale,
};

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
        let status = calling.api.status();
        assert!(status.is_ready(), "the agent answers for it: {status}");
    };
    let away = Duration::from_secs(seconds);
    let ((port, ready), ()) = tokio::join!(outage(&hosts.server, away, false), ask);
    becomes("live again", async || calling.is_whole()).await;
    println!(
        "live {:?} after the server's port answered, {:?} after it was ready",
        port.elapsed(),
        ready.elapsed()
    );
    let lines = log.take();
    println!("{} lines of log, as {:?}", lines.len(), lines.first());
    // An election may take ten seconds more.
    let most = 5 * usize::try_from(seconds + 15).unwrap();
    assert!(lines.len() <= most, "{}", lines.join("\n"));
    calling.goes_on("after").await;
    calling.end().await;
}
