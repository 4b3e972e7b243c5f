use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::{JoinHandle, block_in_place},
};

/// A spawned task that stops when its owner is dropped.
#[derive(Debug)]
pub(crate) struct Task(JoinHandle<()>);

impl Task {
    pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(future))
    }

    /// Stops it and waits until it has ended.
    pub(crate) async fn stop(mut self) {
        self.0.abort();
        // The only error is that it was aborted, or that it had panicked, which ends it as well.
        let _ = (&mut self.0).await;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Does what may take milliseconds, while another thread has the tasks of this one.
///
/// It begins at once. The threads that a runtime has for such work may all be taken by the application, and what is done here, to
/// put a denial in force, must not wait for one.
pub(crate) fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => block_in_place(work),
        // There is no other thread.
        _ => work(),
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_is_done_aside_keeps_no_task_from_its_turn() {
        let (had_its_turn, other) = mpsc::channel();
        let task = tokio::spawn(async move {
            tokio::spawn(async move { had_its_turn.send(()) });
            aside(|| other.recv_timeout(Duration::from_secs(60)))
        });
        assert_eq!(task.await.expect("no panic"), Ok(()));
    }

    #[tokio::test]
    async fn on_one_thread_it_is_done_there() {
        assert_eq!(aside(|| 1), 1);
    }
}
