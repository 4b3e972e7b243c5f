//! Envoy sidecars under a real Consul, as most services of a mesh have them.

mod admin;
mod builder;
mod gateway;

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use serde_json::Value;

pub use builder::SidecarBuilder;
pub use gateway::{MeshGateway, MeshGatewayBuilder};

use crate::{
    Agent, Component, Error, Found, Http,
    gate::{component, consul_commands},
    ports::Ports,
    running::Running,
};

/// Envoy for a test, or `None` when the test cannot run here and should return; as with [`consul`](crate::consul).
///
/// Its configuration is made by the `consul` command, which must be there as well; the newest one's, whatever the agent.
///
/// # Panics
/// When it is missing and `MESH_LAB=required`.
#[must_use]
pub fn envoy(agent: &Agent) -> Option<Envoy<'_>> {
    let envoy = component(Component::Envoy)?;
    let consul = consul_commands()?;
    Some(Envoy {
        agent,
        envoy,
        consul,
    })
}

/// Envoy, with the agent under which its sidecars will be.
#[derive(Debug)]
pub struct Envoy<'a> {
    agent: &'a Agent,
    envoy: Found,
    consul: Found,
}

impl<'a> Envoy<'a> {
    /// A service and its sidecar; to be started.
    pub fn sidecar(&self, service: &str) -> SidecarBuilder<'a> {
        SidecarBuilder::new(self.agent, &self.envoy, &self.consul, service)
    }

    /// A mesh gateway of the agent's datacenter; to be started.
    pub fn mesh_gateway(&self) -> MeshGatewayBuilder<'a> {
        MeshGatewayBuilder::new(self.agent, &self.envoy, &self.consul)
    }

    /// The program that runs.
    #[must_use]
    pub fn found(&self) -> &Found {
        &self.envoy
    }
}

/// A running sidecar. Dropping it kills it; [`stop`](Self::stop) takes its service out of the catalog too.
/// When it is dropped by a panic, the end of its log is printed.
#[derive(Debug)]
pub struct Sidecar {
    id: String,
    upstreams: Vec<String>,
    http: Http,
    running: Running,
    ports: Ports,
}

/// Where each port of a sidecar lies in its block.
const ADMIN: u16 = 0;
const PUBLIC: u16 = 1;
const FIRST_UPSTREAM: u16 = 2;

impl Sidecar {
    /// Where its service's calls of `upstream` come in.
    ///
    /// # Panics
    /// When it was started without this upstream.
    #[must_use]
    pub fn upstream(&self, upstream: &str) -> SocketAddr {
        let place = self.upstreams.iter().position(|name| name == upstream);
        let place = place.and_then(|place| u16::try_from(place).ok());
        let place = place.unwrap_or_else(|| panic!("this sidecar has no upstream {upstream}"));
        local(self.ports.at(FIRST_UPSTREAM + place))
    }

    /// Where the mesh reaches its service.
    #[must_use]
    pub fn public_addr(&self) -> SocketAddr {
        local(self.ports.at(PUBLIC))
    }

    /// Envoy's admin interface.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        local(self.ports.at(ADMIN))
    }

    /// Calls on the admin interface: `sidecar.admin().get("/config_dump")`.
    #[must_use]
    pub fn admin(&self) -> Http {
        Http::new(self.admin_addr(), None)
    }

    /// A counter or gauge of Envoy's, by its full name; 0 while Envoy has none of that name.
    ///
    /// # Errors
    /// When the admin interface does not answer.
    pub async fn stat(&self, name: &str) -> Result<u64, Error> {
        admin::stat(&self.admin(), name).await
    }

    /// The ID of its service's registration; the sidecar's is this with `-sidecar-proxy`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The number of its process.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.running.id()
    }

    /// Envoy's log.
    #[must_use]
    pub fn logs(&self) -> String {
        self.running.logs()
    }

    /// Kills Envoy at once; its service stays in the catalog until Consul's check finds out, within a second or two.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn kill(&self) -> Result<(), Error> {
        self.running.kill()
    }

    /// Freezes Envoy until [`resume`](Self::resume).
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&self) -> Result<(), Error> {
        self.running.pause()
    }

    /// Lets Envoy go on after [`pause`](Self::pause).
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&self) -> Result<(), Error> {
        self.running.signal(rustix::process::Signal::CONT)
    }

    /// Takes the service and its sidecar out of the catalog and ends Envoy.
    ///
    /// # Errors
    /// When the agent or the operating system refuses.
    pub async fn stop(self) -> Result<(), Error> {
        let path = format!("/v1/agent/service/deregister/{}", self.id);
        self.http.put(&path, &Value::Null).await?.ok()?;
        self.running.stop(Duration::from_secs(10)).await
    }
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
