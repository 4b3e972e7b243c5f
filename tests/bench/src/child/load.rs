//! Clients: each caller with a connection of HTTP/1.1 to itself, or all on two of HTTP/2.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use consul_connect::Material;
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_lab::load::Histogram;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
    time::sleep,
};
use tokio_rustls::TlsConnector;
use tower_mesh::Mesh;

use super::{
    Protocol,
    caller::{Bare, Caller, Member, Unary},
};
use crate::{Failure, bare, process, rounds::now};

const H2_CONNECTIONS: usize = 2;
/// Until connections are made and branches predicted.
const WARM_UP: Duration = Duration::from_millis(300);

/// What is asked for, how long, and by how many callers.
#[derive(Clone, Copy)]
pub(super) struct Amount {
    protocol: Protocol,
    seconds: f64,
    at_a_time: usize,
}

impl Amount {
    pub(super) fn new(protocol: &str, seconds: &str, at_a_time: &str) -> Result<Self, Failure> {
        Ok(Self {
            protocol: protocol.parse()?,
            seconds: seconds.parse()?,
            at_a_time: at_a_time.parse()?,
        })
    }
}

/// How many connections that many callers share in the control.
pub(crate) fn connections(protocol: Protocol, callers: usize) -> usize {
    match protocol {
        Protocol::Http1 => callers,
        Protocol::Http2 | Protocol::Grpc => callers.min(H2_CONNECTIONS),
    }
}

pub(super) async fn plain(amount: Amount, address: &str) -> Result<(), Failure> {
    let dial = async || -> Result<TcpStream, Failure> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        Ok(tcp)
    };
    over(amount, dial).await
}

pub(super) async fn tls(amount: Amount, address: &str, material: &Material) -> Result<(), Failure> {
    let mut config = Arc::unwrap_or_clone(bare::client(material));
    config.alpn_protocols = vec![amount.protocol.alpn().as_bytes().to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let dial = async || -> Result<_, Failure> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        Ok(connector.connect(ServerName::try_from("api")?, tcp).await?)
    };
    over(amount, dial).await
}

pub(super) async fn mesh(amount: Amount, service: &str) -> Result<(), Failure> {
    let mesh = Mesh::builder("web").admin(0).join().await?;
    let client = mesh.client(service);
    let callers = 0..amount.at_a_time;
    match amount.protocol {
        Protocol::Grpc => {
            let each = |_| Unary::new(client.clone());
            measure(callers.map(each).collect(), amount.seconds).await
        }
        _ => {
            let each = |_| Member(client.clone());
            measure(callers.map(each).collect(), amount.seconds).await
        }
    }
}

/// hyper over connections that are made beforehand.
async fn over<S>(amount: Amount, dial: impl AsyncFn() -> Result<S, Failure>) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Amount {
        protocol,
        seconds,
        at_a_time,
    } = amount;
    let mut driven = JoinSet::new();
    match protocol {
        Protocol::Http1 => {
            let mut callers = Vec::new();
            for _ in 0..at_a_time {
                let io = TokioIo::new(dial().await?);
                let (sender, connection) = http1::handshake::<_, Empty<_>>(io).await?;
                driven.spawn(async move { drop(connection.await) });
                callers.push(sender);
            }
            measure(callers, seconds).await
        }
        Protocol::Http2 => {
            let mut senders = Vec::new();
            for _ in 0..connections(protocol, at_a_time) {
                let io = TokioIo::new(dial().await?);
                let made = http2::handshake::<_, _, Empty<_>>(TokioExecutor::new(), io).await;
                let (sender, connection) = made?;
                driven.spawn(async move { drop(connection.await) });
                senders.push(sender);
            }
            let callers = senders.iter().cycle().take(at_a_time).cloned();
            measure(callers.collect(), seconds).await
        }
        Protocol::Grpc => {
            let mut senders = Vec::new();
            for _ in 0..connections(protocol, at_a_time) {
                let io = TokioIo::new(dial().await?);
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                driven.spawn(async move { drop(connection.await) });
                senders.push(sender);
            }
            let each = |sender: &http2::SendRequest<_>| Unary::new(Bare(sender.clone()));
            let callers = senders.iter().cycle().take(at_a_time).map(each);
            measure(callers.collect(), seconds).await
        }
    }
}

const WARMING: u8 = 0;
const MEASURING: u8 = 1;
const OVER: u8 = 2;

async fn measure<C: Caller>(callers: Vec<C>, seconds: f64) -> Result<(), Failure> {
    let phase = Arc::new(AtomicU8::new(WARMING));
    let mut workers = JoinSet::new();
    for mut caller in callers {
        let phase = Arc::clone(&phase);
        workers.spawn(async move {
            let (mut seen, mut failed) = (Histogram::default(), 0u64);
            let mut last = None;
            loop {
                let at = phase.load(Ordering::Relaxed);
                if at == OVER {
                    return (seen, failed, last);
                }
                let began = now();
                let result = caller.call().await;
                match result {
                    Ok(()) if at == MEASURING => seen.record(began.elapsed()),
                    Err(error) => {
                        failed += u64::from(at == MEASURING);
                        last = Some(error);
                        // What is refused at once must not keep the others from their turn.
                        tokio::task::yield_now().await;
                    }
                    Ok(()) => {}
                }
            }
        });
    }
    sleep(WARM_UP).await;
    let me = std::process::id();
    let (used, began) = (process::cpu(me)?, now());
    phase.store(MEASURING, Ordering::Relaxed);
    println!("began");
    sleep(Duration::try_from_secs_f64(seconds)?).await;
    phase.store(OVER, Ordering::Relaxed);
    let (elapsed, cpu) = (began.elapsed(), process::cpu(me)? - used);
    let (mut seen, mut failed, mut last) = (Histogram::default(), 0, None);
    for (one, failures, error) in workers.join_all().await {
        seen.add(&one);
        failed += failures;
        last = last.or(error);
    }
    if let Some(error) = last {
        println!("failed with {error}");
    }
    println!(
        "result {} {failed} {} {} {} {}",
        seen.count(),
        elapsed.as_nanos(),
        cpu.as_nanos(),
        seen.at(0.5).as_nanos(),
        seen.at(0.99).as_nanos(),
    );
    Ok(())
}
