use std::{future::poll_fn, net::SocketAddr, sync::Arc};

use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::task::AbortOnDropHandle;

use super::Stream;
use crate::{
    measure::Inbound,
    serve::{
        ServerHandle,
        stage::{self, Stage},
        tether::Tether,
    },
};

/// Streams that were accepted and not taken. More wait in the kernel.
pub(crate) const BACKLOG: usize = 16;

/// Accepts byte streams of verified callers that the intentions allow. Others never get here.
///
/// # Shutdown
///
/// [`Mesh::shutdown`](crate::Mesh::shutdown) lets [`accept`](Self::accept) end in the order of
/// leaving. Dropping the listener is a crash: the socket and every stream it accepted are closed,
/// and the catalog learns of it when the check's time is up.
#[derive(Debug)]
pub struct Listener {
    accepted: mpsc::Receiver<Stream>,
    local_addr: SocketAddr,
    task: AbortOnDropHandle<()>,
}

impl Listener {
    pub(crate) fn new(
        accepted: mpsc::Receiver<Stream>,
        local_addr: SocketAddr,
        task: AbortOnDropHandle<()>,
    ) -> Self {
        Self {
            accepted,
            local_addr,
            task,
        }
    }

    /// The next stream; `None` once this process has left the mesh: the streams it accepted have
    /// ended, and the instance is deregistered. So a program whose loop ends here may end.
    ///
    /// # Cancel safety
    ///
    /// Safe: no stream is lost.
    pub async fn accept(&mut self) -> Option<Stream> {
        let next = self.accepted.recv().await;
        if next.is_none() && !self.task.is_finished() {
            // Its only failure is a panic, which has been printed; there is nothing left to wait for.
            let _ = (&mut self.task).await;
        }
        next
    }

    /// The address it is bound to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }
}

/// The accepting side: what [`Server`](crate::serve::Server) is for HTTP.
pub(crate) struct Acceptor {
    pub(crate) listener: consul_connect::Listener,
    pub(crate) handle: ServerHandle,
    pub(crate) accepted: mpsc::Sender<Stream>,
    pub(crate) inbound: Arc<Inbound>,
}

impl Acceptor {
    /// Accepts until the handle says to leave, then waits for the end of what was accepted.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the socket and cuts every stream.
    pub(crate) async fn run(self) {
        let Self {
            mut listener,
            handle,
            accepted,
            inbound,
        } = self;
        let (mut stages, mut cut) = (handle.subscribe(), handle.subscribe());
        let mut open = JoinSet::new();
        let mut leaving = false;
        loop {
            // A slot first: what nobody takes yet waits in the kernel, not here.
            let next = async {
                let slot = accepted.reserve().await.ok()?;
                Some((listener.accept().await?, slot))
            };
            tokio::select! {
                biased;
                () = stage::reached(Stage::Draining, &mut stages), if !leaving => {
                    leaving = true;
                    listener.stop_accepting();
                }
                // Those who are not taken any more cannot be waited for.
                () = stage::reached(Stage::Cut, &mut cut), if leaving => break,
                Some(_ended) = open.join_next() => {}
                next = next => match next {
                    Some((accepted, slot)) => {
                        let counted = inbound.accepted();
                        if let Some(permit) = &accepted.permit {
                            inbound.permitted(permit);
                        }
                        let stream = Stream::accepted(accepted, counted, stages.clone());
                        if let Some((stream, near)) = stream {
                            open.spawn(held(near, stages.clone()));
                            slot.send(stream);
                        }
                    }
                    None => break,
                },
            }
        }
        // So that `accept` says that nothing further comes.
        drop(accepted);
        // The listener stays until the last stream has ended: it holds them to the rules.
        while open.join_next().await.is_some() {}
    }
}

/// Waits for the end of a stream, and cuts it when the server is.
async fn held(near: Tether, mut stages: tokio::sync::watch::Receiver<Stage>) {
    // Dropping the near end is what cuts.
    tokio::select! {
        () = poll_fn(|cx| near.poll_gone(cx)) => {}
        () = stage::reached(Stage::Cut, &mut stages) => {}
    }
}
