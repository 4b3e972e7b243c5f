use std::{fmt, io, net::SocketAddr, path::PathBuf};

use tokio::net::{TcpStream, lookup_host};

use super::{
    no_address,
    race::{by_turns, race},
};
use crate::stream::{Transport, tune};

/// Where to dial.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A name, resolved anew at each dial, and a port. Its addresses are dialled one after the other, each a quarter of a
    /// second after the one before or as soon as that failed, IPv6 and IPv4 by turns; the first to answer is taken.
    Host(String, u16),
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// A unix socket on this host.
    Unix(PathBuf),
}

impl Address {
    /// `host` may be an IP address or a name.
    pub fn new(host: &str, port: u16) -> Self {
        match host.parse() {
            Ok(ip) => Self::Tcp(SocketAddr::new(ip, port)),
            Err(_) => Self::Host(host.to_owned(), port),
        }
    }

    pub(super) async fn dial(&self) -> io::Result<Transport> {
        match self {
            Self::Tcp(address) => tcp(*address).await,
            Self::Host(host, port) => {
                let addresses = lookup_host((host.as_str(), *port)).await?;
                race(by_turns(addresses), tcp)
                    .await
                    .unwrap_or_else(|| Err(no_address(host)))
            }
            #[cfg(unix)]
            Self::Unix(path) => Ok(Transport::Other(Box::new(
                tokio::net::UnixStream::connect(path).await?,
            ))),
            #[cfg(not(unix))]
            Self::Unix(_) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this platform has no unix sockets",
            )),
        }
    }
}

async fn tcp(address: SocketAddr) -> io::Result<Transport> {
    let tcp = TcpStream::connect(address).await?;
    tune(&tcp)?;
    Ok(Transport::Tcp(tcp))
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host, port) => write!(f, "{host}:{port}"),
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}
