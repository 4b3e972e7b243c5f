//! Where built components stay between checkouts, and the locks that keep two runs apart.

use std::{
    env,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use crate::Error;

/// `$XDG_CACHE_HOME/rust-mesh-lab` or `~/.cache/rust-mesh-lab`.
pub(crate) fn directory() -> Result<PathBuf, Error> {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base = absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .ok_or_else(|| {
            Error::new(
                "finding the cache directory: set XDG_CACHE_HOME or HOME to an absolute path",
            )
        })?;
    Ok(base.join("rust-mesh-lab"))
}

/// Held until dropped; the kernel releases it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock. `on_wait` is called once if someone else has it.
    pub(crate) fn wait(path: &Path, on_wait: impl FnOnce()) -> io::Result<Self> {
        if let Some(lock) = Self::attempt(path)? {
            return Ok(lock);
        }
        on_wait();
        let file = open(path)?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(Self { _file: file })
    }

    /// `None` when someone else has it.
    pub(crate) fn attempt(path: &Path) -> io::Result<Option<Self>> {
        let file = open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

// The file is never removed: removing it would let a second run lock a file of the same name that the first no longer sees.
fn open(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    File::options().create(true).append(true).open(path)
}
