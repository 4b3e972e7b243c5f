//! Two members that each have an agent of their own, and one that may fail.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mesh_lab::{
    Agent, Consul,
    load::{Load, Report, Running},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tower_mesh::{Error, Mesh, MeshBuilder};
use tracing::{Level, subscriber::DefaultGuard};

use crate::{
    peers::becomes,
    real::DEADLINE,
    real_mesh::{Source, member},
    traffic::{Traffic, answering},
};

/// Requests a second while something fails.
const RATE: f64 = 300.0;
/// Requests at the same time, at most.
const WORKERS: usize = 24;

/// A server, a host with an agent where `api` runs, and one where its caller does.
#[derive(Debug)]
#[non_exhaustive]
pub struct Hosts {
    /// The server.
    pub server: Agent,
    /// The agent of `api`.
    pub there: Agent,
    /// The agent of the caller.
    pub here: Agent,
}

impl Hosts {
    /// Starts the agents.
    pub async fn start(consul: Consul) -> Self {
        let server = consul.start().await.expect("a server");
        let (there, here) =
            tokio::join!(server.client_agent().start(), server.client_agent().start());
        Self {
            there: there.expect("an agent"),
            here: here.expect("an agent"),
            server,
        }
    }

    /// Has both members join, with keys of its own there and the agent's leafs here, and begins to call.
    pub async fn calling(&self) -> Calling {
        let api = member(&self.there, "api", Source::Grpc, None);
        let caller = member(&self.here, "caller", Source::Agent, None);
        Calling::start(api, caller).await
    }
}

/// `api`, served, and its caller under load.
#[derive(Debug)]
#[non_exhaustive]
pub struct Calling {
    /// Who is called.
    pub api: Mesh,
    /// Who calls.
    pub caller: Mesh,
    /// What is sent.
    pub traffic: Arc<Traffic>,
    load: Running,
    served: JoinHandle<Result<(), Error>>,
}

impl Calling {
    /// Joins, serves and begins to call.
    pub async fn start(api: MeshBuilder, caller: MeshBuilder) -> Self {
        Self::under(api, caller, Load::new(WORKERS).rate(RATE)).await
    }

    /// The same under another load.
    pub async fn under(api: MeshBuilder, caller: MeshBuilder, load: Load) -> Self {
        let api = api
            .rotation_spread(Duration::from_secs(1))
            .join()
            .await
            .expect("a member");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let server = api.clone();
        let served = tokio::spawn(async move { server.serve_on(listener, answering("api")).await });
        api.ready().await.expect("ready");
        let caller = caller
            .rotation_spread(Duration::from_secs(1))
            .join()
            .await
            .expect("a member");
        let found = caller.client("api");
        becomes("the instance is found", async || {
            found.resolved().await.map_err(|error| error.to_string())?;
            let usable = found.status().usable.len();
            (usable == 1).then_some(()).ok_or(format!("{usable}"))
        })
        .await;
        let traffic = Traffic::to(&caller, "api").await;
        let load = traffic.start(load);
        Self {
            api,
            caller,
            traffic,
            load,
            served,
        }
    }

    /// Waits until so many more requests have been answered.
    pub async fn more(&self, requests: u64) {
        self.load
            .until_done(self.load.report().done() + requests)
            .await;
    }

    /// What has become of the requests so far.
    #[must_use]
    pub fn report(&self) -> Report {
        self.load.report()
    }

    /// Asserts that no request has failed, and that new connections are made too.
    pub async fn goes_on(&self, when: &str) {
        self.more(100).await;
        let dialled = self.traffic.dial().await;
        drop(dialled.unwrap_or_else(|error| panic!("{when}: {}", crate::peers::chain(&error))));
        let report = self.report();
        assert_eq!(report.failed(), 0, "{when}: {report}");
    }

    /// What does not work of what Consul says to both, if anything.
    ///
    /// # Errors
    /// Says it.
    pub fn is_whole(&self) -> Result<(), String> {
        is_whole(&self.api)?;
        is_whole(&self.caller)
    }

    /// Ends, and asserts that no request has failed.
    pub async fn end(self) -> Report {
        let report = self.load.stop(Duration::from_secs(20)).await;
        let (dialled, again) = self.traffic.http1_counts();
        println!(
            "{report}\n{dialled} HTTP/1.1 connections, {again} requests sent again over another"
        );
        assert_eq!(report.failed(), 0, "{report}");
        assert_eq!(report.in_flight(), 0, "{report}");
        self.api.shutdown().await;
        self.served
            .await
            .expect("no panic")
            .expect("an orderly end");
        report
    }
}

/// What does not work of what Consul says to this member, if anything.
///
/// # Errors
/// Says it.
pub fn is_whole(mesh: &Mesh) -> Result<(), String> {
    let status = mesh.status();
    let intentions = status.intentions.as_ref();
    let upstreams = || status.upstreams.iter();
    let whole = status.is_ready()
        && status.identity.fault.is_none()
        && intentions.is_none_or(|one| one.failing_for.is_none())
        && status.registrations.iter().all(|one| one.failures == 0)
        && upstreams().all(|one| one.problem.is_none() && one.failing_for.is_none())
        && upstreams().all(|one| !one.usable.is_empty() && !one.in_grace);
    whole.then_some(()).ok_or_else(|| status.to_string())
}

/// Kills an agent, lets it be away, starts it again, and says when its port answered and when it was ready.
pub async fn outage(agent: &Agent, away: Duration, wiped: bool) -> (Instant, Instant) {
    agent.kill().await.expect("killed");
    if wiped {
        agent.wipe().expect("wiped");
    }
    // The fault itself, not a wait for something.
    sleep(away).await;
    let (restarted, answers) = tokio::join!(agent.restart(), answers(agent.http_addr()));
    restarted.expect("it comes back");
    (answers, Instant::now())
}

/// Waits until something is no longer so, and then until it is again.
///
/// # Panics
/// After minutes.
pub async fn is_again(what: &str, mut is: impl AsyncFnMut() -> bool) -> Instant {
    let all = async {
        for before in [true, false] {
            while is().await == before {
                sleep(Duration::from_millis(5)).await;
            }
        }
    };
    let long = DEADLINE * 2;
    let seen = timeout(long, all).await;
    seen.unwrap_or_else(|_| panic!("{what}: not within {long:?}"));
    Instant::now()
}

/// How many instances pass, as Consul says.
///
/// # Errors
/// Why it does not say.
pub async fn passing(consul: &consul_api::Client, service: &str) -> Result<usize, String> {
    let found = consul.health().connect(service).passing().await;
    Ok(found.map_err(|error| error.to_string())?.value.len())
}

async fn answers(address: SocketAddr) -> Instant {
    while TcpStream::connect(address).await.is_err() {
        sleep(Duration::from_millis(2)).await;
    }
    Instant::now()
}

/// The warnings and errors that this thread logs, from now until it is dropped.
#[derive(Debug)]
pub struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    _guard: DefaultGuard,
}

/// Begins to collect.
#[must_use]
pub fn log() -> Log {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let writer = Arc::clone(&lines);
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(Level::WARN)
        .with_ansi(false)
        .with_writer(move || Lines(Arc::clone(&writer)))
        .finish();
    Log {
        lines,
        _guard: tracing::subscriber::set_default(subscriber),
    }
}

impl Log {
    /// What was logged since the last time.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Lines(Arc<Mutex<Vec<String>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(bytes).trim_end().to_owned();
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(text);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
