//! Servers that hold idle connections.

use std::sync::Arc;

use consul_connect::{Identity, IdentityConfig, Listener, Material, authorize, identity::source};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tower_mesh::serve::Server;

use super::bench::Bench;
use crate::{Failure, bare};

pub(super) async fn run(what: &str, material: Material) -> Result<(), Failure> {
    match what {
        "bare-bytes" | "bare-http" => rustls(what == "bare-http", &material).await,
        "connect" => connect(material).await,
        "mesh" => mesh(material).await,
        other => Err(format!("nothing holds connections like `{other}`").into()),
    }
}

async fn rustls(http: bool, material: &Material) -> Result<(), Failure> {
    let acceptor = TlsAcceptor::from(bare::server(material));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening {}", listener.local_addr()?);
    let mut open = JoinSet::new();
    loop {
        let (tcp, _) = listener.accept().await?;
        let acceptor = acceptor.clone();
        open.spawn(async move {
            let Ok(tls) = acceptor.accept(tcp).await else {
                return;
            };
            if http {
                let service = service_fn(|request| tower::Service::call(&mut Bench, request));
                let served = http1::Builder::new().serve_connection(TokioIo::new(tls), service);
                drop(served.await);
            } else {
                echo(tls).await;
            }
        });
    }
}

async fn connect(material: Material) -> Result<(), Failure> {
    let identity = identity(material).await?;
    let mut listener = Listener::builder(identity, Arc::new(authorize::dangerously_allow_all()))
        .bind("127.0.0.1:0")
        .await?;
    println!("listening {}", listener.local_addr());
    let mut open = JoinSet::new();
    while let Some(accepted) = listener.accept().await {
        open.spawn(echo(accepted.stream));
    }
    Ok(())
}

async fn mesh(material: Material) -> Result<(), Failure> {
    let allow = Arc::new(authorize::dangerously_allow_all());
    let server = Server::builder(identity(material).await?, allow);
    let server = server.bind("127.0.0.1:0").await?;
    println!("listening {}", server.local_addr());
    server.run(Bench).await;
    Ok(())
}

async fn identity(material: Material) -> Result<Identity, Failure> {
    let config = IdentityConfig::default();
    Ok(Identity::connect(source::fixed(material), config).await?)
}

async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut byte = [0];
    while stream.read_exact(&mut byte).await.is_ok() {
        if stream.write_all(&byte).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}
