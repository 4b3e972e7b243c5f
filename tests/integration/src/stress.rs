//! Counts, memory and handshakes of the tests that do something very often.

use std::net::{Ipv4Addr, SocketAddr};

use consul_connect::{
    Accepted, ConnectError, Connection, Connector, Destination, Listener, Refused,
};

use crate::{Scale, scale};

/// How often to do what is done `count` times when everything is proven (`MESH_SCALE=full`), and a fiftieth of it by default;
/// never less than 20.
///
/// # Panics
/// If `MESH_SCALE` is neither `ci` nor `full`.
#[must_use]
pub fn times(count: usize) -> usize {
    if full() { count } else { (count / 50).max(20) }
}

/// Whether everything is to be proven.
///
/// # Panics
/// As [`times`].
#[must_use]
pub fn full() -> bool {
    scale() == Scale::Full
}

/// The memory of this process that is in use, in KiB, after the allocator gave back what it could.
///
/// # Panics
/// Where there is no `/proc`.
#[must_use]
pub fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.expect("a size").parse().expect("a number")
}

/// What grew while something was done.
#[derive(Clone, Copy, Debug)]
pub struct Memory(u64);

impl Memory {
    /// As it is now.
    #[must_use]
    pub fn now() -> Self {
        Self(resident_kib())
    }

    /// Says what grew, and that it was not more than `mib`.
    ///
    /// # Panics
    /// If it was.
    pub fn grew_at_most(self, mib: u64, meanwhile: &str) {
        let (before, after) = (self.0, resident_kib());
        println!("{meanwhile}: resident {before} KiB before, {after} KiB after");
        let grown = after.saturating_sub(before);
        assert!(grown <= mib * 1024, "{meanwhile}: {grown} KiB more");
    }
}

/// Where callers of streams in memory are said to be.
pub const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// One handshake without a socket: what each of the two sides came to.
pub async fn in_memory(
    connector: &Connector,
    listener: &Listener,
    destination: &Destination,
) -> (Result<Connection, ConnectError>, Result<Accepted, Refused>) {
    let (near, far) = tokio::io::duplex(16 * 1024);
    tokio::join!(
        connector.connect_io(near, destination),
        listener.accept_io(far, NOWHERE)
    )
}

/// Makes room for so many open descriptors in this process.
///
/// # Panics
/// If the system does not allow that many.
pub fn descriptors(wanted: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let raised = Rlimit {
        current: Some(maximum.map_or(wanted, |maximum| wanted.min(maximum))),
        maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("a limit below the hard one");
    assert!(
        maximum.is_none_or(|maximum| maximum >= wanted),
        "{wanted} descriptors are needed, the hard limit is {maximum:?}"
    );
}
