use tokio::task::JoinHandle;

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
