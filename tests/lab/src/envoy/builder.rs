//! What a sidecar is to be, before it is started.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::process::Command;

use super::{ADMIN, FIRST_UPSTREAM, PUBLIC, Sidecar, admin, local};
use crate::{
    Agent, Error, Found, Http,
    ports::Ports,
    running::{READY_WITHIN, Running, Start, work_directory},
};

/// A service and its sidecar, to be registered and started.
#[derive(Debug)]
#[must_use = "nothing runs before `start`"]
pub struct SidecarBuilder<'a> {
    agent: &'a Agent,
    envoy: PathBuf,
    consul: PathBuf,
    service: String,
    application: Option<SocketAddr>,
    upstreams: Vec<(String, Value)>,
    proxy_config: Value,
    token: Option<String>,
    concurrency: u32,
    ready_within: Duration,
}

impl<'a> SidecarBuilder<'a> {
    pub(super) fn new(agent: &'a Agent, envoy: &Found, consul: &Found, service: &str) -> Self {
        Self {
            agent,
            envoy: envoy.path.clone(),
            consul: consul.path.clone(),
            service: service.to_owned(),
            application: None,
            upstreams: Vec::new(),
            proxy_config: json!({}),
            token: None,
            concurrency: 1,
            ready_within: READY_WITHIN,
        }
    }

    /// Where the service itself listens, in plaintext on loopback. Without one it only calls.
    pub fn application(mut self, address: SocketAddr) -> Self {
        self.application = Some(address);
        self
    }

    /// Opens a loopback port for calls of `upstream`; what is spoken there is what Consul's configuration says of that service.
    pub fn upstream(self, upstream: &str) -> Self {
        self.upstream_with(upstream, json!({}))
    }

    /// As [`upstream`](Self::upstream), with the protocol said here: `tcp`, `http`, `http2` or `grpc`.
    pub fn upstream_speaking(self, upstream: &str, protocol: &str) -> Self {
        self.upstream_with(upstream, json!({ "protocol": protocol }))
    }

    /// As [`upstream`](Self::upstream), with that upstream's whole `Config`.
    pub fn upstream_with(mut self, upstream: &str, config: Value) -> Self {
        self.upstreams.push((upstream.to_owned(), config));
        self
    }

    /// The proxy's own `Config`, such as `{"protocol": "http"}` for what the application speaks.
    pub fn proxy_config(mut self, config: Value) -> Self {
        self.proxy_config = config;
        self
    }

    /// The sidecar's token; otherwise the management token, if there are ACLs.
    pub fn token(mut self, secret: &str) -> Self {
        self.token = Some(secret.to_owned());
        self
    }

    /// How many worker threads Envoy has; one if not given.
    pub fn concurrency(mut self, threads: u32) -> Self {
        self.concurrency = threads;
        self
    }

    /// How long to wait for it to be ready before giving up; a minute if not given.
    pub fn ready_within(mut self, limit: Duration) -> Self {
        self.ready_within = limit;
        self
    }

    /// Registers both, starts Envoy and waits until its listeners are warm and, with an application, until the catalog has it as passing.
    ///
    /// # Errors
    /// When Consul refuses, or Envoy does not start or is not ready in time; the message carries the end of its log.
    ///
    /// # Cancel safety
    /// Dropping the future stops what has been started; what has been registered stays.
    pub async fn start(self) -> Result<Sidecar, Error> {
        let places = usize::from(Ports::COUNT - FIRST_UPSTREAM);
        if self.upstreams.len() > places {
            return Err(Error::new(format!(
                "starting a sidecar: it has ports for {places} upstreams"
            )));
        }
        let ports = Ports::reserve()?;
        let id = format!("{}-{}", self.service, ports.at(ADMIN));
        let http = self.agent.http();
        http.put("/v1/agent/service/register", &self.definition(&id, &ports))
            .await?
            .ok()?;

        let directory = work_directory("envoy")?;
        let bootstrap = directory.path().join("bootstrap.json");
        let which = [format!("-sidecar-for={id}")];
        let (token, admin_addr) = (self.token.as_deref(), local(ports.at(ADMIN)));
        self::bootstrap(
            self.agent,
            &self.consul,
            token,
            &which,
            admin_addr,
            &bootstrap,
        )
        .await?;
        let arguments = [
            "--config-path".to_owned(),
            bootstrap.display().to_string(),
            "--concurrency".to_owned(),
            self.concurrency.to_string(),
            // Else it shares memory with other Envoys of this machine.
            "--disable-hot-restart".to_owned(),
        ];
        let start = Start {
            program: &self.envoy,
            arguments: &arguments,
            environment: &[],
            piped: false,
        };
        let running = Running::start(&format!("Envoy of {}", self.service), directory, start)?;
        let admin_calls = Http::new(local(ports.at(ADMIN)), None);
        let upstreams = FIRST_UPSTREAM..;
        let upstreams = upstreams.zip(&self.upstreams).map(|(place, _)| place);
        let listeners: Vec<_> = [PUBLIC]
            .into_iter()
            .chain(upstreams)
            .map(|place| local(ports.at(place)))
            .collect();
        running
            .ready(self.ready_within, async || {
                admin::warm(&admin_calls, &listeners).await?;
                match self.application {
                    Some(_) => self.listed(&http, ports.at(PUBLIC)).await,
                    None => Ok(()),
                }
            })
            .await?;
        Ok(Sidecar {
            id,
            upstreams: self.upstreams.into_iter().map(|(name, _)| name).collect(),
            http,
            running,
            ports,
        })
    }

    fn definition(&self, id: &str, ports: &Ports) -> Value {
        let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let application = self.application.unwrap_or(nobody);
        let upstreams: Vec<_> = (FIRST_UPSTREAM..)
            .zip(&self.upstreams)
            .map(|(place, (name, config))| {
                json!({ "DestinationName": name, "LocalBindPort": ports.at(place), "Config": config })
            })
            .collect();
        let public = ports.at(PUBLIC);
        json!({
            "ID": id,
            "Name": self.service,
            "Address": application.ip(),
            "Port": application.port(),
            "Connect": { "SidecarService": {
                "Port": public,
                "Proxy": { "Config": self.proxy_config, "Upstreams": upstreams },
                // Consul's own check of a sidecar looks every ten seconds.
                "Checks": [{ "Name": "listener", "TCP": local(public), "Interval": "1s", "Timeout": "1s" }],
            } },
        })
    }

    async fn listed(&self, http: &Http, public: u16) -> Result<(), Error> {
        let path = format!("/v1/health/connect/{}?passing", self.service);
        let entries = http.get(&path).await?.ok()?;
        let mut entries = entries.as_array().into_iter().flatten();
        if entries.any(|entry| entry["Service"]["Port"] == public) {
            return Ok(());
        }
        Err(Error::new("the catalog does not have it as passing"))
    }
}

/// Has the `consul` command write Envoy's configuration.
pub(super) async fn bootstrap(
    agent: &Agent,
    consul: &Path,
    token: Option<&str>,
    which: &[String],
    admin: SocketAddr,
    file: &Path,
) -> Result<(), Error> {
    let failed = |error| Error::because("making Envoy's configuration", error);
    let output = Command::new(consul)
        .args(["connect", "envoy", "-bootstrap"])
        .args(which)
        .arg(format!("-grpc-addr={}", agent.grpc_addr()))
        .arg(format!("-admin-bind={admin}"))
        // It lists the releases of its own time, and later ones work.
        .arg("-ignore-envoy-compatibility")
        .envs(agent.environment_as(token))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(failed)?;
    if !output.status.success() {
        return Err(Error::new(format!(
            "making Envoy's configuration: `consul connect envoy` ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        )));
    }
    fs::write(file, output.stdout).map_err(failed)
}
