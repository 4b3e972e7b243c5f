//! A server on the SDK.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};

use super::{Lines, launch, text};
use crate::{Agent, Error, Found, Http, running::Running};

/// A server to be started.
#[derive(Debug)]
#[must_use = "nothing runs before `start`"]
pub struct Serve<'a> {
    agent: &'a Agent,
    found: Found,
    service: String,
    mode: &'static str,
    alpn: Option<String>,
    token: Option<String>,
}

impl<'a> Serve<'a> {
    pub(super) fn new(agent: &'a Agent, found: Found, service: &str) -> Self {
        Self {
            agent,
            found,
            service: service.to_owned(),
            mode: "http",
            alpn: None,
            token: None,
        }
    }

    /// Echoes bytes instead of answering requests.
    pub fn tcp(mut self) -> Self {
        self.mode = "tcp";
        self
    }

    /// Offers these by ALPN, separated by commas, or `none`, in place of the SDK's default, which is `h2` alone.
    pub fn alpn(mut self, protocols: &str) -> Self {
        self.alpn = Some(protocols.to_owned());
        self
    }

    /// Its token; otherwise the management token, if there are ACLs.
    pub fn token(mut self, secret: &str) -> Self {
        self.token = Some(secret.to_owned());
        self
    }

    /// Starts it on a free loopback port and registers it as a native service.
    ///
    /// # Errors
    /// When it does not start, gets no leaf within a minute, or cannot be registered.
    ///
    /// # Cancel safety
    /// Dropping the future stops what has been started.
    pub async fn start(self) -> Result<GoServer, Error> {
        let mut arguments = vec![
            "serve".to_owned(),
            format!("--service={}", self.service),
            format!("--mode={}", self.mode),
        ];
        arguments.extend(self.alpn.map(|protocols| format!("--alpn={protocols}")));
        let name = format!("the Go server {}", self.service);
        let token = self.token.as_deref();
        let (running, lines) = launch(self.agent, &self.found, &name, &arguments, token)?;
        let listening = lines.wait(|line| line["event"] == "listening").await;
        let listening = listening.map_err(|error| running.with_log(&error.to_string()))?;
        let address = text(&listening, "address");
        let address: SocketAddr = address
            .parse()
            .map_err(|error| Error::because(format!("{name}: reading its address"), error))?;
        let id = format!("{}-go-{}", self.service, address.port());
        let definition = json!({
            "ID": id, "Name": self.service, "Address": address.ip(), "Port": address.port(), "Connect": { "Native": true },
        });
        let http = self.agent.http();
        http.put("/v1/agent/service/register", &definition)
            .await?
            .ok()?;
        Ok(GoServer {
            id,
            address,
            http,
            lines,
            running,
        })
    }
}

/// A running server. Dropping it kills it; [`stop`](Self::stop) takes it out of the catalog too.
#[derive(Debug)]
pub struct GoServer {
    id: String,
    address: SocketAddr,
    http: Http,
    lines: Lines,
    running: Running,
}

impl GoServer {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The ID of its registration.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Everything it has said: `request`, `connection`, `closed` and `refused` events.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        self.lines.all()
    }

    /// The first event that is `wanted`, among those there are and those to come.
    ///
    /// # Errors
    /// When there is none within a minute, or the server ends.
    pub async fn event(&self, wanted: impl Fn(&Value) -> bool) -> Result<Value, Error> {
        self.lines.wait(wanted).await
    }

    /// The SDK's log.
    #[must_use]
    pub fn logs(&self) -> String {
        self.running.logs()
    }

    /// The number of its process.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.running.id()
    }

    /// Takes it out of the catalog and ends it.
    ///
    /// # Errors
    /// When the agent refuses, or the operating system does.
    pub async fn stop(self) -> Result<(), Error> {
        let path = format!("/v1/agent/service/deregister/{}", self.id);
        self.http.put(&path, &Value::Null).await?.ok()?;
        self.running.stop(Duration::from_secs(5)).await
    }
}
