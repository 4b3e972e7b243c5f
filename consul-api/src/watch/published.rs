//! What a watch has published, and how far one subscriber has read it.
//!
//! One place, not a queue: a slow subscriber gets the newest value and no other. An error stands beside the
//! value, never in its place.

use tokio::time::Instant;

use super::Update;
use crate::Error;

/// The state of one watch, as its subscribers see it.
#[derive(Debug)]
pub(crate) struct Published<T> {
    value: Option<Update<T>>,
    /// Counts published values.
    version: u64,
    /// The newest error, until the next success.
    failure: Option<Error>,
    /// Counts errors ever seen; consecutive ones are the difference to `failures_before`.
    failures: u64,
    failures_before: u64,
    failing_since: Option<Instant>,
    last_success: Option<Instant>,
    requests: u64,
}

impl<T> Default for Published<T> {
    fn default() -> Self {
        Self {
            value: None,
            version: 0,
            failure: None,
            failures: 0,
            failures_before: 0,
            failing_since: None,
            last_success: None,
            requests: 0,
        }
    }
}

impl<T> Published<T> {
    /// Counts a request that was sent.
    pub(crate) fn asked(&mut self) {
        self.requests += 1;
    }

    /// Enters an answer that changes nothing. Returns whether a subscriber has to hear of it, because it was
    /// told of an error.
    pub(crate) fn confirm(&mut self, now: Instant) -> bool {
        self.last_success = Some(now);
        self.failing_since = None;
        self.failures_before = self.failures;
        self.failure.take().is_some()
    }

    /// Enters a new value.
    pub(crate) fn publish(&mut self, update: Update<T>, now: Instant) {
        self.confirm(now);
        self.value = Some(update);
        self.version += 1;
    }

    /// Enters an error.
    pub(crate) fn fail(&mut self, error: Error, now: Instant) {
        self.failures += 1;
        self.failing_since.get_or_insert(now);
        self.failure = Some(error);
    }

    /// When the last answer came.
    pub(crate) fn last_success(&self) -> Option<Instant> {
        self.last_success
    }

    /// When the current failure began.
    pub(crate) fn failing_since(&self) -> Option<Instant> {
        self.failing_since
    }

    /// The error of the last request, if it failed.
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.failure.as_ref()
    }

    /// Errors since the last answer.
    pub(crate) fn failures_in_a_row(&self) -> u64 {
        self.failures - self.failures_before
    }

    /// Requests sent.
    pub(crate) fn requests(&self) -> u64 {
        self.requests
    }
}

/// How far one subscriber has read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cursor {
    version: u64,
    failures: u64,
    /// The last item was an error.
    in_error: bool,
}

impl Cursor {
    /// What this subscriber has to be told next, if anything.
    ///
    /// A new value goes before an error, so that a late subscriber to a failing watch can work with what there
    /// is. An error that is over is not told. Whoever was told of one is told of its end.
    pub(crate) fn next<T>(&mut self, published: &Published<T>) -> Option<Result<Update<T>, Error>> {
        if let Some(update) = &published.value
            && published.version > self.version
        {
            self.version = published.version;
            self.in_error = false;
            return Some(Ok(update.clone()));
        }
        match (&published.failure, &published.value) {
            (Some(error), _) if published.failures > self.failures => {
                self.failures = published.failures;
                self.in_error = true;
                Some(Err(error.clone()))
            }
            (None, Some(update)) if self.in_error => {
                self.in_error = false;
                Some(Ok(update.clone()))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
