//! Looks for a component that is already there. Never builds.

use std::{
    env, fmt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{Version, cache, version};

/// A component that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// The program.
    pub path: PathBuf,
    /// What the program itself says its version is.
    pub version: String,
    /// How it was found.
    pub origin: Origin,
}

/// How a component was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Named by an environment variable.
    Variable(&'static str),
    /// On `PATH`.
    Path,
    /// Built by `setup` and kept in the user's cache directory.
    Built,
    /// Unpacked by `setup` from a package of this kind, without installing it, and kept in the user's cache directory.
    Unpacked(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => f.write_str(name),
            Self::Path => f.write_str("PATH"),
            Self::Built => f.write_str("built by setup"),
            Self::Unpacked(kind) => write!(f, "unpacked by setup from its {kind}"),
        }
    }
}

/// A component that is not there, why, and how to get it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Missing {
    /// What is missing.
    pub what: String,
    /// What was tried, or why what was found cannot be used.
    pub why: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, why, remedy } = self;
        write!(f, "{what} is missing: {why}; to get it: {remedy}")
    }
}

impl std::error::Error for Missing {}

/// Finds Consul: the environment variable, then (newest only) a recent enough `consul` on `PATH`, then what `setup` built.
///
/// # Errors
/// [`Missing`] when none is there, or when the variable names something that cannot be used: a variable that is set is never passed over.
pub fn find_consul(wanted: Version) -> Result<Found, Missing> {
    let missing = |why: String| Missing {
        what: format!("Consul ({wanted}, {})", wanted.number()),
        why,
        remedy: format!(
            "run `cargo run -p mesh-lab -- setup`, or set {} to a consul program",
            wanted.variable()
        ),
    };

    if let Some(path) = env::var_os(wanted.variable()).filter(|value| !value.is_empty()) {
        let path = PathBuf::from(path);
        let (version, number) = ask(&path)
            .map_err(|why| missing(format!("{} is set, but {why}", wanted.variable())))?;
        if number < version::SUPPORTED {
            let path = path.display();
            return Err(missing(format!(
                "{} names {path}, which is {version}, older than 1.20",
                wanted.variable()
            )));
        }
        return Ok(Found {
            path,
            version,
            origin: Origin::Variable(wanted.variable()),
        });
    }

    let mut passed_over = String::new();
    if wanted == Version::Newest
        && let Some(path) = on_path("consul")
    {
        match ask(&path) {
            Ok((version, number)) if number >= version::SUPPORTED => {
                return Ok(Found {
                    path,
                    version,
                    origin: Origin::Path,
                });
            }
            Ok((version, _)) => {
                passed_over = format!(" ({} is {version}, older than 1.20)", path.display());
            }
            Err(why) => passed_over = format!(" ({why})"),
        }
    }

    let path = built_consul(wanted).map_err(|error| missing(error.to_string()))?;
    if !path.exists() {
        let also = if wanted == Version::Newest {
            ", no `consul` of 1.20 or later is on PATH"
        } else {
            ""
        };
        return Err(missing(format!(
            "{} is not set{also}{passed_over}, and none has been built",
            wanted.variable()
        )));
    }
    let (version, _) = ask(&path).map_err(missing)?;
    Ok(Found {
        path,
        version,
        origin: Origin::Built,
    })
}

/// Where `setup` puts it.
pub(crate) fn built_consul(wanted: Version) -> Result<PathBuf, crate::Error> {
    Ok(cache::directory()?
        .join(format!("consul-{}", wanted.number()))
        .join("consul"))
}

/// The first executable file of that name on `PATH`.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let paths = env::var_os("PATH")?;
    env::split_paths(&paths)
        .map(|directory| directory.join(name))
        .find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

fn ask(path: &Path) -> Result<(String, (u32, u32)), String> {
    let shown = path.display();
    let output = Command::new(path)
        .arg("version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{shown} does not start: {error}"))?;
    version::parse(&String::from_utf8_lossy(&output.stdout))
        .ok_or_else(|| format!("`{shown} version` does not print a Consul version"))
}
