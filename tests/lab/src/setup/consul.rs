//! Consul, from Go modules.

use std::path::PathBuf;

use super::{go_build, make};
use crate::{Error, Version, find};

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
                ("go.mod", include_str!("../../go/consul-1.22.5/go.mod")),
                ("go.sum", include_str!("../../go/consul-1.22.5/go.sum")),
            ],
            package: "github.com/hashicorp/consul",
        },
        Version::Oldest => Module {
            files: &[
                ("go.mod", include_str!("../../go/consul-1.20.5/go.mod")),
                ("go.sum", include_str!("../../go/consul-1.20.5/go.sum")),
                ("main.go", include_str!("../../go/consul-1.20.5/main.go")),
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
    let what = format!("Consul {}", version.number());
    make(&what, &program, |workshop| {
        eprintln!("mesh-lab: building {what}; some minutes, or seconds when Go's caches are warm");
        let Module { files, package } = module(version);
        go_build(
            workshop,
            files,
            package,
            "consul",
            &what,
            version.variable(),
        )
    })?;
    Ok(program)
}
