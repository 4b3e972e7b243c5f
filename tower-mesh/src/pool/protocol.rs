//! HTTP on a fresh connection: which version, and with what settings.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    task,
};

use consul_connect::RefusedByPeer;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::oneshot,
    task::AbortHandle,
};

use super::{
    Shared,
    connection::{Conn, Fresh, Sender},
    keeper,
    open::{Answer, BoxIo},
    state::Dial,
};
use crate::{
    error::{Error, ErrorKind},
    gather::{Gathering, Writes, gather},
};

/// A version of HTTP on the wire.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// What a request can be sent on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Want {
    Any,
    /// Upgrades exist in HTTP/1.1 only.
    Http1,
    /// gRPC, and whoever asked for the version.
    Http2,
}

impl Want {
    pub(crate) fn accepts(self, protocol: Protocol) -> bool {
        match self {
            Self::Any => true,
            Self::Http1 => protocol == Protocol::Http1,
            Self::Http2 => protocol == Protocol::Http2,
        }
    }
}

/// Dials, settles the protocol, and starts the connection's tasks.
pub(super) async fn establish(shared: &Arc<Shared>, dial: Dial) -> Result<Fresh, Error> {
    let opened = shared.open.open(dial.offer).await?;
    let protocol = match opened.answer {
        Answer::H2 => Protocol::Http2,
        Answer::Http11 => Protocol::Http1,
        Answer::Silent => dial.silent,
    };
    let (gone, io_gone) = oneshot::channel();
    let conn = Arc::new(Conn::new(opened.generation, protocol));
    let io = Tracked {
        io: opened.io,
        conn: Arc::clone(&conn),
        _gone: gone,
    };
    let failed = |source: hyper::Error| {
        let context = format!("starting HTTP on a connection to {}", shared.open.name());
        match conn.refused() {
            Some(refused) => Error::with_source(ErrorKind::Denied, context, refused.clone()),
            None => Error::with_source(ErrorKind::Connect, context, source),
        }
    };

    // The tasks spawned here end by themselves, because they run only while their stream and a sender
    // live; the keeper, which ends with the stream, aborts them when the connection is cut.
    let (sender, aborts) = match protocol {
        Protocol::Http1 => {
            let (mut sender, connection) = http1::Builder::new()
                .handshake(TokioIo::new(io))
                .await
                .map_err(failed)?;
            let task = tokio::spawn(async move {
                if let Err(error) = connection.with_upgrades().await {
                    tracing::debug!(%error, "an HTTP/1.1 connection ended");
                }
            });
            // A sender is only ready once its task has run, and only ready ones are lent.
            sender.ready().await.map_err(failed)?;
            (Sender::H1(sender), [Some(task.abort_handle()), None])
        }
        Protocol::Http2 => {
            let (io, writes) = gather(io);
            let executor = Executor::new(writes);
            let (sender, connection) = http2::Builder::new(executor.clone())
                .timer(TokioTimer::new())
                .keep_alive_interval(shared.config.keep_alive_interval)
                .keep_alive_timeout(shared.config.keep_alive_timeout)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .handshake(TokioIo::new(io))
                .await
                .map_err(failed)?;
            let task = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "an h2 connection ended");
                }
            });
            (
                Sender::H2(sender),
                [Some(task.abort_handle()), executor.first()],
            )
        }
    };
    keeper::start(shared, &conn, opened.guard, io_gone, aborts);
    Ok(Fresh {
        conn,
        sender,
        answer: opened.answer,
    })
}

/// Flow-control windows: a megabyte in flight per stream is 1 Gbit/s at 8 ms.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// The stream, and word of its end: also after an upgrade took it out of HTTP.
struct Tracked {
    io: BoxIo,
    conn: Arc<Conn>,
    _gone: oneshot::Sender<Infallible>,
}

impl Tracked {
    /// Looks for a refusal before hyper makes text of it.
    fn heed<T>(&self, polled: task::Poll<std::io::Result<T>>) -> task::Poll<std::io::Result<T>> {
        if let task::Poll::Ready(Err(error)) = &polled
            && let Some(refused) = RefusedByPeer::of(error)
        {
            self.conn.refuse(refused);
        }
        polled
    }
}

impl AsyncRead for Tracked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> task::Poll<std::io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        self.heed(polled)
    }
}

impl AsyncWrite for Tracked {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        buf: &[u8],
    ) -> task::Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        self.heed(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> task::Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.heed(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> task::Poll<std::io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_flush(cx);
        self.heed(polled)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> task::Poll<std::io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_shutdown(cx);
        self.heed(polled)
    }
}

/// Spawns hyper's h2 tasks. The first is the connection, and is remembered.
///
/// Dropping hyper's h2 `Connection` future does not stop the connection: the task that owns the
/// stream is another one, given to the executor during the handshake, before any other. It sends
/// what was written, and aborting it ends the connection and every stream on it.
#[derive(Clone)]
struct Executor(Arc<First>);

struct First {
    /// Until it is spawned.
    writes: Mutex<Option<Writes<Tracked>>>,
    task: OnceLock<AbortHandle>,
}

impl Executor {
    fn new(writes: Writes<Tracked>) -> Self {
        Self(Arc::new(First {
            writes: Mutex::new(Some(writes)),
            task: OnceLock::new(),
        }))
    }

    fn first(&self) -> Option<AbortHandle> {
        self.0.task.get().cloned()
    }
}

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let writes = match self.0.task.get() {
            Some(_) => None,
            None => {
                let writes = self.0.writes.lock();
                writes.unwrap_or_else(PoisonError::into_inner).take()
            }
        };
        let Some(writes) = writes else {
            tokio::spawn(future);
            return;
        };
        let task = tokio::spawn(Gathering::new(future, writes));
        // Only one has the writes.
        let _ = self.0.task.set(task.abort_handle());
    }
}
