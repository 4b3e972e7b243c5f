//! Gets a provider's keys from where they are, and gets them again when it is time.

use std::{path::PathBuf, sync::Arc, time::Duration};

use rustls::crypto::CryptoProvider;
use tokio::time::{Instant, sleep_until};

use super::{JwtConfig, fetch::Fetcher, file, key_set::KeySet, pace::Pace, source::KeySource};
use crate::{crypto_provider, time::after};

/// How often a file with keys is looked at.
const POLL: Duration = Duration::from_secs(1);

/// The keys of one provider.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) source: KeySource,
    config: JwtConfig,
    from: From,
    due: Instant,
    /// The keys in force, and what they were made of.
    known: Option<(Vec<u8>, Arc<KeySet>)>,
    /// Why there are none, while there are none.
    fault: String,
}

#[derive(Debug)]
enum From {
    /// There will be no others.
    Never,
    File(PathBuf),
    Server(Box<Fetcher>, Pace),
}

impl Keeper {
    /// Keys in the entry itself are there at once, those elsewhere are not.
    pub(super) fn new(source: KeySource, config: &JwtConfig) -> Self {
        let from = match &source {
            KeySource::Inline(_) => Ok(From::Never),
            KeySource::File(path) => Ok(From::File(path.clone())),
            KeySource::Remote(remote) if remote.is_open_to_others() && !config.plaintext => {
                Err(format!(
                    "its keys are at {}, where anybody on the way could exchange them",
                    remote.shown()
                ))
            }
            KeySource::Remote(remote) => cryptography(config).map(|provider| {
                let certificates = config.certificates.clone();
                let fetcher = Fetcher::new((**remote).clone(), provider, certificates);
                From::Server(Box::new(fetcher), Pace::new(remote))
            }),
        };
        let (from, fault) = match from {
            Ok(from) => (from, "its keys have not been fetched yet".to_owned()),
            Err(fault) => (From::Never, fault),
        };
        let inline = match &source {
            KeySource::Inline(set) => Some(set.clone()),
            KeySource::File(_) | KeySource::Remote(_) => None,
        };
        let mut keeper = Self {
            source,
            config: config.clone(),
            from,
            due: Instant::now(),
            known: None,
            fault,
        };
        if let Some(set) = inline
            && let Err(why) = keeper.take(set)
        {
            keeper.fault = why;
        }
        keeper
    }

    /// The keys there are so far.
    ///
    /// # Errors
    /// Why there are none.
    pub(super) fn keys(&self) -> Result<Arc<KeySet>, String> {
        match &self.known {
            Some((_, keys)) => Ok(Arc::clone(keys)),
            None => Err(self.fault.clone()),
        }
    }

    /// Waits until it is time, and gets the keys: those from before if nothing has changed.
    ///
    /// # Errors
    /// Why there are none, as a sentence. Those from before are still [`keys`](Self::keys).
    ///
    /// # Cancel safety
    /// What was under way begins again with the next call.
    pub(super) async fn next(&mut self) -> Result<Arc<KeySet>, String> {
        sleep_until(self.due).await;
        let read = match &mut self.from {
            From::Never => std::future::pending().await,
            From::File(path) => {
                let read = file::read(path).await;
                read.map_err(|error| format!("reading {}: {error}", path.display()))
            }
            From::Server(fetcher, _) => fetcher.fetch().await.map_err(|error| sentence(&error)),
        };
        // What is read and is no key set is a failure as well.
        let taken = read.and_then(|set| self.take(set));
        let random: f64 = rand::random();
        let wait = match (&mut self.from, &taken) {
            (From::Never | From::File(_), _) => POLL,
            (From::Server(_, pace), Ok(_)) => pace.succeeded(random),
            (From::Server(_, pace), Err(_)) => pace.failed(random),
        };
        self.due = after(Instant::now(), wait);
        if let Err(why) = &taken {
            self.fault.clone_from(why);
        }
        taken
    }

    fn take(&mut self, set: Vec<u8>) -> Result<Arc<KeySet>, String> {
        if let Some((known, keys)) = &self.known
            && *known == set
        {
            return Ok(Arc::clone(keys));
        }
        let provider = cryptography(&self.config)?;
        let keys = Arc::new(KeySet::parse(&set, &provider).map_err(|error| error.to_string())?);
        self.known = Some((set, Arc::clone(&keys)));
        Ok(keys)
    }
}

fn cryptography(config: &JwtConfig) -> Result<Arc<CryptoProvider>, String> {
    match &config.provider {
        Some(provider) => Ok(Arc::clone(provider)),
        None => crypto_provider().map_err(|error| error.to_string()),
    }
}

/// An error with its causes, for people.
pub(super) fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let next = deeper.to_string();
        // Some libraries repeat their cause.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = deeper.source();
    }
    text
}
