//! A child that never outlives this process, however this process ends.

use std::{
    env,
    fs::File,
    io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::{LazyLock, mpsc},
    thread,
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::find::on_path;

/// A running program with its output in a file. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Present when the kernel does not do it: see [`Leash`].
    watchdog: Option<Child>,
}

/// How a child learns that we are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Leash {
    /// Linux: `setpriv` asks the kernel to kill the child when the thread that started it ends.
    DeathSignal(PathBuf),
    /// Elsewhere: a shell waits for the end of a pipe that only we hold, then kills.
    Watchdog,
}

impl Leash {
    /// `MESH_LAB_LEASH=watchdog` chooses the fallback where both would work, so that it can be tested.
    fn choose() -> Self {
        let forced = env::var_os("MESH_LAB_LEASH").is_some_and(|value| value == "watchdog");
        match on_path("setpriv") {
            Some(setpriv) if cfg!(target_os = "linux") && !forced => Self::DeathSignal(setpriv),
            _ => Self::Watchdog,
        }
    }
}

/// What is to be started.
pub(crate) struct Launch<'a> {
    pub(crate) program: &'a Path,
    pub(crate) arguments: &'a [String],
    /// Added to our own environment; here secrets go, which arguments would show to everybody.
    pub(crate) environment: &'a [(&'a str, String)],
    /// Where its output is appended.
    pub(crate) log: &'a Path,
    /// Standard input and output are for us, the log has standard error alone.
    pub(crate) piped: bool,
}

impl Launch<'_> {
    pub(crate) fn spawn(self) -> io::Result<Process> {
        let Self {
            program,
            arguments,
            environment,
            log,
            piped,
        } = self;
        let output = File::options().create(true).append(true).open(log)?;
        let leash = Leash::choose();
        let mut command = match &leash {
            Leash::DeathSignal(setpriv) => {
                let mut command = Command::new(setpriv);
                // We may have died before the signal was armed: then the parent is no longer us, and nothing must start.
                command
                    .args([
                        "--pdeathsig",
                        "KILL",
                        "/bin/sh",
                        "-c",
                        r#"[ "$PPID" = "$0" ] && exec "$@""#,
                    ])
                    .arg(std::process::id().to_string())
                    .arg(program);
                command
            }
            Leash::Watchdog => Command::new(program),
        };
        let (input, out) = match piped {
            true => (Stdio::piped(), Stdio::piped()),
            false => (Stdio::null(), output.try_clone()?.into()),
        };
        command
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(input)
            .stdout(out)
            .stderr(output)
            .process_group(0); // an interrupt typed at the terminal is for the test, which then stops the child
        let mut process = Process {
            child: spawn_from_lasting_thread(command)?,
            watchdog: None,
        };
        if leash == Leash::Watchdog {
            process.watchdog = Some(watch_over(process.child.id())?);
        }
        Ok(process)
    }
}

impl Process {
    /// Starts `program`, its output appended to `log`.
    pub(crate) fn spawn(program: &Path, arguments: &[String], log: &Path) -> io::Result<Self> {
        let launch = Launch {
            program,
            arguments,
            environment: &[],
            log,
            piped: false,
        };
        launch.spawn()
    }

    /// Its standard input and output, when they were asked for; once.
    pub(crate) fn pipes(&mut self) -> Option<(ChildStdin, ChildStdout)> {
        self.child.stdin.take().zip(self.child.stdout.take())
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal. A child that has not been reaped keeps its number, so it cannot reach another process.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(self.pid()?, signal)?)
    }

    /// Freezes it, and returns when every thread of it stands still: the signal alone takes effect some time later.
    pub(crate) fn pause(&self) -> io::Result<()> {
        self.signal(Signal::STOP)?;
        // Only looks: what is reported here is still there for the wait that reaps.
        let look = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(self.pid()?), look)?;
        Ok(())
    }

    fn pid(&self) -> io::Result<Pid> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        pid.ok_or_else(|| io::Error::other("the child's process number is out of range"))
    }

    /// How it ended, or `None` while it runs.
    pub(crate) fn exited(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        if status.is_some() {
            self.dismiss_watchdog();
        }
        Ok(status)
    }

    /// Kills at once and waits until it is gone, its ports free.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.dismiss_watchdog();
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    // Before the child is reaped: afterwards its number may belong to someone else.
    fn dismiss_watchdog(&mut self) {
        if let Some(mut watchdog) = self.watchdog.take() {
            // It can only have ended already, which is what we want.
            drop(watchdog.kill().and_then(|()| watchdog.wait()));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A child that has been reaped is not signalled again; nothing can be done about another failure here.
        drop(self.kill());
    }
}

/// The pipe ends, by whatever cause, when the last holder of its other end is gone: that is us alone.
fn watch_over(child: u32) -> io::Result<Child> {
    Command::new("/bin/sh")
        .args(["-c", r#"read -r _; kill -9 "$0""#])
        .arg(child.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
}

/// The kernel sends the death signal when the *thread* that started the child ends, and a test's thread ends with its test.
fn spawn_from_lasting_thread(command: Command) -> io::Result<Child> {
    type Job = (Command, mpsc::SyncSender<io::Result<Child>>);
    static JOBS: LazyLock<mpsc::Sender<Job>> = LazyLock::new(|| {
        let (jobs, queue) = mpsc::channel::<Job>();
        let spawner = move || {
            for (mut command, reply) in queue {
                // The asker waits for the reply; if it is gone the child is dropped with its leash on.
                drop(reply.send(command.spawn()));
            }
        };
        // Without the thread the queue is closed, and every start reports it.
        drop(
            thread::Builder::new()
                .name("mesh-lab-spawn".to_owned())
                .spawn(spawner),
        );
        jobs
    });
    let gone = || io::Error::other("the thread that starts children could not be started");
    let (reply, answer) = mpsc::sync_channel(1);
    JOBS.send((command, reply)).map_err(|_closed| gone())?;
    answer.recv().map_err(|_closed| gone())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_outlives_the_thread_that_asked_for_it() -> io::Result<()> {
        let directory = tempfile::tempdir()?;
        let log = directory.path().join("log");
        let started = thread::spawn(move || {
            Process::spawn(Path::new("/bin/sleep"), &["600".to_owned()], &log)
        });
        let mut child = started
            .join()
            .map_err(|_panic| io::Error::other("the starting thread panicked"))??;
        assert_eq!(child.exited()?, None);
        child.kill()?;
        assert!(child.exited()?.is_some());
        Ok(())
    }
}
