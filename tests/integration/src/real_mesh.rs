//! Members of a real Consul's mesh.

use std::time::Duration;

use axum::Router;
use consul_connect::identity::source::AgentSource;
use mesh_lab::Agent;
use tokio::{net::TcpListener, task::JoinHandle};
use tower_mesh::{Error, Mesh, MeshBuilder};

use crate::real::client;

/// Where the members of a test take their identity from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// Keys of their own, signed over gRPC.
    Grpc,
    /// The agent's leafs.
    Agent,
}

/// A member to be, with stops that do not take long.
pub fn member(agent: &Agent, service: &str, source: Source, token: Option<&str>) -> MeshBuilder {
    let consul = client(agent, token);
    let builder = Mesh::builder(service)
        .consul(consul.config().clone())
        .drain_grace(Duration::from_millis(200))
        .drain_deadline(Duration::from_secs(5));
    match source {
        Source::Grpc => builder,
        Source::Agent => builder.identity_source(AgentSource::new(
            consul,
            service.parse().expect("a service name"),
        )),
    }
}

/// Serves `app` as `mesh`, and waits until it is in the catalog.
pub async fn serving(mesh: &Mesh, app: Router) -> JoinHandle<Result<(), Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let server = mesh.clone();
    let task = tokio::spawn(async move { server.serve_on(listener, app).await });
    mesh.ready().await.expect("ready");
    task
}

/// Serves an echo of byte streams as `mesh`, and waits until it is in the catalog.
pub async fn echoing(mesh: &Mesh) -> JoinHandle<()> {
    let mut listener = mesh.listen("127.0.0.1:0").await.expect("a socket");
    let task = tokio::spawn(async move {
        while let Some(stream) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = tokio::io::split(stream);
                tokio::io::copy(&mut reader, &mut writer).await
            });
        }
    });
    mesh.ready().await.expect("ready");
    task
}
