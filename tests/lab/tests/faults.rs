//! What the fault proxy does to connections.

use std::{io, net::SocketAddr, time::Duration};

use mesh_lab::{Fault, FaultProxy};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::{Instant, timeout},
};

/// Far above what anything here takes.
const LONG: Duration = Duration::from_secs(30);
/// Within this nothing must come; if something would, the test passes wrongly once in a while, and never fails wrongly.
const A_WHILE: Duration = Duration::from_millis(100);

/// Echoes everything until it is dropped.
struct Echo {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Echo {
    async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                open.spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    let _ = tokio::io::copy(&mut reader, &mut writer).await;
                });
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn world() -> io::Result<(Echo, FaultProxy)> {
    let echo = Echo::start().await?;
    let proxy = FaultProxy::to(echo.address).await?;
    Ok((echo, proxy))
}

async fn connect(proxy: &FaultProxy) -> io::Result<TcpStream> {
    TcpStream::connect(proxy.address()).await
}

async fn echo(stream: &mut TcpStream, text: &str) -> io::Result<String> {
    stream.write_all(text.as_bytes()).await?;
    read(stream, text.len()).await
}

async fn read(stream: &mut TcpStream, count: usize) -> io::Result<String> {
    let mut back = vec![0; count];
    timeout(LONG, stream.read_exact(&mut back)).await??;
    Ok(String::from_utf8_lossy(&back).into_owned())
}

async fn is_reset(stream: &mut TcpStream) -> io::Result<bool> {
    let read = timeout(LONG, stream.read(&mut [0; 1])).await?;
    Ok(read.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset))
}

async fn is_silent(stream: &mut TcpStream) -> bool {
    timeout(A_WHILE, stream.read(&mut [0; 1])).await.is_err()
}

#[tokio::test]
async fn without_orders_everything_goes_through_and_each_end_closes_by_itself() -> io::Result<()> {
    let (_echo, proxy) = world().await?;
    let mut stream = connect(&proxy).await?;
    let long = "x".repeat(1 << 20);
    let (mut reader, mut writer) = stream.split();
    let mut back = String::new();
    let (sent, received) = tokio::join!(
        async {
            writer.write_all(long.as_bytes()).await?;
            writer.shutdown().await
        },
        reader.read_to_string(&mut back)
    );
    sent?;
    received?;
    assert!(back == long);
    proxy.until_open(0).await;
    assert_eq!(proxy.accepted(), 1);
    Ok(())
}

#[tokio::test]
async fn every_piece_is_late_by_the_delay() -> io::Result<()> {
    let (_echo, proxy) = world().await?;
    let mut stream = connect(&proxy).await?;
    assert_eq!(echo(&mut stream, "a").await?, "a");
    proxy.set(Fault::Delay(Duration::from_millis(50)));
    let began = Instant::now();
    assert_eq!(echo(&mut stream, "b").await?, "b");
    assert!(began.elapsed() >= Duration::from_millis(100), "both ways");
    Ok(())
}

#[tokio::test]
async fn a_hanging_connection_takes_everything_and_is_reset_afterwards() -> io::Result<()> {
    let (_echo, proxy) = world().await?;
    let (mut open, mut idle) = (connect(&proxy).await?, connect(&proxy).await?);
    echo(&mut open, "before").await?;
    echo(&mut idle, "before").await?;
    proxy.set(Fault::Hang);
    let mut new = connect(&proxy).await?;
    let long = vec![0; 8 << 20]; // more than the kernel's buffers hold
    for stream in [&mut open, &mut new] {
        timeout(LONG, stream.write_all(&long)).await??;
        assert!(is_silent(stream).await);
    }
    proxy.set(Fault::Pass);
    assert!(is_reset(&mut open).await?, "it lost bytes");
    assert!(is_reset(&mut new).await?, "it lost bytes");
    assert_eq!(echo(&mut idle, "after").await?, "after", "it lost nothing");
    Ok(())
}

#[tokio::test]
async fn a_black_hole_loses_nothing_and_tells_nobody() -> io::Result<()> {
    let (_echo, proxy) = world().await?;
    let (mut open, mut closed) = (connect(&proxy).await?, connect(&proxy).await?);
    echo(&mut open, "before").await?;
    echo(&mut closed, "before").await?;
    proxy.set(Fault::Blackhole);
    open.write_all(b"during").await?;
    assert!(is_silent(&mut open).await);
    drop(closed);
    assert!(is_silent(&mut open).await);
    assert_eq!(proxy.open(), 2, "the one that left is not noticed");
    proxy.set(Fault::Pass);
    assert_eq!(read(&mut open, 6).await?, "during");
    timeout(LONG, proxy.until_open(1)).await?;
    Ok(())
}

#[tokio::test]
async fn a_reset_reaches_open_and_new_connections() -> io::Result<()> {
    let (_echo, proxy) = world().await?;
    let mut open = connect(&proxy).await?;
    echo(&mut open, "before").await?;
    proxy.set(Fault::Reset);
    assert!(is_reset(&mut open).await?);
    let mut new = connect(&proxy).await?;
    assert!(is_reset(&mut new).await?);
    proxy.set(Fault::Pass);
    let mut later = connect(&proxy).await?;
    assert_eq!(echo(&mut later, "after").await?, "after");
    proxy.break_all();
    assert!(is_reset(&mut later).await?);
    let mut last = connect(&proxy).await?;
    assert_eq!(echo(&mut last, "after").await?, "after");
    Ok(())
}

#[tokio::test]
async fn an_answer_is_cut_at_the_very_byte() -> io::Result<()> {
    let (_echo, proxy) = world().await?;
    proxy.set(Fault::CutAfter(7));
    let mut stream = connect(&proxy).await?;
    assert_eq!(echo(&mut stream, "12345").await?, "12345");
    stream.write_all(b"67890").await?;
    assert_eq!(read(&mut stream, 2).await?, "67");
    assert!(is_reset(&mut stream).await?);
    Ok(())
}

#[tokio::test]
async fn a_slow_connection_has_its_rate() -> io::Result<()> {
    let (_echo, proxy) = world().await?;
    proxy.set(Fault::Slow(50_000));
    let mut stream = connect(&proxy).await?;
    let began = Instant::now();
    echo(&mut stream, &"x".repeat(10_000)).await?;
    assert!(
        began.elapsed() >= Duration::from_millis(200),
        "{:?}",
        began.elapsed()
    );
    Ok(())
}

#[tokio::test]
async fn canned_answers_come_without_the_target() -> io::Result<()> {
    let (_echo, proxy) = world().await?;
    let mut open = connect(&proxy).await?;
    echo(&mut open, "before").await?;
    let nobody = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let lonely = FaultProxy::to(nobody).await?;
    for proxy in [&proxy, &lonely] {
        proxy.set(Fault::http(429, "rate limit reached, try again later"));
    }
    let mut new = connect(&lonely).await?;
    for stream in [&mut open, &mut new] {
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await?;
        let mut answer = String::new();
        timeout(LONG, stream.read_to_string(&mut answer)).await??;
        assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
        assert!(answer.ends_with("try again later"), "{answer}");
    }
    Ok(())
}

#[tokio::test]
async fn a_script_is_played_connection_by_connection() -> io::Result<()> {
    let (_echo, proxy) = world().await?;
    proxy.script([Fault::Reset, Fault::no_leader()]);
    let mut first = connect(&proxy).await?;
    assert!(is_reset(&mut first).await?);
    let mut second = connect(&proxy).await?;
    let answer = echo(&mut second, "GET").await?;
    assert_eq!(answer, "HTT");
    let mut third = connect(&proxy).await?;
    assert_eq!(echo(&mut third, "through").await?, "through");
    assert_eq!(proxy.accepted(), 3);
    Ok(())
}

#[tokio::test]
async fn its_port_is_free_once_it_has_stopped() -> io::Result<()> {
    let (_echo, proxy) = world().await?;
    let address = proxy.address();
    let mut open = connect(&proxy).await?;
    echo(&mut open, "before").await?;
    proxy.stop().await;
    assert!(!is_silent(&mut open).await, "it is closed");
    let refused = TcpStream::connect(address).await.expect_err("it is closed");
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    Ok(())
}
