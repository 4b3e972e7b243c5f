//! A running agent.

use std::{
    env, fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use super::{Consul, builder::Role};
use crate::{Error, Found, Http, ports::Ports, process::Process};

/// How often a state that cannot be waited for is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// How long an agent may take to end by itself; leaving a datacenter takes some seconds.
const LEAVE: Duration = Duration::from_secs(20);

/// How many lines of the log go into an error and below a failed test.
const TAIL: usize = 60;

/// A running Consul agent. Dropping it kills it and removes its directory; so does the end of this process, whatever its cause.
///
/// When it is dropped by a panic, the end of its log is printed.
#[derive(Debug)]
pub struct Agent {
    setup: Consul,
    ports: Ports,
    // Before the directory: the process must be gone when that is removed.
    process: Mutex<Option<Process>>,
    directory: TempDir,
}

impl Agent {
    pub(super) async fn start(setup: Consul) -> Result<Self, Error> {
        // Nobody but a program outside the lab can take a port between our look and the agent's: rare, but then others will do.
        let mut attempts = 3;
        loop {
            let agent = Self::prepare(setup.clone())?;
            attempts -= 1;
            match agent.run().await {
                Ok(()) => return Ok(agent),
                Err(_) if attempts > 0 && agent.logs().contains("address already in use") => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn prepare(setup: Consul) -> Result<Self, Error> {
        let ports = Ports::reserve()?;
        let failed = |error| Error::because("preparing the agent's directory", error);
        let mut directory = tempfile::Builder::new()
            .prefix("mesh-lab-consul-")
            .tempdir()
            .map_err(failed)?;
        directory.disable_cleanup(env::var_os("MESH_LAB_KEEP").is_some_and(|value| value == "1"));
        let agent = Self {
            setup,
            ports,
            process: Mutex::new(None),
            directory,
        };
        fs::create_dir(agent.config_dir()).map_err(failed)?;
        let data = agent.data_dir();
        for (name, text) in agent.setup.files(&agent.ports, &data.to_string_lossy()) {
            fs::write(agent.config_dir().join(name), text).map_err(failed)?;
        }
        Ok(agent)
    }

    /// Starts the process and waits until it is ready.
    async fn run(&self) -> Result<(), Error> {
        let mut arguments = vec!["agent".to_owned()];
        if self.setup.role == Role::Dev {
            arguments.push("-dev".to_owned());
        } else {
            fs::create_dir_all(self.data_dir())
                .map_err(|error| Error::because("making the data directory", error))?;
        }
        arguments.push(format!("-config-dir={}", self.config_dir().display()));
        let program = &self.setup.found.path;
        let process = Process::spawn(program, &arguments, &self.log_path())
            .map_err(|error| Error::because(format!("starting {}", program.display()), error))?;
        *self.process() = Some(process);
        self.ready().await
    }

    /// Waits until the CA answers and, with ACLs, until the management token is known. [`Consul::start`] has done so.
    ///
    /// # Errors
    /// When the agent is not running, ends meanwhile, or is not ready in time.
    pub async fn ready(&self) -> Result<(), Error> {
        let end = Instant::now() + self.setup.ready_within;
        loop {
            if !self.is_running()? {
                return Err(self.with_log("waiting for Consul to be ready: it ended"));
            }
            let waits_for = match timeout(Duration::from_secs(5), self.probe()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => format!("{error:?}"),
                Err(_elapsed) => "no answer within 5 s".to_owned(),
            };
            if Instant::now() >= end {
                let limit = self.setup.ready_within;
                return Err(self.with_log(&format!(
                    "waiting for Consul to be ready: not within {limit:?}; {waits_for}"
                )));
            }
            sleep(LOOK).await;
        }
    }

    async fn probe(&self) -> Result<(), Error> {
        let roots = self.http().get("/v1/agent/connect/ca/roots").await?.ok()?;
        if roots["TrustDomain"].as_str().is_none_or(str::is_empty) {
            return Err(Error::new("the CA has no trust domain yet"));
        }
        if self.setup.acl.is_some() {
            self.http().get("/v1/acl/token/self").await?.ok()?;
        }
        Ok(())
    }

    /// A client agent to be joined to this server: same program, datacenter and ACLs, nothing else of its configuration.
    pub fn client_agent(&self) -> Consul {
        Consul::client_of(&self.setup, self.ports.serf_lan())
    }

    /// The program that runs.
    #[must_use]
    pub fn found(&self) -> &Found {
        &self.setup.found
    }

    /// Where the HTTP API listens.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        local(self.ports.http())
    }

    /// Where gRPC listens in plaintext.
    #[must_use]
    pub fn grpc_addr(&self) -> SocketAddr {
        local(self.ports.grpc())
    }

    /// Where gRPC listens with TLS.
    #[must_use]
    pub fn grpc_tls_addr(&self) -> SocketAddr {
        local(self.ports.grpc_tls())
    }

    /// Where the HTTPS API listens, if [`Consul::https`] asked for it.
    #[must_use]
    pub fn https_addr(&self) -> SocketAddr {
        local(self.ports.https())
    }

    /// Where DNS is served.
    #[must_use]
    pub fn dns_addr(&self) -> SocketAddr {
        local(self.ports.dns())
    }

    /// Where servers of other datacenters join it.
    #[must_use]
    pub fn serf_wan_addr(&self) -> SocketAddr {
        local(self.ports.serf_wan())
    }

    /// The name of its node in the catalog.
    #[must_use]
    pub fn node_name(&self) -> String {
        self.setup.node(&self.ports)
    }

    /// The management token; `None` without ACLs.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.setup.acl.as_ref().map(|acl| acl.management.as_str())
    }

    /// The variables with which a program of its own finds this agent: address, gRPC address, and the token if there are ACLs.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        self.environment_as(None)
    }

    /// The same with another token.
    pub(crate) fn environment_as(&self, token: Option<&str>) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("CONSUL_HTTP_ADDR", format!("http://{}", self.http_addr())),
            ("CONSUL_GRPC_ADDR", format!("http://{}", self.grpc_addr())),
        ];
        let token = token.or(self.token());
        variables.extend(token.map(|token| ("CONSUL_HTTP_TOKEN", token.to_owned())));
        variables
    }

    /// Raw calls with the management token (with none, when there are no ACLs).
    #[must_use]
    pub fn http(&self) -> Http {
        Http::new(self.http_addr(), self.token().map(str::to_owned))
    }

    /// Raw calls with another token.
    #[must_use]
    pub fn http_as(&self, token: &str) -> Http {
        Http::new(self.http_addr(), Some(token.to_owned()))
    }

    /// Raw calls without a token.
    #[must_use]
    pub fn http_anonymous(&self) -> Http {
        Http::new(self.http_addr(), None)
    }

    /// The number of its process, while it runs.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.process().as_ref().map(Process::id)
    }

    /// Whether its process runs (a paused one does).
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn is_running(&self) -> Result<bool, Error> {
        let mut process = self.process();
        let Some(running) = process.as_mut() else {
            return Ok(false);
        };
        let ended = running
            .exited()
            .map_err(|error| Error::because("looking whether Consul runs", error))?;
        if ended.is_some() {
            *process = None;
        }
        Ok(ended.is_none())
    }

    /// Kills it at once, as a crash or `kill -9` does. Its ports and its data stay its own. Nothing happens if it does not run.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub async fn kill(&self) -> Result<(), Error> {
        match self.process().take() {
            Some(mut process) => process
                .kill()
                .map_err(|error| Error::because("killing Consul", error)),
            None => Ok(()),
        }
    }

    /// Stops it as an operator does: `SIGTERM`, on which a client agent leaves its datacenter; killed if that takes more than 20 seconds.
    ///
    /// # Errors
    /// When the operating system refuses.
    ///
    /// # Cancel safety
    /// Dropping the future leaves an agent that is ending.
    pub async fn stop(&self) -> Result<(), Error> {
        self.tell("stopping Consul", |process| process.signal(Signal::TERM))?;
        let end = Instant::now() + LEAVE;
        while self.is_running()? {
            if Instant::now() >= end {
                return self.kill().await;
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Starts it again on the same ports with the same data directory, killing it first if it runs, and waits until it is ready.
    /// A development server keeps nothing on disk: it comes back empty, with another trust domain.
    ///
    /// # Errors
    /// As [`Consul::start`].
    pub async fn restart(&self) -> Result<(), Error> {
        self.kill().await?;
        self.run().await
    }

    /// Deletes its data directory: [`restart`](Self::restart) then brings back the same node, on the same ports, that knows nothing.
    ///
    /// # Errors
    /// When it runs, or the directory cannot be removed.
    pub fn wipe(&self) -> Result<(), Error> {
        if self.is_running()? {
            return Err(Error::new("wiping Consul's data: it is still running"));
        }
        match fs::remove_dir_all(self.data_dir()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::because("wiping Consul's data", error))
            }
            _ => Ok(()),
        }
    }

    /// Freezes it: connections stay open and nothing is answered, until [`resume`](Self::resume). On return it stands still.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&self) -> Result<(), Error> {
        self.tell("pausing Consul", Process::pause)
    }

    /// Lets it go on after [`pause`](Self::pause).
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&self) -> Result<(), Error> {
        self.tell("resuming Consul", |process| process.signal(Signal::CONT))
    }

    fn tell(
        &self,
        doing: &str,
        what: impl FnOnce(&Process) -> io::Result<()>,
    ) -> Result<(), Error> {
        match self.process().as_ref() {
            Some(process) => what(process).map_err(|error| Error::because(doing, error)),
            None => Err(Error::new(format!("{doing}: it does not run"))),
        }
    }

    /// Everything it has written, over all its starts.
    #[must_use]
    pub fn logs(&self) -> String {
        fs::read(self.log_path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Its directory: `config/`, `data/` and `consul.log`. Kept after the end with `MESH_LAB_KEEP=1`.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn with_log(&self, doing: &str) -> Error {
        Error::new(format!("{doing}\n{}", self.log_tail()))
    }

    fn log_tail(&self) -> String {
        let logs = self.logs();
        let lines: Vec<_> = logs.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
        format!(
            "--- the end of {}'s log ---\n{tail}\n--- end ---",
            self.node_name()
        )
    }

    fn config_dir(&self) -> PathBuf {
        self.directory.path().join("config")
    }

    fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The file [`logs`](Self::logs) reads.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.directory.path().join("consul.log")
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The print macro, which the harness captures: it shows it below the failure of this test.
            eprintln!("{}", self.log_tail());
        }
    }
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
