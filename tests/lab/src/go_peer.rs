//! Members of the mesh on Consul's Go Connect SDK: software that speaks the same protocol and that nobody here wrote.

mod dial;
mod lines;
mod serve;

use std::time::Duration;

use serde_json::Value;

pub use dial::{Dial, Dialler, Fate};
pub use serve::{GoServer, Serve};

use self::lines::Lines;
use crate::{
    Agent, Component, Error, Found,
    gate::component,
    running::{Running, Start, work_directory},
};

/// The Go peer for a test, or `None` when the test cannot run here and should return; as with [`consul`](crate::consul).
///
/// # Panics
/// When it is missing and `MESH_LAB=required`.
#[must_use]
pub fn go_peer(agent: &Agent) -> Option<GoPeer<'_>> {
    let found = component(Component::GoPeer)?;
    Some(GoPeer { agent, found })
}

/// The Go peer, with the agent it will use.
#[derive(Debug)]
pub struct GoPeer<'a> {
    agent: &'a Agent,
    found: Found,
}

/// What `go-peer load` saw.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct GoLoad {
    /// Requests answered with 200.
    pub ok: u64,
    /// The others, by what the SDK said.
    pub failed: Vec<(String, u64)>,
    /// How long it ran.
    pub elapsed: Duration,
    /// Half of the answered requests took no longer.
    pub p50: Duration,
    /// 99 of 100 answered requests took no longer.
    pub p99: Duration,
    /// Processor time of the client's process.
    pub cpu: Duration,
}

impl<'a> GoPeer<'a> {
    /// A server that says who called, or echoes; to be started.
    pub fn serve(&self, service: &str) -> Serve<'a> {
        Serve::new(self.agent, self.found.clone(), service)
    }

    /// A client, called `service`, of `upstream`; to be started.
    pub fn dial(&self, service: &str, upstream: &str) -> Dial<'a> {
        Dial::new(self.agent, self.found.clone(), service, upstream)
    }

    /// Sends `GET` requests as fast as they are answered, one at a time on each of `connections` connections.
    /// They go through the SDK's `HTTPClient`, or as HTTP/1.1 over its `Dial` when `over_dial`.
    ///
    /// # Errors
    /// When the program cannot be started, or ends without saying what it saw.
    ///
    /// # Cancel safety
    /// Dropping the future stops the program.
    pub async fn load(
        &self,
        service: &str,
        upstream: &str,
        path: &str,
        connections: usize,
        duration: Duration,
        over_dial: bool,
    ) -> Result<GoLoad, Error> {
        let mode = if over_dial { "dial" } else { "http" };
        let arguments = [
            "load".to_owned(),
            format!("--service={service}"),
            format!("--upstream={upstream}"),
            format!("--mode={mode}"),
            format!("--path={path}"),
            format!("--connections={connections}"),
            format!("--seconds={}", duration.as_secs_f64()),
        ];
        let (_running, lines) = launch(self.agent, &self.found, "the Go load", &arguments, None)?;
        let line = lines
            .wait_within(duration + Duration::from_secs(90), |line| {
                line["event"] == "load"
            })
            .await?;
        let micros = |name: &str| {
            Duration::try_from_secs_f64(line[name].as_f64().unwrap_or_default() / 1e6)
                .unwrap_or_default()
        };
        let failed = line["failed"].as_object().into_iter().flatten();
        Ok(GoLoad {
            ok: line["ok"].as_u64().unwrap_or_default(),
            failed: failed
                .map(|(what, count)| (what.clone(), count.as_u64().unwrap_or_default()))
                .collect(),
            elapsed: Duration::try_from_secs_f64(line["seconds"].as_f64().unwrap_or_default())
                .unwrap_or_default(),
            p50: micros("p50_micros"),
            p99: micros("p99_micros"),
            cpu: micros("cpu_micros"),
        })
    }
}

fn launch(
    agent: &Agent,
    found: &Found,
    name: &str,
    arguments: &[String],
    token: Option<&str>,
) -> Result<(Running, Lines), Error> {
    let start = Start {
        program: &found.path,
        arguments,
        environment: &agent.environment_as(token),
        piped: true,
    };
    let running = Running::start(name, work_directory("go-peer")?, start)?;
    let pipes = running.process().pipes();
    let pipes = pipes.ok_or_else(|| Error::new(format!("{name}: it has no pipes")))?;
    let lines = Lines::new(name, pipes)?;
    Ok((running, lines))
}

fn text(line: &Value, name: &str) -> String {
    line[name].as_str().unwrap_or_default().to_owned()
}
