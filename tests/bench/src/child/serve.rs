//! Servers: hyper alone, hyper over rustls, and a member of the mesh.

use std::sync::Arc;

use consul_connect::Material;
use hyper::{
    rt::{Read, Write},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;
use tower_mesh::Mesh;

use super::{Protocol, bench::Bench};
use crate::{Failure, bare};

pub(super) async fn plain(protocol: Protocol) -> Result<(), Failure> {
    let listener = listener().await?;
    let mut open = JoinSet::new();
    loop {
        let (tcp, _) = listener.accept().await?;
        tcp.set_nodelay(true)?;
        open.spawn(serve(protocol, TokioIo::new(tcp)));
        while open.try_join_next().is_some() {}
    }
}

pub(super) async fn tls(protocol: Protocol, material: &Material) -> Result<(), Failure> {
    let mut config = Arc::unwrap_or_clone(bare::server(material));
    config.alpn_protocols = vec![protocol.alpn().as_bytes().to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = listener().await?;
    let mut open = JoinSet::new();
    loop {
        let (tcp, _) = listener.accept().await?;
        tcp.set_nodelay(true)?;
        let acceptor = acceptor.clone();
        open.spawn(async move {
            if let Ok(tls) = acceptor.accept(tcp).await {
                serve(protocol, TokioIo::new(tls)).await;
            }
        });
        while open.try_join_next().is_some() {}
    }
}

/// As a program has it: registered, with intentions and metrics.
pub(super) async fn mesh(protocol: Protocol, service: &str) -> Result<(), Failure> {
    let mesh = Mesh::builder(service).alpn([protocol.alpn()]).admin(0);
    let mesh = mesh.join().await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let served = mesh.serve_on(listener, Bench);
    let ready = async {
        mesh.ready().await?;
        println!("listening {address}");
        Ok::<_, tower_mesh::Error>(())
    };
    tokio::try_join!(served, ready)?;
    Ok(())
}

async fn listener() -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening {}", listener.local_addr()?);
    Ok(listener)
}

async fn serve(protocol: Protocol, io: impl Read + Write + Unpin + Send + 'static) {
    let service = service_fn(|request| tower::Service::call(&mut Bench, request));
    // A client that has seen enough leaves in the middle.
    match protocol {
        Protocol::Http1 => drop(http1::Builder::new().serve_connection(io, service).await),
        Protocol::Http2 | Protocol::Grpc => drop(
            http2::Builder::new(TokioExecutor::new())
                .serve_connection(io, service)
                .await,
        ),
    }
}
