//! Joining an embedded development Consul.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use consul_api::Config;
use consul_dev::ConsulDev;

use super::{Mesh, MeshBuilder};
use crate::{Error, ErrorKind};

impl Mesh {
    /// Joins a mesh of one's own: a development Consul inside this process, on loopback only.
    ///
    /// For trying things out. Nothing outside this process takes part, nothing survives it, and it
    /// says so loudly. A second service joins the same one by [`MeshBuilder::dev`].
    ///
    /// # Errors
    ///
    /// As [`Mesh::join`]; [`ErrorKind::Listen`] if the development Consul cannot start.
    pub async fn dev(service: impl Into<String>) -> Result<Self, Error> {
        let consul = ConsulDev::start().await.map_err(|error| {
            Error::with_source(ErrorKind::Listen, "starting the development Consul", error)
        })?;
        Self::builder(service).dev(&Arc::new(consul)).join().await
    }

    /// The development Consul this mesh is of, if it is one.
    #[must_use]
    pub fn dev_consul(&self) -> Option<&Arc<ConsulDev>> {
        self.0.dev.as_ref()
    }
}

impl MeshBuilder {
    /// Joins this development Consul, which lives as long as somebody who joined it.
    ///
    /// Servers are then reached on loopback only: a wildcard address is bound as the loopback
    /// address, any other is refused.
    pub fn dev(mut self, consul: &Arc<ConsulDev>) -> Self {
        self.dev = Some(Arc::clone(consul));
        // The usual half minute is for meshes whose members would all ask at once.
        self.rotation_spread
            .get_or_insert(Duration::from_millis(500));
        self
    }
}

/// How to reach a development Consul.
pub(super) fn config(consul: &ConsulDev) -> Result<Config, Error> {
    let made = || {
        let grpc = consul.grpc_addr().parse()?;
        Ok(Config::new(consul.http_addr())?.with_grpc_address(grpc))
    };
    made().map_err(|error: consul_api::Error| {
        Error::with_source(
            ErrorKind::Config,
            "reading the development Consul's addresses",
            error,
        )
    })
}

/// Says what this is where a person sees it, whether or not the program logs.
#[expect(
    clippy::print_stderr,
    reason = "a mesh that protects nothing must say so without a log"
)]
pub(super) fn warn(service: &str) {
    const WORDS: &str = "joined an embedded DEVELOPMENT Consul: loopback only, nothing is kept, \
                         nobody else takes part";
    eprintln!("{service}: {WORDS}");
    tracing::warn!(service, "{WORDS}");
}

/// The loopback form of an address to bind, or `None` if there is none.
pub(super) fn loopback(address: SocketAddr) -> Option<SocketAddr> {
    let ip = match address.ip() {
        ip if ip.is_loopback() => ip,
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, address.port()))
}
