//! The watch of the entry, as those who read its settings know it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use consul_api::{Error, WatchMonitor};
use tokio::sync::watch;

use crate::task::Task;

/// Keeps the watch alive, and tells how it does.
pub(crate) struct Following {
    answers: Arc<Answers>,
    monitor: WatchMonitor,
    _task: Task,
}

/// What the task says beside the settings.
#[derive(Default)]
pub(super) struct Answers {
    /// Whether the first answer has come, or was refused.
    answered: watch::Sender<bool>,
    refused: Mutex<Option<Error>>,
}

/// How the watch does.
#[derive(Default)]
pub(crate) struct Health {
    /// How long ago Consul was last known to agree: zero while requests succeed, because a change would be told at once.
    pub(crate) age: Option<Duration>,
    pub(crate) failing_for: Option<Duration>,
    pub(crate) last_error: Option<Error>,
}

impl Following {
    pub(super) fn new(answers: Arc<Answers>, monitor: WatchMonitor, task: Task) -> Self {
        Self {
            answers,
            monitor,
            _task: task,
        }
    }

    pub(crate) async fn ready(&self) {
        let mut answered = self.answers.answered.subscribe();
        // The sender lives in `self`, so the channel cannot close.
        let _ = answered.wait_for(|&answered| answered).await;
    }

    pub(crate) fn health(&self) -> Health {
        let watch = self.monitor.status();
        let refused = self.answers.refused.lock();
        let refused = refused.unwrap_or_else(PoisonError::into_inner).clone();
        Health {
            age: match watch.failing_for {
                None => watch.last_answer.map(|_| Duration::ZERO),
                Some(_) => watch.last_answer,
            },
            failing_for: watch.failing_for,
            last_error: watch.last_error.or(refused),
        }
    }
}

impl Answers {
    pub(super) fn is_answered(&self) -> bool {
        *self.answered.borrow()
    }

    pub(super) fn answered(&self) {
        self.answered.send_replace(true);
    }

    pub(super) fn refused(&self, error: Option<Error>) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }
}

impl fmt::Debug for Following {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Following")
            .field("answered", &self.answers.is_answered())
            .finish_non_exhaustive()
    }
}
