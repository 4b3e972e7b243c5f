//! Members normalise requests as the `mesh` config entry asks, or as the program says instead.

use std::time::Duration;

use axum::{Router, extract::Request};
use consul_dev::ConsulDev;
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};
use tower_mesh::{
    Client, Mesh, MeshBuilder,
    consul_api::{
        Config,
        config_entry::{
            ConfigEntry, Mesh as Entry, MeshHttp, MeshHttpIncoming, RequestNormalization as Wire,
        },
    },
    consul_connect::{RequestNormalization, SettingsOrigin, TlsParameters},
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

/// Serves what tells the path it sees.
async fn telling(mesh: &Mesh) -> JoinHandle<Result<(), tower_mesh::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let server = mesh.clone();
    let app = Router::new().fallback(async |request: Request| request.uri().path().to_owned());
    let task = tokio::spawn(async move { server.serve_on(listener, app).await });
    mesh.ready().await.expect("ready");
    task
}

async fn write(mesh: &Mesh, change: impl FnOnce(&mut Wire)) {
    let mut wire = Wire::default();
    change(&mut wire);
    let mut incoming = MeshHttpIncoming::default();
    incoming.request_normalization = Some(wire);
    let mut http = MeshHttp::default();
    http.incoming = Some(incoming);
    let mut entry = Entry::default();
    entry.http = Some(http);
    let entry = ConfigEntry::Mesh(Box::new(entry));
    let written = mesh.consul().config_entries().set(&entry).await;
    written.expect("written");
}

/// The status, and the path the application saw.
async fn ask(client: &Client, path: &str) -> (u16, String) {
    let response = client.get(path).send().await.expect("an answer");
    let status = response.status().as_u16();
    (status, response.text().await.expect("text"))
}

/// Asks until this is the answer.
async fn until(client: &Client, path: &str, wanted: (u16, &str)) {
    let began = Instant::now();
    loop {
        let (status, text) = ask(client, path).await;
        if (status, text.as_str()) == wanted {
            return;
        }
        let waited = began.elapsed();
        assert!(waited < Duration::from_secs(20), "{path}: {status} {text}");
    }
}

#[tokio::test]
async fn the_next_request_obeys_the_mesh_entry() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let api = member(&consul, "api").join().await.expect("joined");
    let free = member(&consul, "free").tls_parameters(TlsParameters::default());
    let free = free.join().await.expect("joined");
    let mut rules = RequestNormalization::default();
    rules.insecure_disable_path_normalization = true;
    let given = member(&consul, "given").request_normalization(rules);
    let given = given.join().await.expect("joined");
    let web = member(&consul, "web").join().await.expect("joined");
    let _serving = (
        telling(&api).await,
        telling(&free).await,
        telling(&given).await,
    );
    let client = |service| web.client(service);

    for service in ["api", "free"] {
        let seen = ask(&client(service), "/a/../b//%63").await;
        assert_eq!(seen, (200, "/b//c".to_owned()), "{service}");
    }
    let unlike = ask(&client("given"), "/a/../b//%63").await;
    assert_eq!(unlike, (200, "/a/../b//%63".to_owned()));

    write(&web, |wire| wire.merge_slashes = true).await;
    until(&client("api"), "/b//c", (200, "/b/c")).await;
    // The TLS of this member was given, and the rest of the entry is followed all the same.
    until(&client("free"), "/b//c", (200, "/b/c")).await;
    let status = free.status();
    assert_eq!(status.tls.origin, SettingsOrigin::Given);
    assert_eq!(status.normalization.origin, SettingsOrigin::MeshEntry);
    assert_eq!(ask(&client("given"), "/b//c").await.1, "/b//c");
    assert_eq!(given.status().normalization.origin, SettingsOrigin::Given);
    assert!(given.status().to_string().contains("NOT NORMALIZED"));

    write(&web, |wire| {
        wire.headers_with_underscores_action = "SHOUT".into();
    })
    .await;
    until(&client("api"), "/", (403, "RBAC: access denied")).await;
    let status = api.status();
    assert!(!status.is_ready(), "{status}");
    assert!(status.to_string().contains("`SHOUT`"), "{status}");
    assert_eq!(ask(&client("given"), "/").await.0, 200);

    write(&web, |_| {}).await;
    until(&client("api"), "/b//c", (200, "/b//c")).await;
    assert!(api.status().is_ready());
}
