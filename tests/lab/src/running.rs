//! What every started program beside the agents has: a directory of its own, a log, and an end.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::{
    Error,
    process::{Launch, Process},
};

/// How often a state that cannot be waited for is looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// How long a program may take to be ready; far above what it takes on a busy machine.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(60);

/// How many lines of the log go into an error and below a failed test.
const TAIL: usize = 60;

/// A directory that goes with its owner; kept with `MESH_LAB_KEEP=1`.
pub(crate) fn work_directory(what: &str) -> Result<TempDir, Error> {
    let mut directory = tempfile::Builder::new()
        .prefix(&format!("mesh-lab-{what}-"))
        .tempdir()
        .map_err(|error| Error::because(format!("making a directory for {what}"), error))?;
    directory.disable_cleanup(env::var_os("MESH_LAB_KEEP").is_some_and(|value| value == "1"));
    Ok(directory)
}

/// A running program. Dropping it kills it and removes its directory; when a panic drops it, the end of its log is printed.
#[derive(Debug)]
pub(crate) struct Running {
    name: String,
    // Before the directory: the process must be gone when that is removed.
    process: Mutex<Process>,
    directory: TempDir,
}

/// What is started, apart from where its log goes.
pub(crate) struct Start<'a> {
    pub(crate) program: &'a Path,
    pub(crate) arguments: &'a [String],
    pub(crate) environment: &'a [(&'a str, String)],
    pub(crate) piped: bool,
}

impl Running {
    /// `name` is what a person calls it, in errors and above its log.
    pub(crate) fn start(name: &str, directory: TempDir, start: Start<'_>) -> Result<Self, Error> {
        let launch = Launch {
            program: start.program,
            arguments: start.arguments,
            environment: start.environment,
            log: &log_in(directory.path()),
            piped: start.piped,
        };
        let process = launch
            .spawn()
            .map_err(|error| Error::because(format!("starting {name}"), error))?;
        Ok(Self {
            name: name.to_owned(),
            process: Mutex::new(process),
            directory,
        })
    }

    pub(crate) fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        log_in(self.directory.path())
    }

    pub(crate) fn logs(&self) -> String {
        fs::read(self.log_path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    pub(crate) fn id(&self) -> u32 {
        self.process().id()
    }

    pub(crate) fn exited(&self) -> Result<Option<ExitStatus>, Error> {
        let exited = self.process().exited();
        exited.map_err(|error| self.failed("looking whether it runs", error))
    }

    pub(crate) fn ended(&self) -> Result<bool, Error> {
        self.exited().map(|status| status.is_some())
    }

    pub(crate) fn kill(&self) -> Result<(), Error> {
        let killed = self.process().kill();
        killed.map_err(|error| self.failed("killing it", error))
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Error> {
        let sent = self.process().signal(signal);
        sent.map_err(|error| self.failed("sending it a signal", error))
    }

    pub(crate) fn pause(&self) -> Result<(), Error> {
        let paused = self.process().pause();
        paused.map_err(|error| self.failed("pausing it", error))
    }

    /// `SIGTERM`, and after `patience` the end.
    pub(crate) async fn stop(&self, patience: Duration) -> Result<(), Error> {
        if self.ended()? {
            return Ok(());
        }
        self.signal(Signal::TERM)?;
        let end = Instant::now() + patience;
        while !self.ended()? {
            if Instant::now() >= end {
                return self.kill();
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Asks until the answer is `Ok`; fails when the program ends or is not ready in time, with what it still waited for and its log.
    pub(crate) async fn ready(
        &self,
        within: Duration,
        mut ask: impl AsyncFnMut() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let end = Instant::now() + within;
        loop {
            if self.ended()? {
                return Err(self.with_log("it ended before it was ready"));
            }
            match ask().await {
                Ok(()) => return Ok(()),
                Err(waits_for) if Instant::now() >= end => {
                    return Err(
                        self.with_log(&format!("not ready within {within:?}: {waits_for:?}"))
                    );
                }
                Err(_not_yet) => sleep(LOOK).await,
            }
        }
    }

    pub(crate) fn with_log(&self, what: &str) -> Error {
        Error::new(format!("{}: {what}\n{}", self.name, self.tail()))
    }

    fn failed(&self, doing: &str, error: std::io::Error) -> Error {
        Error::because(format!("{}: {doing}", self.name), error)
    }

    fn tail(&self) -> String {
        tail(&self.name, &self.logs())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The print macro, which the harness captures: it shows it below the failure of this test.
            eprintln!("{}", self.tail());
        }
    }
}

pub(crate) fn tail(name: &str, logs: &str) -> String {
    let lines: Vec<_> = logs.lines().collect();
    let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
    format!("--- the end of {name}'s log ---\n{tail}\n--- end ---")
}

fn log_in(directory: &Path) -> PathBuf {
    directory.join("log")
}
