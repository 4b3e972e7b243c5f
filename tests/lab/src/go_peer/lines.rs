//! The lines of JSON a peer writes, kept in order, and the ones it reads.

use std::{
    process::{ChildStdin, ChildStdout},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process,
    sync::watch,
    task::AbortHandle,
    time::timeout,
};

use crate::{Error, running::READY_WITHIN};

#[derive(Debug)]
pub(super) struct Lines {
    name: String,
    input: tokio::sync::Mutex<process::ChildStdin>,
    seen: Arc<Mutex<Vec<Value>>>,
    /// How many there are; closed when no more come.
    count: watch::Receiver<usize>,
    reader: AbortHandle,
}

impl Lines {
    pub(super) fn new(name: &str, pipes: (ChildStdin, ChildStdout)) -> Result<Self, Error> {
        let failed = |error| Error::because(format!("{name}: opening its pipes"), error);
        let input = process::ChildStdin::from_std(pipes.0).map_err(failed)?;
        let output = process::ChildStdout::from_std(pipes.1).map_err(failed)?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (sender, count) = watch::channel(0);
        let kept = Arc::clone(&seen);
        let reader = tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push(line);
                sender.send_replace(kept.len());
            }
        });
        Ok(Self {
            name: name.to_owned(),
            input: tokio::sync::Mutex::new(input),
            seen,
            count,
            reader: reader.abort_handle(),
        })
    }

    pub(super) async fn write(&self, line: &Value) -> Result<(), Error> {
        let mut input = self.input.lock().await;
        input
            .write_all(format!("{line}\n").as_bytes())
            .await
            .map_err(|error| Error::because(format!("{}: writing to it", self.name), error))
    }

    /// All there are so far.
    pub(super) fn all(&self) -> Vec<Value> {
        self.seen().clone()
    }

    /// The first that is `wanted`, among those there are and those to come.
    pub(super) async fn wait(&self, wanted: impl Fn(&Value) -> bool) -> Result<Value, Error> {
        self.wait_within(READY_WITHIN, wanted).await
    }

    pub(super) async fn wait_within(
        &self,
        limit: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value, Error> {
        let mut count = self.count.clone();
        let find = async {
            let mut looked_at = 0;
            loop {
                // The lock is not held over the wait.
                let (found, len) = {
                    let seen = self.seen();
                    (
                        seen[looked_at..].iter().find(|line| wanted(line)).cloned(),
                        seen.len(),
                    )
                };
                if let Some(line) = found {
                    return Some(line);
                }
                looked_at = len;
                if count.wait_for(|count| *count > looked_at).await.is_err()
                    && self.seen().len() == looked_at
                {
                    return None;
                }
            }
        };
        let said = || {
            let seen = self.seen();
            let last = seen.iter().rev().take(5).rev();
            last.map(Value::to_string).collect::<Vec<_>>().join("\n")
        };
        match timeout(limit, find).await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => Err(Error::new(format!(
                "{}: it ended before it said what was waited for; it said last\n{}",
                self.name,
                said()
            ))),
            Err(_elapsed) => Err(Error::new(format!(
                "{}: it did not say within {limit:?} what was waited for; it said last\n{}",
                self.name,
                said()
            ))),
        }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Vec<Value>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
