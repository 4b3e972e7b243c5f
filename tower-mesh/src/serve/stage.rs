use std::{fmt, sync::Arc};

use tokio::sync::watch;

/// How far a server is on its way out. It only ever goes forward.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Stage {
    #[default]
    Serving,
    Draining,
    Cut,
}

/// Ends a [`Server`](super::Server). Cheap to clone; dropping it does nothing.
#[derive(Clone)]
pub struct ServerHandle(Arc<watch::Sender<Stage>>);

impl ServerHandle {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::default()))
    }

    /// Accepts nothing further and lets every connection finish what is open: HTTP/1.1 closes after
    /// the response, h2 is sent GOAWAY. There is no deadline: [`cut`](Self::cut) is one.
    pub fn drain(&self) {
        self.advance(Stage::Draining);
    }

    /// Accepts nothing further and ends every connection now.
    pub fn cut(&self) {
        self.advance(Stage::Cut);
    }

    fn advance(&self, stage: Stage) {
        self.0.send_if_modified(|current| {
            let further = stage > *current;
            if further {
                *current = stage;
            }
            further
        });
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Stage> {
        self.0.subscribe()
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerHandle")
            .field(&*self.0.borrow())
            .finish()
    }
}

/// Waits until a server is at least at `stage`.
pub(crate) async fn reached(stage: Stage, stages: &mut watch::Receiver<Stage>) {
    until(|current| current >= stage, stages).await;
}

/// Waits until a server is past `stage`.
pub(super) async fn passed(stage: Stage, stages: &mut watch::Receiver<Stage>) {
    until(|current| current > stage, stages).await;
}

async fn until(there: impl Fn(Stage) -> bool, stages: &mut watch::Receiver<Stage>) {
    // Closed means that nobody can end the server any more, not that somebody did.
    if stages.wait_for(|current| there(*current)).await.is_err() {
        std::future::pending::<()>().await;
    }
}
