//! A client on the SDK.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Lines, launch, text};
use crate::{Agent, Error, Found, running::Running};

/// A client to be started.
#[derive(Debug)]
#[must_use = "nothing runs before `start`"]
pub struct Dial<'a> {
    agent: &'a Agent,
    found: Found,
    service: String,
    upstream: String,
    mode: &'static str,
    token: Option<String>,
}

impl<'a> Dial<'a> {
    pub(super) fn new(agent: &'a Agent, found: Found, service: &str, upstream: &str) -> Self {
        Self {
            agent,
            found,
            service: service.to_owned(),
            upstream: upstream.to_owned(),
            mode: "http",
            token: None,
        }
    }

    /// Uses the SDK's `Dial` for bytes instead of its `HTTPClient` for requests.
    pub fn tcp(mut self) -> Self {
        self.mode = "tcp";
        self
    }

    /// Its token; otherwise the management token, if there are ACLs.
    pub fn token(mut self, secret: &str) -> Self {
        self.token = Some(secret.to_owned());
        self
    }

    /// Starts it and waits until the SDK has its leaf and roots.
    ///
    /// # Errors
    /// When it does not start, or gets no leaf within a minute.
    ///
    /// # Cancel safety
    /// Dropping the future stops what has been started.
    pub async fn start(self) -> Result<Dialler, Error> {
        let arguments = [
            "dial".to_owned(),
            format!("--service={}", self.service),
            format!("--upstream={}", self.upstream),
            format!("--mode={}", self.mode),
        ];
        let name = format!("the Go client {}", self.service);
        let token = self.token.as_deref();
        let (running, lines) = launch(self.agent, &self.found, &name, &arguments, token)?;
        let ready = lines.wait(|line| line["event"] == "ready").await;
        ready.map_err(|error| running.with_log(&error.to_string()))?;
        Ok(Dialler {
            asked: 0,
            lines,
            running,
        })
    }
}

/// A running client: it does one thing after the other. Dropping it kills it.
#[derive(Debug)]
pub struct Dialler {
    asked: u64,
    lines: Lines,
    running: Running,
}

/// What became of one request, or of one echo.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Fate {
    /// Whether there was a whole answer, of whatever status.
    pub ok: bool,
    /// The status of an HTTP answer.
    pub status: Option<u16>,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub protocol: String,
    /// What was negotiated by ALPN (bytes alone).
    pub alpn: String,
    /// The version of TLS (bytes alone).
    pub tls: String,
    /// The body, or what came back.
    pub body: String,
    /// What the SDK said, if it failed.
    pub error: String,
    /// How long it took.
    pub took: Duration,
}

impl Dialler {
    /// One request, over a pooled connection if there is one.
    ///
    /// # Errors
    /// When the client does not say what became of it; a request that fails is a [`Fate`].
    pub async fn request(&mut self, method: &str, path: &str, body: &str) -> Result<Fate, Error> {
        self.order(json!({ "method": method, "path": path, "body": body }))
            .await
    }

    /// As [`request`](Self::request), over a new connection of a new `HTTPClient`.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn fresh_request(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<Fate, Error> {
        self.order(json!({ "method": method, "path": path, "body": body, "fresh": true }))
            .await
    }

    /// Sends a text over the open connection, or over a new one if there is none, and reads as much back.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn echo(&mut self, text: &str) -> Result<Fate, Error> {
        self.order(json!({ "text": text })).await
    }

    /// As [`echo`](Self::echo), over a new connection; the old one is closed.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn fresh_echo(&mut self, text: &str) -> Result<Fate, Error> {
        self.order(json!({ "text": text, "fresh": true })).await
    }

    async fn order(&mut self, mut order: Value) -> Result<Fate, Error> {
        self.asked += 1;
        let id = self.asked;
        order["id"] = json!(id);
        self.lines.write(&order).await?;
        let line = self.lines.wait(|line| line["id"] == id).await;
        let line = line.map_err(|error| self.running.with_log(&error.to_string()))?;
        let millis = line["millis"].as_f64().unwrap_or_default();
        Ok(Fate {
            ok: line["ok"] == true,
            status: line["status"]
                .as_u64()
                .and_then(|status| u16::try_from(status).ok()),
            protocol: text(&line, "protocol"),
            alpn: text(&line, "alpn"),
            tls: text(&line, "tls"),
            body: text(&line, "body"),
            error: text(&line, "error"),
            took: Duration::try_from_secs_f64(millis / 1000.0).unwrap_or_default(),
        })
    }

    /// The SDK's log.
    #[must_use]
    pub fn logs(&self) -> String {
        self.running.logs()
    }
}
