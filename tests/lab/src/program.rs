//! A program of ours in a process of its own, so that it can be told to end, or killed.

use std::{path::Path, process::ExitStatus, time::Duration};

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::{
    Error,
    running::{READY_WITHIN, Running, Start, work_directory},
};

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// A running program. Killed when dropped, and also when this process is; the end of what it wrote is shown when that happens in
/// a test that fails.
#[derive(Debug)]
pub struct Program(Running);

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
        let arguments: Vec<String> = arguments.into_iter().map(Into::into).collect();
        let variables: Vec<_> = variables.into_iter().collect();
        let environment: Vec<(&str, String)> = variables
            .iter()
            .map(|(key, value)| (key.as_ref(), value.as_ref().to_owned()))
            .collect();
        let start = Start {
            program,
            arguments: &arguments,
            environment: &environment,
            piped: false,
        };
        Running::start(&name, work_directory(&name)?, start).map(Self)
    }

    /// Everything it has written, to both of its outputs.
    #[must_use]
    pub fn output(&self) -> String {
        self.0.logs()
    }

    /// Waits for a whole line that begins with `prefix`, and returns the rest of it.
    ///
    /// # Errors
    /// When it ends, or a minute passes, without having written one. The error has what it wrote.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn says(&self, prefix: &str) -> Result<String, Error> {
        let end = Instant::now() + READY_WITHIN;
        loop {
            let ended = self.exited()?;
            let output = self.output();
            let whole = output.rfind('\n').map_or("", |last| &output[..last]);
            if let Some(rest) = whole.lines().find_map(|line| line.strip_prefix(prefix)) {
                return Ok(rest.to_owned());
            }
            if ended.is_some() || Instant::now() >= end {
                return Err(self.0.with_log(&format!("it did not say `{prefix}`")));
            }
            sleep(LOOK).await;
        }
    }

    /// The number of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Asks it to end, by SIGTERM.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn terminate(&self) -> Result<(), Error> {
        self.0.signal(Signal::TERM)
    }

    /// Kills it at once, as a crash does.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn kill(&self) -> Result<(), Error> {
        self.0.kill()
    }

    /// How it ended, or `None` while it runs.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn exited(&self) -> Result<Option<ExitStatus>, Error> {
        self.0.exited()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When a minute passes without one. The error has the end of what it wrote.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn ended(&self) -> Result<ExitStatus, Error> {
        let end = Instant::now() + READY_WITHIN;
        loop {
            if let Some(status) = self.exited()? {
                return Ok(status);
            }
            if Instant::now() >= end {
                return Err(self.0.with_log("it does not end"));
            }
            sleep(LOOK).await;
        }
    }
}
