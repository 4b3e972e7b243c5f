//! ACL tokens: a value or a file, never shown.

use std::{
    fmt,
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use http::HeaderValue;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::error::Error;

/// The secret id of an ACL token, or the file it is read from.
///
/// `Debug` shows neither the secret nor its length; there is no `Display`. The secret is wiped from memory when the last
/// clone is dropped. Two tokens are equal if they are the same secret, or the same file.
#[derive(Clone)]
pub struct Token(Source);

#[derive(Clone)]
enum Source {
    Anonymous,
    Secret(Arc<Zeroizing<String>>),
    File(Arc<TokenFile>),
}

struct TokenFile {
    path: PathBuf,
    last: Mutex<Option<Seen>>,
    complaint: Mutex<Complaint>,
}

/// Whether, and when, it was last said that the file cannot be read. It is asked for with every call.
#[derive(Default)]
struct Complaint(Option<Instant>);

impl Complaint {
    const EVERY: Duration = Duration::from_secs(60);

    /// The file cannot be read: whether to say so.
    fn is_due(&mut self, now: Instant) -> bool {
        let due = self
            .0
            .is_none_or(|said| now.saturating_duration_since(said) >= Self::EVERY);
        if due {
            self.0 = Some(now);
        }
        due
    }

    /// The file can be read: whether that is news.
    fn ends(&mut self) -> bool {
        self.0.take().is_some()
    }
}

/// A file's content and what told it from others when it was read.
#[derive(Clone)]
struct Seen {
    stamp: Stamp,
    secret: Arc<Zeroizing<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
    /// Tools replace token files by renaming: then the inode differs even within one tick of the clock. 0 where unknown.
    inode: u64,
}

impl Token {
    /// A token by its secret id. Surrounding white space is not part of it; an empty text is [`Token::anonymous`].
    #[must_use]
    pub fn new(secret: impl AsRef<str>) -> Self {
        match secret.as_ref().trim() {
            "" => Self::anonymous(),
            secret => Self(Source::Secret(Arc::new(Zeroizing::new(secret.to_owned())))),
        }
    }

    /// The token in a file, trimmed. It is read when first needed, and again whenever the file has changed (modification
    /// time, length or inode), so that a token rotated by Vault, Nomad or Kubernetes is taken over without a restart.
    ///
    /// If the file goes away or becomes empty after it was read, the last token stays in use.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File(Arc::new(TokenFile {
            path: path.into(),
            last: Mutex::new(None),
            complaint: Mutex::default(),
        })))
    }

    /// No token: the agent's default token decides, else Consul's anonymous one.
    #[must_use]
    pub fn anonymous() -> Self {
        Self(Source::Anonymous)
    }

    /// Whether this is [`Token::anonymous`].
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        matches!(self.0, Source::Anonymous)
    }

    /// The secret as it is now.
    pub(crate) async fn secret(&self) -> Result<Option<Arc<Zeroizing<String>>>, Error> {
        match &self.0 {
            Source::Anonymous => Ok(None),
            Source::Secret(secret) => Ok(Some(Arc::clone(secret))),
            Source::File(file) => file.read().await.map(Some),
        }
    }

    /// The secret as a header value that is not logged and not indexed by HPACK.
    ///
    /// Also the metadata value of gRPC calls (`x-consul-token`).
    #[cfg(feature = "grpc")]
    pub(crate) async fn header(&self) -> Result<Option<HeaderValue>, Error> {
        let Some(secret) = self.secret().await? else {
            return Ok(None);
        };
        header_value(&secret).map(Some)
    }
}

/// The cause is dropped on purpose: nothing about the secret's characters belongs into an error.
pub(crate) fn header_value(secret: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(secret).ok().ok_or_else(|| {
        Error::config("the token contains characters that no HTTP header may carry")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

impl TokenFile {
    async fn read(&self) -> Result<Arc<Zeroizing<String>>, Error> {
        let last = locked(&self.last).clone();
        let read = read_if_changed(&self.path, last.as_ref().map(|seen| seen.stamp)).await;
        if read.is_ok() && locked(&self.complaint).ends() {
            tracing::info!(file = %self.path.display(), "token file is readable again");
        }
        match (read, last) {
            (Ok(Some(seen)), _) => {
                let secret = Arc::clone(&seen.secret);
                *locked(&self.last) = Some(seen);
                Ok(secret)
            }
            (Ok(None), Some(last)) => Ok(last.secret),
            (Err(error), Some(last)) => {
                if locked(&self.complaint).is_due(Instant::now()) {
                    tracing::warn!(file = %self.path.display(), %error, "token file is not readable, the last token stays in use");
                }
                Ok(last.secret)
            }
            (Err(error), None) => Err(Error::config(format!(
                "reading the token file {}",
                self.path.display()
            ))
            .with_source(error)),
            (Ok(None), None) => Err(Error::config(format!(
                "reading the token file {}",
                self.path.display()
            ))),
        }
    }
}

/// What is guarded here is replaced whole, so a panic elsewhere cannot have left it half-written.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn read_if_changed(path: &Path, last: Option<Stamp>) -> std::io::Result<Option<Seen>> {
    // The stamp is taken before the content: a change in between is then seen by the next call.
    let stamp = Stamp::of(&tokio::fs::metadata(path).await?);
    if last == Some(stamp) {
        return Ok(None);
    }
    let text = Zeroizing::new(tokio::fs::read_to_string(path).await?);
    match text.trim() {
        "" => Err(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            "the file is empty",
        )),
        secret => Ok(Some(Seen {
            stamp,
            secret: Arc::new(Zeroizing::new(secret.to_owned())),
        })),
    }
}

impl Stamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Self {
            modified: metadata.modified().ok(),
            len: metadata.len(),
            inode,
        }
    }
}

impl Default for Token {
    fn default() -> Self {
        Self::anonymous()
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Source::Anonymous, Source::Anonymous) => true,
            (Source::Secret(a), Source::Secret(b)) => a == b,
            (Source::File(a), Source::File(b)) => a.path == b.path,
            (Source::Anonymous | Source::Secret(_) | Source::File(_), _) => false,
        }
    }
}

impl Eq for Token {}

impl Hash for Token {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.0 {
            Source::Anonymous => 0u8.hash(state),
            Source::Secret(secret) => secret.as_str().hash(state),
            Source::File(file) => file.path.hash(state),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Anonymous => f.write_str("Token(anonymous)"),
            Source::Secret(_) => f.write_str("Token(…)"),
            Source::File(file) => write!(f, "Token(file {})", file.path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_file_is_complained_of_once_a_minute_and_its_return_told_once() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut complaint = Complaint::default();
        assert!(!complaint.ends(), "it was readable all the time");
        let said: Vec<_> = (0..130)
            .filter(|&second| complaint.is_due(at(second)))
            .collect();
        assert_eq!(said, [0, 60, 120]);
        assert!(complaint.ends() && !complaint.ends());
        assert!(complaint.is_due(at(131)), "another time it is news again");
    }
}
