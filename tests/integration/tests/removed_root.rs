//! A root that Consul withdraws takes with it what hung on it: on members that follow a development Consul, in and out.

use std::{io::ErrorKind, sync::Arc, time::Duration};

use consul_connect::{Material, identity::source::fixed};
use consul_dev::ConsulDev;
use mesh_tests::real::eventually;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tower_mesh::{Mesh, tcp};

const LONG: Duration = Duration::from_secs(30);

/// A member that renews what it has as Consul wants it.
async fn following(consul: &Arc<ConsulDev>, service: &str) -> Mesh {
    let mesh = Mesh::builder(service).dev(consul).join().await;
    mesh.expect("joined")
}

/// A member that stays with the leaf and the roots of now.
async fn standing_still(consul: &Arc<ConsulDev>, service: &str) -> Mesh {
    let client =
        consul_api::Client::new(consul_api::Config::new(consul.http_addr()).expect("an address"))
            .expect("a client");
    let leaf = client.agent().connect_ca_leaf(service).await;
    let roots = client.agent().connect_ca_roots().await.expect("the roots");
    let leaf = leaf.expect("a leaf").value;
    let roots = roots.value.roots.iter().map(|r| r.root_cert.clone());
    let material = Material::new(
        leaf.cert_pem,
        leaf.private_key_pem.expose().to_owned(),
        roots.collect(),
    );
    let builder = Mesh::builder(service)
        .dev(consul)
        .identity_source(fixed(material));
    builder.join().await.expect("joined")
}

async fn echoing(mesh: &Mesh) -> tokio::task::JoinHandle<()> {
    mesh_tests::real_mesh::echoing(mesh).await
}

async fn echo(stream: &mut tcp::Stream) -> std::io::Result<()> {
    stream.write_all(b"x").await?;
    stream.flush().await?;
    stream.read_exact(&mut [0]).await.map(drop)
}

async fn connected(from: &Mesh, to: &str) -> tcp::Stream {
    let mut stream = from.connect(to).await.expect("a connection");
    echo(&mut stream).await.expect("an echo");
    stream
}

#[tokio::test]
async fn what_hung_on_a_root_that_consul_withdraws_is_cut_in_and_out_and_what_does_not_goes_on() {
    let consul = Arc::new(ConsulDev::start().await.expect("a Consul"));
    let old_root = consul.active_root();
    let (web, api) = (
        following(&consul, "web").await,
        following(&consul, "api").await,
    );
    let stuck = standing_still(&consul, "stuck").await;
    let _servers = (echoing(&api).await, echoing(&stuck).await);
    let mut out = connected(&web, "stuck").await;
    let mut inn = connected(&stuck, "api").await;

    let serials = [web.status(), api.status()].map(|status| status.identity.leaf_serial);
    consul.rotate_root().expect("rotated");
    eventually("new leafs", async || {
        let now = [web.status(), api.status()].map(|status| status.identity.leaf_serial);
        (now[0] != serials[0] && now[1] != serials[1]).then_some(())
    })
    .await;
    // Both roots are trusted: whoever is late may still be talked to.
    let mut renewed = connected(&web, "api").await;
    for stream in [&mut out, &mut inn] {
        echo(stream).await.expect("an echo under the old root");
    }

    consul.remove_root(&old_root).expect("removed");
    let cut = timeout(LONG, out.read_u8()).await.expect("cut in time");
    assert_eq!(
        cut.expect_err("cut").kind(),
        ErrorKind::ConnectionAborted,
        "by ourselves"
    );
    timeout(LONG, inn.read_u8())
        .await
        .expect("cut in time")
        .expect_err("cut by the other side");
    let refused = web.connect("stuck").await.expect_err("another root");
    assert_eq!(
        refused.kind(),
        tower_mesh::ErrorKind::Identity,
        "{refused:?}"
    );
    echo(&mut renewed).await.expect("an echo that goes on");
    connected(&web, "api").await;
}
