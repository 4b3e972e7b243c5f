//! `consul connect proxy`: Consul's own small proxy, as a client.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpStream;

use crate::{
    Agent, Error, Found,
    gate::consul_commands,
    ports::Ports,
    running::{READY_WITHIN, Running, Start, work_directory},
};

/// `consul connect proxy` for a test, or `None` when the test cannot run here and should return; as with [`consul`](crate::consul).
/// The command is that of the newest Consul, whatever the agent: the oldest one's program has none.
///
/// # Panics
/// When it is missing and `MESH_LAB=required`.
#[must_use]
pub fn connect_proxy(agent: &Agent) -> Option<ConnectProxy<'_>> {
    let found = consul_commands()?;
    Some(ConnectProxy { agent, found })
}

/// The command, with the agent it will use.
#[derive(Debug)]
pub struct ConnectProxy<'a> {
    agent: &'a Agent,
    found: Found,
}

impl ConnectProxy<'_> {
    /// Starts it as `service`, whose calls of `upstream` come in on a loopback port. Its token is `token`, or else the management token.
    ///
    /// # Errors
    /// When it does not start, or does not listen within a minute.
    ///
    /// # Cancel safety
    /// Dropping the future stops what has been started.
    pub async fn start(
        &self,
        service: &str,
        upstream: &str,
        token: Option<&str>,
    ) -> Result<RunningProxy, Error> {
        let ports = Ports::reserve()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.at(0)));
        let arguments = [
            "connect".to_owned(),
            "proxy".to_owned(),
            format!("-service={service}"),
            format!("-upstream={upstream}:{}", address.port()),
            "-log-level=debug".to_owned(),
        ];
        let start = Start {
            program: &self.found.path,
            arguments: &arguments,
            environment: &self.agent.environment_as(token),
            piped: false,
        };
        let name = format!("consul connect proxy of {service}");
        let running = Running::start(&name, work_directory("connect-proxy")?, start)?;
        running
            .ready(READY_WITHIN, async || {
                if !running.logs().contains("ready to serve") {
                    return Err(Error::new("it has not said that it has its leaf"));
                }
                // Only opening a connection shows that the port is open; the proxy carries it to the upstream, where it ends at once.
                let opened = TcpStream::connect(address).await;
                opened
                    .map(drop)
                    .map_err(|error| Error::because(format!("connecting to {address}"), error))
            })
            .await?;
        Ok(RunningProxy {
            address,
            running,
            _ports: ports,
        })
    }
}

/// A running proxy. Dropping it kills it.
#[derive(Debug)]
pub struct RunningProxy {
    address: SocketAddr,
    running: Running,
    _ports: Ports,
}

impl RunningProxy {
    /// What is sent here goes to the upstream.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its log.
    #[must_use]
    pub fn logs(&self) -> String {
        self.running.logs()
    }
}
