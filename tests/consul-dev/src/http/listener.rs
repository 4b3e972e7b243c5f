//! Accepting connections, and taking the whole server down and up again on the same port.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// One accepted connection. Dropped while marked, it is reset instead of closed.
#[derive(Debug)]
pub(crate) struct Io {
    stream: TcpStream,
    reset: Reset,
}

/// Marks a connection to be reset when it is dropped.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reset(Arc<AtomicBool>);

impl Reset {
    pub(crate) fn mark(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Io {
    pub(crate) fn reset(&self) -> Reset {
        self.reset.clone()
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        if self.reset.0.load(Ordering::Relaxed) {
            // Best effort: without it the peer sees an orderly end.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Serves one connection to its end.
pub(crate) type Serve = Arc<dyn Fn(Io) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Takes a listener down or up; acknowledged when it is done.
#[derive(Debug)]
pub(crate) struct Power {
    pub(crate) up: bool,
    pub(crate) done: oneshot::Sender<()>,
}

fn bind(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    Ok(socket)
}

/// Listens on loopback; port 0 is a free one.
pub(crate) fn listen(port: u16) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = bind(port)?.listen(1024)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Accepts until the commands end. Down: nothing accepted, everything open reset, the port kept.
pub(crate) async fn accept(
    mut listener: TcpListener,
    address: SocketAddr,
    serve: Serve,
    mut power: mpsc::Receiver<Power>,
) {
    loop {
        let mut connections = JoinSet::new();
        let mut resets: Vec<Reset> = Vec::new();
        let down = loop {
            tokio::select! {
                accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                    // Small replies must not wait for an acknowledgement.
                    let _ = stream.set_nodelay(true);
                    let reset = Reset::default();
                    resets.retain(|reset| Arc::strong_count(&reset.0) > 1);
                    resets.push(reset.clone());
                    connections.spawn(serve(Io { stream, reset }));
                },
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                command = power.recv() => match command {
                    None => return,
                    Some(command) if command.up => { let _ = command.done.send(()); }
                    Some(command) => break command,
                },
            }
        };
        drop(listener);
        for reset in resets {
            reset.mark();
        }
        connections.shutdown().await;
        // A bound socket that does not listen keeps the port and has connections refused.
        let socket = held(address.port()).await;
        let _ = down.done.send(());
        let up = loop {
            match power.recv().await {
                None => return,
                Some(command) if command.up => break command,
                Some(command) => {
                    let _ = command.done.send(());
                }
            }
        };
        listener = match socket.listen(1024) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, %address, "listening again");
                return;
            }
        };
        let _ = up.done.send(());
    }
}

/// Binds the port again; the kernel may need a moment after the listener was closed.
async fn held(port: u16) -> TcpSocket {
    loop {
        match bind(port) {
            Ok(socket) => return socket,
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}
