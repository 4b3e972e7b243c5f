//! One connection, and the right to send one request on it.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use consul_connect::RefusedByPeer;
use hyper::client::conn::{TrySendError, http1, http2};
use tokio::runtime::Handle;

use super::{Protocol, Shared, failure, open::Answer};
use crate::body::Body;

/// What is known of one connection.
pub(super) struct Conn {
    pub(super) generation: u64,
    pub(super) protocol: Protocol,
    /// Streams (h2) or requests (0 or 1) on it now.
    busy: AtomicUsize,
    /// How often it was lent.
    uses: AtomicU64,
    /// It must not be lent again.
    retired: AtomicBool,
    /// It is not HTTP any more, and belongs to whoever asked for that.
    upgraded: AtomicBool,
    /// How the peer refused us, if it did so before it sent a byte.
    refused: OnceLock<RefusedByPeer>,
}

impl Conn {
    pub(super) fn new(generation: u64, protocol: Protocol) -> Self {
        Self {
            generation,
            protocol,
            busy: AtomicUsize::new(0),
            uses: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            upgraded: AtomicBool::new(false),
            refused: OnceLock::new(),
        }
    }

    /// Remembers a refusal. hyper passes on only its words for h2, and to some of the requests.
    pub(super) fn refuse(&self, refused: &RefusedByPeer) {
        // The first says it all.
        let _ = self.refused.set(refused.clone());
    }

    pub(super) fn refused(&self) -> Option<&RefusedByPeer> {
        self.refused.get()
    }

    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    pub(super) fn is_upgraded(&self) -> bool {
        self.upgraded.load(Ordering::Acquire)
    }

    pub(super) fn busy(&self) -> usize {
        self.busy.load(Ordering::Acquire)
    }

    pub(super) fn uses(&self) -> u64 {
        self.uses.load(Ordering::Relaxed)
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }
}

/// hyper's end of a connection.
pub(crate) enum Sender {
    H1(http1::SendRequest<Body>),
    H2(http2::SendRequest<Body>),
}

/// A connection that was just made.
pub(super) struct Fresh {
    pub(super) conn: Arc<Conn>,
    pub(super) sender: Sender,
    pub(super) answer: Answer,
}

/// The right to send one request on one connection; given back when dropped.
///
/// Dropped with a request unanswered, it closes an HTTP/1.1 connection and resets an h2 stream:
/// hyper does both when the future of the response is dropped.
pub(crate) struct Lease {
    shared: Arc<Shared>,
    conn: Arc<Conn>,
    sender: Option<Sender>,
    reused: bool,
}

/// Why a request was not answered.
pub(crate) enum SendError {
    /// The peer refused our identity after the handshake, so no application of its saw the request.
    /// Here it is again, if not a byte of it was written.
    Denied(Option<Box<http::Request<Body>>>, RefusedByPeer),
    /// Not a byte of it was written: here it is again.
    NotSent(Box<http::Request<Body>>, hyper::Error),
    /// It was written, in part or whole, and its fate is unknown.
    Sent(hyper::Error),
}

impl Lease {
    /// Counts the connection as busy with one more.
    pub(super) fn new(shared: &Arc<Shared>, conn: Arc<Conn>, sender: Sender) -> Self {
        conn.busy.fetch_add(1, Ordering::AcqRel);
        let reused = conn.uses.fetch_add(1, Ordering::Relaxed) > 0;
        Self {
            shared: Arc::clone(shared),
            conn,
            sender: Some(sender),
            reused,
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.conn.generation
    }

    pub(crate) fn protocol(&self) -> Protocol {
        self.conn.protocol
    }

    /// Whether something was sent on the connection before. A failure of a fresh one is no race
    /// with the peer closing an idle connection.
    pub(crate) fn reused(&self) -> bool {
        self.reused
    }

    /// After an upgrade the connection is not HTTP any more.
    pub(crate) fn upgraded(&self) {
        self.conn.upgraded.store(true, Ordering::Release);
        self.conn.retire();
    }

    /// What to send the request with. The lease must be kept until the end of the response's body; what it says when there is
    /// none is to be given to [`failed`](Self::failed).
    pub(crate) fn sender(&mut self) -> &mut Sender {
        match self.sender.as_mut() {
            Some(sender) => sender,
            None => unreachable!("only drop takes the sender"),
        }
    }

    /// What hyper's failure means.
    pub(crate) fn failed(&self, mut failure: Failure) -> SendError {
        let message = failure.take_message();
        let error = failure.into_error();
        // The request may learn of the end of its connection before the pool does. The reset
        // of one stream says nothing about the others.
        if !failure::is_stream_reset(&error) {
            self.conn.retire();
        }
        if let Some(refused) = self.conn.refused() {
            self.conn.retire();
            return SendError::Denied(message.map(Box::new), refused.clone());
        }
        match message {
            Some(request) => SendError::NotSent(Box::new(request), error),
            None => SendError::Sent(error),
        }
    }
}

/// A request that was not answered, and perhaps the request itself.
pub(crate) type Failure = TrySendError<http::Request<Body>>;

impl Drop for Lease {
    fn drop(&mut self) {
        self.conn.busy.fetch_sub(1, Ordering::AcqRel);
        match self.sender.take() {
            Some(Sender::H1(mut sender)) => {
                if self.conn.is_retired() || sender.is_closed() {
                    self.shared.left(None);
                } else if sender.is_ready() {
                    self.shared.left(Some((sender, Arc::clone(&self.conn))));
                } else if let Ok(runtime) = Handle::try_current() {
                    // hyper is still reading the end of a body that nobody wanted whole. A body may
                    // also be dropped outside the runtime: then the connection is just closed.
                    let (shared, conn) = (Arc::clone(&self.shared), Arc::clone(&self.conn));
                    let back = async move {
                        let back = sender.ready().await.is_ok().then_some((sender, conn));
                        shared.left(back);
                    };
                    self.shared.update(|state| state.adopt(&runtime, back));
                }
            }
            Some(Sender::H2(_)) => self.shared.left(None),
            None => {}
        }
    }
}

impl Shared {
    /// A request has ended: its HTTP/1.1 connection, or the room on its h2 connection, is free.
    fn left(self: &Arc<Self>, back: Option<(http1::SendRequest<Body>, Arc<Conn>)>) {
        if let Some((sender, conn)) = back {
            self.update(|state| state.put(self, sender, conn));
        } else if self.has_waiters() {
            self.update(|state| {
                state.serve(self);
                state.plan(self);
            });
        }
    }
}
