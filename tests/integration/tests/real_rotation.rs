//! Roots rotate, and with them every leaf, and no request fails.

use std::time::Duration;

use consul_api::{Client, Config};
use consul_connect::identity::source::AgentSource;
use consul_dev::ConsulDev;
use mesh_lab::{Version, load::Load};
use mesh_tests::{
    Scale,
    hosts::{Calling, Hosts},
    real::eventually,
    real_mesh::{Source, member},
    scale,
};
use serde_json::json;
use tower_mesh::{Mesh, MeshBuilder};

/// As many as are answered when it is a proof; else what leaves a shared machine some air.
fn load() -> Load {
    let load = Load::new(24);
    match scale() {
        Scale::Full => load,
        _ => load.rate(800.0),
    }
}

fn serial(mesh: &Mesh) -> String {
    mesh.identity().status().leaf_serial
}

/// Waits until both have other leafs than these, and nothing to complain of.
async fn renewed(calling: &Calling, before: &[String; 2]) -> Duration {
    let members = [&calling.api, &calling.caller];
    let (_, after) = eventually("both have new leafs", async || {
        let renewed = members.iter().zip(before).all(|(mesh, before)| {
            serial(mesh) != *before && mesh.identity().status().fault.is_none()
        });
        renewed.then_some(())
    })
    .await;
    after
}

fn serials(calling: &Calling) -> [String; 2] {
    [serial(&calling.api), serial(&calling.caller)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_the_roots_of_a_real_consul_rotate() {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return;
    };
    let (rotations, requests) = (scale().of(10), scale().of(500_000));
    let hosts = Hosts::start(consul).await;
    let api = member(&hosts.there, "api", Source::Grpc, None);
    let caller = member(&hosts.here, "caller", Source::Agent, None);
    let calling = Calling::under(api, caller, load()).await;
    let keys = [("ec", 384), ("rsa", 2048), ("ec", 256)];
    for number in 0..rotations {
        let before = serials(&calling);
        let (kind, bits) = keys[usize::try_from(number).unwrap() % keys.len()];
        let key = json!({ "PrivateKeyType": kind, "PrivateKeyBits": bits });
        hosts.server.configure_ca(&key).await.unwrap();
        let after = renewed(&calling, &before).await;
        calling.more(requests / rotations).await;
        println!(
            "{kind} {bits}: new leafs after {after:?}; {}",
            calling.report().done()
        );
        assert_eq!(calling.report().failed(), 0, "{}", calling.report());
    }
    let report = calling.end().await;
    assert!(report.ok >= requests, "{report}");
}

fn dev_member(dev: &ConsulDev, service: &str) -> MeshBuilder {
    let config = Config::new(dev.http_addr()).unwrap();
    let client = Client::new(config.clone()).unwrap();
    Mesh::builder(service)
        .consul(config)
        .identity_source(AgentSource::new(client, service.parse().unwrap()))
        .drain_grace(Duration::from_millis(200))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_leafs_and_roots_are_replaced_a_hundred_times() {
    let (leafs, roots) = (scale().of(100), scale().of(10));
    let requests = scale().of(1_000_000);
    let dev = ConsulDev::builder()
        .leaf_jitter(Duration::from_millis(100))
        .start()
        .await
        .unwrap();
    let (api, caller) = (dev_member(&dev, "api"), dev_member(&dev, "caller"));
    let calling = Calling::under(api, caller, load()).await;
    let share = requests / (leafs + roots);
    for number in 0..leafs + roots {
        let before = serials(&calling);
        // One root to every so many leafs.
        if number % (leafs / roots + 1) == 0 {
            dev.rotate_root().unwrap();
        } else {
            dev.reissue_leafs();
        }
        let after = renewed(&calling, &before).await;
        calling.more(share).await;
        println!(
            "{number}: new leafs after {after:?}; {}",
            calling.report().done()
        );
        assert_eq!(calling.report().failed(), 0, "{}", calling.report());
    }
    let report = calling.end().await;
    assert!(
        report.ok >= requests / (leafs + roots) * (leafs + roots),
        "{report}"
    );
}
