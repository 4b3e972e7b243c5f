use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use consul_connect::{
    Accepted, Closing, Connection, ConnectionGuard, MeshStream, Negotiated, Peer,
};
use futures_util::FutureExt as _;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
};

use crate::{
    endpoint::InFlight,
    measure::Open,
    serve::{
        stage::{self, Stage},
        tether::{Tether, Tethered, tether},
    },
};

/// A byte stream between this process and a verified peer.
///
/// It fails with [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) when the mesh no longer
/// permits it: an intention denies the caller, a root was withdrawn, a leaf expired, or our own
/// shutdown reached its deadline.
pub struct Stream {
    io: Tethered<MeshStream>,
    peer: Peer,
    negotiated: Negotiated,
    remote_addr: Option<SocketAddr>,
    guard: ConnectionGuard,
    stages: Option<watch::Receiver<Stage>>,
    /// Held here where nobody else holds the stream to anything.
    _own: Option<Tether>,
    /// Counts it where it was dialled, so that streams are spread by how many are open.
    _load: Option<InFlight>,
    open: Open,
}

impl Stream {
    /// A stream that was accepted, and its near end for whoever accepted it. `None` if it is no caller's own, which a
    /// listener for byte streams never yields.
    pub(super) fn accepted(
        accepted: Accepted,
        open: Open,
        stages: watch::Receiver<Stage>,
    ) -> Option<(Self, Tether)> {
        let peer = accepted.peer()?.clone();
        let negotiated = accepted.stream.negotiated();
        let (io, near) = tether(accepted.stream);
        let stream = Self {
            io,
            peer,
            negotiated,
            remote_addr: Some(accepted.remote_addr),
            guard: accepted.guard,
            stages: Some(stages),
            _own: None,
            _load: None,
            open,
        };
        Some((stream, near))
    }

    /// A stream that was dialled.
    pub(crate) fn dialled(connection: Connection, load: InFlight, open: Open) -> Self {
        let negotiated = connection.stream.negotiated();
        let (io, near) = tether(connection.stream);
        Self {
            io,
            peer: connection.peer,
            negotiated,
            remote_addr: None,
            guard: connection.guard,
            stages: None,
            _own: Some(near),
            _load: Some(load),
            open,
        }
    }

    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What TLS was agreed on.
    #[must_use]
    pub fn negotiated(&self) -> Negotiated {
        self.negotiated
    }

    /// Where the caller is; `None` for a stream that this process opened.
    #[must_use]
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        self.remote_addr
    }

    /// Waits until the stream should end by itself: this process leaves the mesh, or one of the two
    /// leafs in it expires. It is cut some seconds later.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn closing(&mut self) {
        let Self { guard, stages, .. } = self;
        let leaving = async {
            match stages {
                Some(stages) => stage::reached(Stage::Draining, stages).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _drain_or_cut = guard.closing() => {}
            () = leaving => {}
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Nobody had to look while it was open, and what ended it is known until now.
        while let Some(closing) = self.guard.closing().now_or_never() {
            match closing {
                Closing::Drain { reason, .. } => self.open.drained(&reason),
                Closing::Cut { reason } => return self.open.cut(&reason),
                _ => return,
            }
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("peer", &self.peer)
            .field("remote_addr", &self.remote_addr)
            .finish_non_exhaustive()
    }
}
