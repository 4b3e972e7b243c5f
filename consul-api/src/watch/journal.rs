//! What a watch writes to the log: the first failure and then one in ten loudly, the end of it once.

use tokio::time::Instant;

use crate::Error;

/// The log of one watch. It names the path, never the token.
#[derive(Debug)]
pub(crate) struct Journal {
    path: String,
    failures: u64,
    since: Option<Instant>,
    answered: bool,
}

impl Journal {
    pub(crate) fn new(path: String) -> Self {
        Self {
            path,
            failures: 0,
            since: None,
            answered: false,
        }
    }

    /// Notes a failure.
    pub(crate) fn failed(&mut self, error: &Error) {
        let since = self.since.get_or_insert_with(Instant::now);
        self.failures += 1;
        let cause = Causes(error);
        let (path, failures, seconds) = (&self.path, self.failures, since.elapsed().as_secs());
        if failures % LOUD_EVERY == 1 {
            tracing::warn!(%path, failures, seconds, %error, %cause, "watch fails, its last value stays in use");
        } else {
            tracing::debug!(%path, failures, seconds, %error, %cause, "watch fails, its last value stays in use");
        }
    }

    /// Notes an answer, and says what it means.
    pub(crate) fn answered(&mut self) -> Answered {
        let first = !std::mem::replace(&mut self.answered, true);
        let Some(since) = self.since.take() else {
            return if first {
                Answered::First
            } else {
                Answered::Still
            };
        };
        let (path, failures, seconds) = (
            &self.path,
            std::mem::take(&mut self.failures),
            since.elapsed().as_secs(),
        );
        tracing::info!(%path, failures, seconds, "watch answered again");
        Answered::Again
    }
}

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    First,
    /// After a failure.
    Again,
    Still,
}

/// The causes of an error, outermost first.
struct Causes<'a>(&'a Error);

impl std::fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let first = std::error::Error::source(self.0);
        for (n, cause) in std::iter::successors(first, |cause| cause.source()).enumerate() {
            if n > 0 {
                f.write_str(": ")?;
            }
            write!(f, "{cause}")?;
        }
        Ok(())
    }
}

/// At the pace of a local agent's backoff, a line about each ten seconds.
const LOUD_EVERY: u64 = 10;
