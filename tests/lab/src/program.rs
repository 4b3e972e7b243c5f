//! A program of ours in a process of its own, so that it can be told to end, or killed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::{Error, process::Process};

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// How long it may take to say what is waited for, or to end. Far above every figure.
const LONG: Duration = Duration::from_secs(60);

/// A running program. Killed when dropped, and also when this process is; what it wrote is shown when that happens in a test
/// that fails.
#[derive(Debug)]
pub struct Program {
    name: String,
    process: Mutex<Process>,
    output: PathBuf,
    _directory: TempDir,
}

impl Program {
    /// Starts `program` with variables added to ours.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start<V: AsRef<str>>(
        program: impl AsRef<Path>,
        arguments: impl IntoIterator<Item = impl Into<String>>,
        variables: impl IntoIterator<Item = (impl AsRef<str>, V)>,
    ) -> Result<Self, Error> {
        let program = program.as_ref();
        let name = program.file_name().map_or_else(
            || program.display().to_string(),
            |file| file.to_string_lossy().into_owned(),
        );
        let failed = |error| Error::because(format!("starting {name}"), error);
        let directory = tempfile::tempdir().map_err(failed)?;
        let output = directory.path().join("output");
        let mut line: Vec<String> = variables
            .into_iter()
            .map(|(key, value)| format!("{}={}", key.as_ref(), value.as_ref()))
            .collect();
        line.push(program.display().to_string());
        line.extend(arguments.into_iter().map(Into::into));
        let process = Process::spawn(Path::new("/usr/bin/env"), &line, &output).map_err(failed)?;
        Ok(Self {
            name,
            process: Mutex::new(process),
            output,
            _directory: directory,
        })
    }

    /// Everything it has written, to both of its outputs.
    #[must_use]
    pub fn output(&self) -> String {
        fs::read(&self.output).map_or_else(
            |error| format!("(what it wrote cannot be read: {error})"),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// Waits for a whole line that begins with `prefix`, and returns the rest of it.
    ///
    /// # Errors
    /// When it ends, or a minute passes, without having written one. The error has what it wrote.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn says(&self, prefix: &str) -> Result<String, Error> {
        let end = Instant::now() + LONG;
        loop {
            let ended = self.exited()?;
            let output = self.output();
            let whole = output.rfind('\n').map_or("", |last| &output[..last]);
            if let Some(rest) = whole.lines().find_map(|line| line.strip_prefix(prefix)) {
                return Ok(rest.to_owned());
            }
            if ended.is_some() || Instant::now() >= end {
                let name = &self.name;
                return Err(Error::new(format!(
                    "{name} did not say `{prefix}`: {output}"
                )));
            }
            sleep(LOOK).await;
        }
    }

    /// The number of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process().id()
    }

    /// Asks it to end, by SIGTERM.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn terminate(&self) -> Result<(), Error> {
        self.process()
            .signal(Signal::TERM)
            .map_err(|error| Error::because(format!("terminating {}", self.name), error))
    }

    /// Kills it at once, as a crash does.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn kill(&self) -> Result<(), Error> {
        self.process()
            .kill()
            .map_err(|error| Error::because(format!("killing {}", self.name), error))
    }

    /// How it ended, or `None` while it runs.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn exited(&self) -> Result<Option<ExitStatus>, Error> {
        self.process()
            .exited()
            .map_err(|error| Error::because(format!("looking whether {} runs", self.name), error))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When a minute passes without one. The error has what it wrote.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn ended(&self) -> Result<ExitStatus, Error> {
        let end = Instant::now() + LONG;
        loop {
            if let Some(status) = self.exited()? {
                return Ok(status);
            }
            if Instant::now() >= end {
                let (name, output) = (&self.name, self.output());
                return Err(Error::new(format!("{name} does not end: {output}")));
            }
            sleep(LOOK).await;
        }
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {} wrote:\n{}", self.name, self.output());
        }
    }
}
