//! A TCP proxy that does to connections what networks and broken servers do, as the test says, while it runs.

mod relay;

use std::{
    collections::VecDeque,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use self::relay::{Orders, relay};

/// What happens to a connection.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// Everything goes through.
    #[default]
    Pass,
    /// Everything goes through, each piece (up to 16 KiB) this much later than the one before it or than it came, in both directions.
    Delay(Duration),
    /// It is open, what the client sends is taken and thrown away, nothing comes back: a server that is stuck.
    /// The target learns nothing before the client goes. A connection that lost bytes this way is reset when the fault ends.
    Hang,
    /// Nothing is taken, nothing comes back, and neither side learns that the other has gone: a route that swallows packets.
    /// When the fault ends, what has piled up goes through.
    Blackhole,
    /// It is reset (`RST`), also when it is open already.
    Reset,
    /// It is reset once this many bytes of answers have gone through, counted over the connection's whole life.
    CutAfter(u64),
    /// Everything goes through, in each direction no faster than this many bytes a second.
    Slow(u32),
    /// The target is not asked: the next thing the client sends is answered with these bytes, and the connection ends.
    Answer(Bytes),
}

impl Fault {
    /// [`Answer`](Self::Answer) with an HTTP/1.1 response: `Fault::http(429, "rate limit reached")`.
    #[must_use]
    pub fn http(status: u16, text: &str) -> Self {
        let length = text.len();
        Self::Answer(Bytes::from(format!(
            "HTTP/1.1 {status} \r\ncontent-type: text/plain\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}"
        )))
    }

    /// What Consul answers while its servers elect a leader.
    #[must_use]
    pub fn no_leader() -> Self {
        Self::http(500, "No cluster leader")
    }
}

/// A proxy in front of an address. Dropping it closes its port and its connections.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    /// The standing fault.
    fault: watch::Sender<Fault>,
    /// Resets what is open when it changes.
    breaks: watch::Sender<u64>,
    next: Mutex<VecDeque<Fault>>,
    accepted: AtomicU64,
    open: watch::Sender<usize>,
}

impl FaultProxy {
    /// Listens on a free loopback port; without orders everything goes through to `target`.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn to(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            fault: watch::Sender::default(),
            breaks: watch::Sender::default(),
            next: Mutex::default(),
            accepted: AtomicU64::new(0),
            open: watch::Sender::default(),
        });
        let acceptor = tokio::spawn(accept(listener, target, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            acceptor,
        })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this happens, to open connections too.
    pub fn set(&self, fault: Fault) {
        self.shared.fault.send_replace(fault);
    }

    /// Adds to what happens to the next connections, one after the other, each for its whole life; after them the standing fault.
    pub fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        let mut next = self
            .shared
            .next
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        next.extend(faults);
    }

    /// Resets every open connection once; new ones are not affected.
    pub fn break_all(&self) {
        self.shared.breaks.send_modify(|count| *count += 1);
    }

    /// How many connections have been accepted so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// How many connections are open.
    #[must_use]
    pub fn open(&self) -> usize {
        *self.shared.open.borrow()
    }

    /// Waits until this many connections are open.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn until_open(&self, count: usize) {
        let mut open = self.shared.open.subscribe();
        // The sender lives in `self`.
        let _ = open.wait_for(|open| *open == count).await;
    }

    /// Closes its port and its connections; on return the port is free.
    pub async fn stop(mut self) {
        self.acceptor.abort();
        // It ends by being aborted, or by a panic of its own that has been printed.
        let _ = (&mut self.acceptor).await;
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, shared: Arc<Shared>) {
    // Aborted with this task.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A connection that was gone before it was taken is none; neither is one that the system had no room for.
                let Ok((client, _)) = accepted else { continue };
                shared.accepted.fetch_add(1, Ordering::Relaxed);
                let scripted = shared.next.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let orders = Orders::new(scripted, shared.fault.subscribe(), shared.breaks.subscribe());
                let counted = Counted::new(&shared);
                connections.spawn(async move {
                    let _counted = counted;
                    relay(client, target, orders).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Counts a connection for as long as it is open.
struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.open.send_modify(|open| *open += 1);
        Self(Arc::clone(shared))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}
