//! Accepting connections: the only accept loop of the mesh.
//!
//! A handshake never holds up the next connection. Each runs in a task of its own, with a deadline and under a cap; what
//! fails is closed and counted. What succeeds is entered in the live set, decided about, and handed out.

mod builder;
mod handshake;
mod refused;

pub use builder::ListenerBuilder;
pub use refused::{ListenerStats, Refused};

use std::{collections::VecDeque, fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep},
};

use crate::{
    Alpn, Authorize, ConnectionGuard, Identity, Io, MeshStream, Peer, Permit, Remote,
    live::{LiveSet, Warden},
    stream::Transport,
};
use handshake::Handshake;
use refused::Counters;

/// Accepts connections of verified members of the mesh.
///
/// # Shutdown
/// Dropping it closes the socket and every handshake in progress. Connections it handed out stay, and go on being held to
/// the rules.
pub struct Listener {
    /// `None` once it has stopped accepting.
    tcp: Option<TcpListener>,
    local_addr: SocketAddr,
    handshakes: JoinSet<Option<Accepted>>,
    /// The same in the order they began; those at its front that have ended are taken out as others begin.
    begun: VecDeque<Begun>,
    max_handshakes: usize,
    connections: Arc<Semaphore>,
    handshake: Arc<Handshake>,
    live: Arc<LiveSet>,
    warden: Arc<Warden>,
}

struct Begun {
    at: Instant,
    remote_addr: SocketAddr,
    task: AbortHandle,
}

/// How long a handshake may take before it gives way to another when there are too many: far more than an honest one needs,
/// also when a thousand came at once.
const SLOW: Duration = Duration::from_secs(1);

/// A connection of a verified member of the mesh.
#[derive(Debug)]
#[non_exhaustive]
pub struct Accepted {
    /// The bytes.
    pub stream: MeshStream,
    /// Who is at the other end: the caller, or under [`Layer::Request`](crate::Layer::Request) a mesh gateway for callers.
    pub remote: Remote,
    /// What was agreed to speak; `None` if the caller offered no ALPN.
    pub alpn: Option<Alpn>,
    /// When and why it must close.
    pub guard: ConnectionGuard,
    /// What let it in; `None` under [`Layer::Request`](crate::Layer::Request), where each request is decided.
    pub permit: Option<Permit>,
    /// Where the caller is.
    pub remote_addr: SocketAddr,
}

impl Accepted {
    /// Who calls, if the caller is at the other end itself: always, except under [`Layer::Request`](crate::Layer::Request).
    pub fn peer(&self) -> Option<&Peer> {
        self.remote.peer()
    }
}

impl Listener {
    /// A listener that presents `identity` and asks `authorize`.
    pub fn builder(identity: Identity, authorize: Arc<dyn Authorize>) -> ListenerBuilder {
        ListenerBuilder::new(identity, authorize)
    }

    /// The address it is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// How many of its connections are open.
    pub fn open_connections(&self) -> usize {
        self.live.len()
    }

    /// What it accepted and refused so far.
    pub fn stats(&self) -> ListenerStats {
        self.handshake.counters.stats()
    }

    /// The next connection; `None` once it has stopped accepting and no handshake is left.
    ///
    /// It must be polled for connections to be accepted at all.
    ///
    /// # Cancel safety
    /// Safe: no connection is lost.
    pub async fn accept(&mut self) -> Option<Accepted> {
        loop {
            if self.tcp.is_none() && self.handshakes.is_empty() {
                return None;
            }
            tokio::select! {
                biased;
                Some(done) = self.handshakes.join_next() => match done {
                    Ok(Some(accepted)) => return Some(accepted),
                    Ok(None) => {}
                    // It gave way, and was counted then.
                    Err(e) if e.is_cancelled() => {}
                    Err(e) => tracing::error!(error = %e, "a handshake ended in a panic"),
                },
                incoming = accept_from(self.tcp.as_ref()) => match incoming {
                    Ok((tcp, remote_addr)) => self.begin(tcp, remote_addr),
                    Err(e) => pause_after(&e).await,
                },
            }
        }
    }

    /// Accepts a byte stream that is already open, as if it had come in by the socket: with the same deadline, rules and
    /// counters, and under the same cap on open connections. `remote_addr` is only handed on.
    ///
    /// # Errors
    /// [`Refused`], which was also counted and observed.
    ///
    /// # Cancel safety
    /// Dropping the future closes the stream.
    pub async fn accept_io(
        &self,
        io: impl Io,
        remote_addr: SocketAddr,
    ) -> Result<Accepted, Refused> {
        let accepted = match Arc::clone(&self.connections).try_acquire_owned() {
            Ok(permit) => {
                let io = Transport::Other(Box::new(io));
                self.handshake
                    .run(io, remote_addr, &self.live, &self.warden, permit)
                    .await
            }
            Err(_closed_or_full) => Err(Refused::TooManyConnections),
        };
        accepted.inspect_err(|refused| self.handshake.refuse(remote_addr, refused))
    }

    /// Closes the socket. Handshakes in progress end as they would.
    pub fn stop_accepting(&mut self) {
        self.tcp = None;
    }

    fn begin(&mut self, tcp: TcpStream, remote_addr: SocketAddr) {
        while self.begun.front().is_some_and(|b| b.task.is_finished()) {
            self.begun.pop_front();
        }
        // Closed rather than left waiting: a caller that is told no at once can go elsewhere.
        if self.handshakes.len() >= self.max_handshakes && !self.end_a_slow_one() {
            let limit = self.max_handshakes;
            let refused = Refused::TooManyHandshakes { limit };
            return self.handshake.refuse(remote_addr, &refused);
        }
        let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() else {
            return self
                .handshake
                .refuse(remote_addr, &Refused::TooManyConnections);
        };
        let handshake = Arc::clone(&self.handshake);
        let (live, warden) = (Arc::clone(&self.live), Arc::clone(&self.warden));
        let task = self.handshakes.spawn(async move {
            let io = Transport::Tcp(tcp);
            match handshake.run(io, remote_addr, &live, &warden, permit).await {
                Ok(accepted) => Some(accepted),
                Err(refused) => {
                    handshake.refuse(remote_addr, &refused);
                    None
                }
            }
        });
        self.begun.push_back(Begun {
            at: Instant::now(),
            remote_addr,
            task,
        });
    }

    /// Those who say nothing must not keep out those who would.
    fn end_a_slow_one(&mut self) -> bool {
        let oldest = self.begun.front();
        if oldest.is_none_or(|oldest| oldest.at.elapsed() < SLOW) {
            return false;
        }
        let Some(begun) = self.begun.pop_front() else {
            return false;
        };
        begun.task.abort();
        let limit = self.max_handshakes;
        let refused = Refused::TooManyHandshakes { limit };
        self.handshake.refuse(begun.remote_addr, &refused);
        true
    }
}

/// Pends for ever once there is no socket: only handshakes are left to wait for then.
async fn accept_from(tcp: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match tcp {
        Some(tcp) => tcp.accept().await,
        None => std::future::pending().await,
    }
}

/// Accepting fails for the one connection that went away, or for all of them when descriptors run out. Only the second is
/// worth waiting for, and never worth ending for.
async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    ) {
        tracing::warn!(%error, "cannot accept connections, trying again");
        sleep(Duration::from_millis(100)).await;
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("local_addr", &self.local_addr)
            .field("live", &self.live)
            .finish_non_exhaustive()
    }
}
