//! Builds what is not there, once per version and user.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    Error, Version,
    cache::{self, Lock},
    find,
};

/// A Go module of ours that has Consul as a dependency. As the main module Consul could not be built here:
/// its `replace` lines refuse `go install`, and only the main module's are heeded.
struct Module {
    files: &'static [(&'static str, &'static str)],
    package: &'static str,
}

const fn module(version: Version) -> Module {
    match version {
        Version::Newest => Module {
            files: &[
                ("go.mod", include_str!("../go/consul-1.22.5/go.mod")),
                ("go.sum", include_str!("../go/consul-1.22.5/go.sum")),
            ],
            package: "github.com/hashicorp/consul",
        },
        Version::Oldest => Module {
            files: &[
                ("go.mod", include_str!("../go/consul-1.20.5/go.mod")),
                ("go.sum", include_str!("../go/consul-1.20.5/go.sum")),
                ("main.go", include_str!("../go/consul-1.20.5/main.go")),
            ],
            package: ".",
        },
    }
}

/// Builds Consul into the user's cache directory, unless it is there already, and returns where it is.
///
/// Two runs at once are fine: the second waits for the first. An interrupted run leaves nothing that looks finished.
///
/// # Errors
/// When Go is missing or the build fails; the message says what to do, and the build's own output has gone to standard error.
pub fn build_consul(version: Version) -> Result<PathBuf, Error> {
    let program = find::built_consul(version)?;
    if program.exists() {
        return Ok(program);
    }
    let number = version.number();
    let cache = cache::directory()?;
    let waiting = || eprintln!("mesh-lab: another run is building Consul {number}; waiting for it");
    let lock = Lock::wait(&cache.join(format!("consul-{number}.lock")), waiting);
    let _lock = lock.map_err(|error| Error::because("locking the build of Consul", error))?;
    if program.exists() {
        return Ok(program);
    }

    let go = find::on_path("go").ok_or_else(|| {
        let variable = version.variable();
        Error::new(format!(
            "building Consul {number}: there is no `go` on PATH; install Go 1.26 or later, or set {variable} to a consul program"
        ))
    })?;
    eprintln!(
        "mesh-lab: building Consul {number}; some minutes, or seconds when Go's caches are warm"
    );
    let workshop = cache.join(format!("consul-{number}.build"));
    let failed = |error| Error::because(format!("preparing {}", workshop.display()), error);
    // What an interrupted run left behind: only the holder of the lock comes here.
    match fs::remove_dir_all(&workshop) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => fs::create_dir(&workshop).map_err(failed)?,
    }
    let module = module(version);
    for (name, text) in module.files {
        fs::write(workshop.join(name), text).map_err(failed)?;
    }
    compile(&go, &workshop, module.package, number)?;
    install(&workshop.join("consul"), &program)?;
    fs::remove_dir_all(&workshop).map_err(failed)?;
    Ok(program)
}

fn compile(go: &Path, directory: &Path, package: &str, number: &str) -> Result<(), Error> {
    let status = Command::new(go)
        // The cache may lie in somebody's repository, whose state is of no interest; without symbols it links faster.
        .args([
            "build",
            "-buildvcs=false",
            "-ldflags=-s -w",
            "-o",
            "consul",
            package,
        ])
        .current_dir(directory)
        .env("GOWORK", "off")
        .stdin(Stdio::null())
        .status()
        .map_err(|error| Error::because(format!("starting {}", go.display()), error))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::new(format!(
        "building Consul {number}: `go build` ended with {status}, see above; it needs Go 1.26 or later (`go version`) and Go modules \
         from the network or from Go's module cache"
    )))
}

/// Renames within one file system, so that the program is there whole or not at all.
fn install(built: &Path, program: &Path) -> Result<(), Error> {
    let failed = |error| {
        Error::because(
            format!("moving the program to {}", program.display()),
            error,
        )
    };
    if let Some(directory) = program.parent() {
        fs::create_dir_all(directory).map_err(failed)?;
    }
    fs::rename(built, program).map_err(failed)
}
