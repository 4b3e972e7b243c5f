//! Members speak the TLS that the `mesh` config entry asks for, or what the program says instead.

use std::time::Duration;

use consul_dev::ConsulDev;
use tokio::{task::JoinHandle, time::Instant};
use tower_mesh::{
    Mesh, MeshBuilder,
    consul_api::{
        Config,
        config_entry::{ConfigEntry, Mesh as Entry, MeshTls, MeshTlsDirection},
    },
    consul_connect::{SettingsOrigin, TlsParameters, TlsVersion},
};

fn member(consul: &ConsulDev, service: &str) -> MeshBuilder {
    let grpc = consul.grpc_addr().parse().expect("an address");
    let config = Config::new(consul.http_addr())
        .expect("an address")
        .with_grpc_address(grpc);
    Mesh::builder(service)
        .consul(config)
        .drain_grace(Duration::from_millis(100))
}

async fn accepting(mesh: &Mesh) -> JoinHandle<()> {
    let mut listener = mesh.listen("127.0.0.1:0").await.expect("a socket");
    let task = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Some(stream) = listener.accept().await {
            open.push(stream);
        }
    });
    mesh.ready().await.expect("ready");
    task
}

async fn write(mesh: &Mesh, incoming: MeshTlsDirection, outgoing: MeshTlsDirection) {
    let mut tls = MeshTls::default();
    (tls.incoming, tls.outgoing) = (Some(incoming), Some(outgoing));
    let mut entry = Entry::default();
    entry.tls = Some(tls);
    let entry = ConfigEntry::Mesh(Box::new(entry));
    let written = mesh.consul().config_entries().set(&entry).await;
    written.expect("written");
}

fn at_most(version: &str) -> MeshTlsDirection {
    let mut limits = MeshTlsDirection::default();
    limits.tls_max_version = version.to_owned();
    limits
}

/// Opens streams until one has this version.
async fn until(web: &Mesh, service: &str, version: TlsVersion) {
    let began = Instant::now();
    loop {
        let stream = web.connect(service).await.expect("a stream");
        if stream.negotiated().version == version {
            return;
        }
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{:?} for ever",
            stream.negotiated()
        );
    }
}

#[tokio::test]
async fn the_next_stream_obeys_the_mesh_entry() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let api = member(&consul, "api").join().await.expect("joined");
    let free = member(&consul, "free").tls_parameters(TlsParameters::default());
    let free = free.join().await.expect("joined");
    let web = member(&consul, "web").join().await.expect("joined");
    let _accepting = (accepting(&api).await, accepting(&free).await);
    for service in ["api", "free"] {
        until(&web, service, TlsVersion::V1_3).await;
    }
    assert!(api.status().to_string().contains(
        "tls: callers by TLS 1.2 or TLS 1.3, calls by TLS 1.2 or TLS 1.3, there is no `mesh` entry"
    ));

    write(&api, at_most("TLSv1_2"), MeshTlsDirection::default()).await;
    until(&web, "api", TlsVersion::V1_2).await;
    until(&free, "api", TlsVersion::V1_2).await;
    // A program that says it itself does not look at the entry.
    until(&web, "free", TlsVersion::V1_3).await;
    assert_eq!(free.status().tls.origin, SettingsOrigin::Given);

    write(&api, MeshTlsDirection::default(), at_most("TLSv1_2")).await;
    until(&web, "free", TlsVersion::V1_2).await;
    until(&free, "api", TlsVersion::V1_3).await;
}

#[tokio::test]
async fn a_server_that_cannot_speak_what_is_asked_for_is_not_ready_and_says_why() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let api = member(&consul, "api").join().await.expect("joined");
    let _accepting = accepting(&api).await;
    assert!(api.status().is_ready());
    write(&api, at_most("TLSv1_1"), MeshTlsDirection::default()).await;
    let began = Instant::now();
    while api.status().is_ready() {
        assert!(began.elapsed() < Duration::from_secs(20), "still ready");
        tokio::task::yield_now().await;
    }
    let status = api.status().to_string();
    assert!(
        status.contains("callers by NOTHING (the maximum is TLS 1.1"),
        "{status}"
    );
    let web = member(&consul, "web").join().await.expect("joined");
    let error = web.connect("api").await.expect_err("refused");
    assert_eq!(error.kind(), tower_mesh::ErrorKind::Connect, "{error:?}");
}
