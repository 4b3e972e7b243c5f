//! The source for leafs that something else writes to disk: Vault Agent, cert-manager, SPIRE's helper.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use tokio::{
    fs,
    time::{Interval, MissedTickBehavior, interval},
};

use super::check::pairs;
use super::{IdentitySource, SourceError};
use crate::{KeyPem, Material};

/// How often the files are looked at.
const POLL: Duration = Duration::from_secs(1);
/// For how many looks a leaf and a key that do not belong together are taken for a write that is not finished.
const PATIENCE: u32 = 5;

/// Leaf, key and roots from three PEM files, read again when one of them changes.
///
/// The files are looked at every second. They are read together and delivered together; a pair that does not belong
/// together is taken for one that is being written, and read again.
#[derive(Clone, Debug)]
pub struct FilesSource {
    chain: PathBuf,
    key: PathBuf,
    roots: PathBuf,
}

impl FilesSource {
    /// `chain` holds the leaf, then intermediates; `key` its private key; `roots` every root to trust.
    pub fn new(
        chain: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
        roots: impl Into<PathBuf>,
    ) -> Self {
        Self {
            chain: chain.into(),
            key: key.into(),
            roots: roots.into(),
        }
    }
}

impl IdentitySource for FilesSource {
    fn materials(self: Box<Self>) -> BoxStream<'static, Result<Material, SourceError>> {
        let mut ticks = interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let state = Reading {
            files: *self,
            ticks,
            delivered: None,
            said: None,
            looks: 0,
        };
        stream::unfold(state, async |mut state| {
            let item = state.next().await;
            Some((item, state))
        })
        .boxed()
    }

    fn describe(&self) -> String {
        format!(
            "the files {}, {} and {}",
            self.chain.display(),
            self.key.display(),
            self.roots.display()
        )
    }
}

/// What tells one state of the files from another.
type Stamp = [(Option<SystemTime>, u64, u64); 3];

struct Reading {
    files: FilesSource,
    ticks: Interval,
    delivered: Option<Stamp>,
    /// The error that was delivered last; said once, until something else happens.
    said: Option<String>,
    /// Looks at a pair that does not belong together.
    looks: u32,
}

impl Reading {
    async fn next(&mut self) -> Result<Material, SourceError> {
        loop {
            self.ticks.tick().await;
            match self.look().await {
                Ok(Some(material)) => {
                    self.said = None;
                    return Ok(material);
                }
                Ok(None) => {}
                Err(error) => {
                    let text = format!(
                        "{error}: {:?}",
                        std::error::Error::source(&error).map(ToString::to_string)
                    );
                    if self.said.as_ref() != Some(&text) {
                        self.said = Some(text);
                        return Err(error);
                    }
                }
            }
        }
    }

    async fn look(&mut self) -> Result<Option<Material>, SourceError> {
        let before = self.files.stamp().await?;
        if self.delivered == Some(before) {
            return Ok(None);
        }
        let material = self.files.read().await?;
        // Written to while it was read: the next look sees the end of it.
        if self.files.stamp().await? != before {
            return Ok(None);
        }
        if let Err(cause) = pairs(&material) {
            self.looks += 1;
            if self.looks < PATIENCE {
                return Ok(None);
            }
            let FilesSource { chain, key, .. } = &self.files;
            let text = format!("reading {} and {}", chain.display(), key.display());
            return Err(SourceError::new(text).with_cause(cause));
        }
        self.looks = 0;
        self.delivered = Some(before);
        Ok(Some(material))
    }
}

impl FilesSource {
    async fn stamp(&self) -> Result<Stamp, SourceError> {
        Ok([
            stamp(&self.chain).await?,
            stamp(&self.key).await?,
            stamp(&self.roots).await?,
        ])
    }

    async fn read(&self) -> Result<Material, SourceError> {
        let (chain, key, roots) = (
            text(&self.chain).await?,
            text(&self.key).await?,
            text(&self.roots).await?,
        );
        Ok(Material::new(chain, KeyPem::from(key), vec![roots]))
    }
}

async fn stamp(path: &Path) -> Result<(Option<SystemTime>, u64, u64), SourceError> {
    let metadata = fs::metadata(path)
        .await
        .map_err(|cause| unreadable(path, cause))?;
    // Tools replace files by renaming, which can happen twice within one tick of the file system's clock.
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let inode = 0;
    Ok((metadata.modified().ok(), metadata.len(), inode))
}

async fn text(path: &Path) -> Result<String, SourceError> {
    fs::read_to_string(path)
        .await
        .map_err(|cause| unreadable(path, cause))
}

fn unreadable(path: &Path, cause: io::Error) -> SourceError {
    SourceError::new(format!("reading {}", path.display())).with_cause(cause)
}
