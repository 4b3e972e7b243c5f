//! Two tasks that share a stream do not take each other's wakeups.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use consul_connect::Destination;
use mesh_tests::{pair, stress::NOWHERE};
use tokio::{
    io::{
        AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex, split,
    },
    time::timeout,
};

/// A stream whose writes fail from some moment on, while its reads still wait.
struct Breaking {
    io: DuplexStream,
    broken: Arc<AtomicBool>,
}

impl AsyncRead for Breaking {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Breaking {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.broken.load(Ordering::SeqCst) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_write_that_fails_leaves_whoever_reads_the_end_of_the_stream() {
    let pair = pair().await;
    let (near, far) = duplex(64 * 1024);
    let broken = Arc::new(AtomicBool::new(false));
    let near = Breaking {
        io: near,
        broken: Arc::clone(&broken),
    };
    let destination = Destination::new(pair.address(), pair.ca.id("api"));
    let (client, server) = tokio::join!(
        pair.connector.connect_io(near, &destination),
        pair.listener.accept_io(far, NOWHERE)
    );
    let (client, server) = (client.expect("connected"), server.expect("accepted"));

    let (mut reader, mut writer) = split(client.stream);
    let reading = tokio::spawn(async move { reader.read(&mut [0; 1]).await });
    // On this one thread: it has begun to wait.
    tokio::task::yield_now().await;
    broken.store(true, Ordering::SeqCst);
    let error = async {
        writer.write_all(b"x").await?;
        writer.flush().await
    };
    error.await.expect_err("a broken pipe");
    drop(server);

    let ended = timeout(Duration::from_secs(10), reading).await;
    let read = ended.expect("the reader is woken").expect("no panic");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}
