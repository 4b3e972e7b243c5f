//! Dial, mutual TLS, authorize, first byte there and back; beside the same over bare rustls.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use consul_connect::{Connector, Destination, Listener, authorize, test_util::TestCa};
use mesh_lab::{Agent, Consul, Dialler, GoServer, Version, find_consul};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{
    Failure, bare,
    rounds::{Samples, now},
};

const ROUNDS: usize = 10;
const DIALS: usize = 100;

pub(crate) async fn run() -> Result<(), Failure> {
    let ca = TestCa::new("11111111-2222-3333-4444-555555555555.consul");
    let (web, api) = (ca.material("web"), ca.material("api"));

    let control = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let control_at = control.local_addr().expect("an address");
    let acceptor = TlsAcceptor::from(bare::server(&api));
    tokio::spawn(async move {
        while let Ok((tcp, _)) = control.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(tcp).await {
                    echo(stream).await;
                }
            });
        }
    });
    let bare_client = TlsConnector::from(bare::client(&web));

    let (api, _api) = ca.identity("api").await.expect("an identity");
    let (web, _web) = ca.identity("web").await.expect("an identity");
    let mut listener = Listener::builder(api, Arc::new(authorize::dangerously_allow_all()))
        .bind("127.0.0.1:0")
        .await
        .expect("a listener");
    let destination = Destination::new(listener.local_addr(), ca.id("api"));
    tokio::spawn(async move {
        while let Some(accepted) = listener.accept().await {
            tokio::spawn(echo(accepted.stream));
        }
    });
    let connector = Connector::new(web);

    let agent = match find_consul(Version::Newest) {
        Ok(found) => Some(Consul::new(found).start().await?),
        Err(missing) => {
            println!("without the Go SDK, as {missing}");
            None
        }
    };
    let mut go = match &agent {
        Some(agent) => GoPair::start(agent).await?,
        None => None,
    };
    let mut sdk = Samples::new("the Go SDK, its own authorize call included");
    let mut control = Samples::new("bare rustls (no identity check)");
    let mut ours = Samples::new("connector and listener");
    for _ in 0..ROUNDS {
        for _ in 0..DIALS {
            control.push(dial_bare(&bare_client, control_at).await);
        }
        for _ in 0..DIALS {
            let began = now();
            let connection = connector.connect(&destination).await.expect("a connection");
            first_byte(connection.stream).await;
            ours.push(began.elapsed());
        }
        if let Some(go) = &mut go {
            for _ in 0..DIALS {
                sdk.push(go.dial().await?);
            }
        }
    }
    println!("new connection to first byte back, {ROUNDS} interleaved rounds of {DIALS}, loopback");
    println!("{:<44} {:>13} {:>13} {:>10}", "", "p50", "p99", "p50 ratio");
    control.print(&control);
    ours.print(&control);
    if go.is_some() {
        sdk.print(&control);
    }
    Ok(())
}

/// A client and a server on the Go SDK, in processes of their own.
struct GoPair {
    _server: GoServer,
    client: Dialler,
}

impl GoPair {
    async fn start(agent: &Agent) -> Result<Option<Self>, Failure> {
        let Some(go) = mesh_lab::go_peer(agent) else {
            return Ok(None);
        };
        let server = go.serve("go-api").tcp().start().await?;
        let client = go.dial("go-web", "go-api").tcp().start().await?;
        Ok(Some(Self {
            _server: server,
            client,
        }))
    }

    async fn dial(&mut self) -> Result<Duration, Failure> {
        let fate = self.client.fresh_echo("x").await?;
        match fate.ok {
            true => Ok(fate.took),
            false => Err(fate.error.into()),
        }
    }
}

async fn dial_bare(connector: &TlsConnector, at: SocketAddr) -> Duration {
    let began = now();
    let tcp = TcpStream::connect(at).await.expect("a connection");
    tcp.set_nodelay(true).expect("nodelay");
    let name = ServerName::try_from("api").expect("a name");
    first_byte(connector.connect(name, tcp).await.expect("a handshake")).await;
    began.elapsed()
}

async fn first_byte(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    stream.write_all(b"x").await.expect("a write");
    stream.flush().await.expect("a flush");
    stream.read_exact(&mut [0]).await.expect("a read");
}

async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut byte = [0];
    while stream.read_exact(&mut byte).await.is_ok() {
        if stream.write_all(&byte).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}
