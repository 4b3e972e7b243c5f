//! A mesh gateway: by it the services of cluster peers reach those of the agent's own cluster.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde_json::{Value, json};

use super::{ADMIN, PUBLIC, admin, builder::bootstrap, local};
use crate::{
    Agent, Error, Found, Http,
    ports::Ports,
    running::{READY_WITHIN, Running, Start, work_directory},
};

/// A mesh gateway, to be registered and started.
#[derive(Debug)]
#[must_use = "nothing runs before `start`"]
pub struct MeshGatewayBuilder<'a> {
    agent: &'a Agent,
    envoy: PathBuf,
    consul: PathBuf,
}

/// A running mesh gateway. Dropping it kills it; [`stop`](Self::stop) takes it out of the catalog too.
/// When it is dropped by a panic, the end of its log is printed.
#[derive(Debug)]
pub struct MeshGateway {
    id: String,
    http: Http,
    running: Running,
    ports: Ports,
}

impl<'a> MeshGatewayBuilder<'a> {
    pub(super) fn new(agent: &'a Agent, envoy: &Found, consul: &Found) -> Self {
        Self {
            agent,
            envoy: envoy.path.clone(),
            consul: consul.path.clone(),
        }
    }

    /// Registers it, starts Envoy and waits until it listens.
    ///
    /// # Errors
    /// When Consul refuses, or Envoy does not start or is not ready in time; the message carries the end of its log.
    ///
    /// # Cancel safety
    /// Dropping the future stops what has been started; what has been registered stays.
    pub async fn start(self) -> Result<MeshGateway, Error> {
        let ports = Ports::reserve()?;
        let id = format!("mesh-gateway-{}", ports.at(ADMIN));
        let http = self.agent.http();
        let public = ports.at(PUBLIC);
        let address = json!({ "Address": "127.0.0.1", "Port": public });
        let definition = json!({
            "Kind": "mesh-gateway", "ID": id, "Name": "mesh-gateway", "Address": "127.0.0.1", "Port": public,
            "TaggedAddresses": { "lan": address, "wan": address },
        });
        http.put("/v1/agent/service/register", &definition)
            .await?
            .ok()?;

        let directory = work_directory("envoy")?;
        let file = directory.path().join("bootstrap.json");
        let which = ["-gateway=mesh".to_owned(), format!("-proxy-id={id}")];
        let admin_addr = local(ports.at(ADMIN));
        bootstrap(self.agent, &self.consul, None, &which, admin_addr, &file).await?;
        let arguments = [
            "--config-path".to_owned(),
            file.display().to_string(),
            "--concurrency".to_owned(),
            "1".to_owned(),
            "--disable-hot-restart".to_owned(),
        ];
        let start = Start {
            program: &self.envoy,
            arguments: &arguments,
            environment: &[],
            piped: false,
        };
        let running = Running::start("Envoy as a mesh gateway", directory, start)?;
        let admin_calls = Http::new(admin_addr, None);
        running
            .ready(READY_WITHIN, async || {
                admin::warm(&admin_calls, &[local(public)]).await
            })
            .await?;
        Ok(MeshGateway {
            id,
            http,
            running,
            ports,
        })
    }
}

impl MeshGateway {
    /// Where the services of cluster peers dial.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        local(self.ports.at(PUBLIC))
    }

    /// Calls on the admin interface: `gateway.admin().get("/config_dump")`.
    #[must_use]
    pub fn admin(&self) -> Http {
        Http::new(local(self.ports.at(ADMIN)), None)
    }

    /// Envoy's log.
    #[must_use]
    pub fn logs(&self) -> String {
        self.running.logs()
    }

    /// Takes it out of the catalog and ends Envoy.
    ///
    /// # Errors
    /// When the agent or the operating system refuses.
    pub async fn stop(self) -> Result<(), Error> {
        let path = format!("/v1/agent/service/deregister/{}", self.id);
        self.http.put(&path, &Value::Null).await?.ok()?;
        self.running.stop(Duration::from_secs(10)).await
    }
}
