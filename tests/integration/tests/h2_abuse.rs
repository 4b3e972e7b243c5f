//! A verified peer that abuses h2 is let go, and costs neither memory nor the others.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::any};
use consul_connect::{
    Address, Connector, Destination, MeshStream, authorize::dangerously_allow_all,
    test_util::TestCa,
};
use mesh_tests::{
    TD,
    raw_http::frame::{
        CONTINUATION, DATA, END_HEADERS, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, frame,
    },
    stress::{Memory, times},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
    time::timeout,
};
use tower_mesh::{
    Client,
    resolve::{Instance, fixed},
    serve::{Limits, Server, ServerHandle},
};

/// `:method: GET`, `:scheme: https`, `:path: /`, `:authority: a`, in the static table of HPACK.
const HEAD: &[u8] = &[0x82, 0x87, 0x84, 0x41, 0x01, b'a'];

/// What an abuser may cost the process.
const MEMORY_MIB: u64 = 32;

/// `api`, which answers at `/` and never at `/wait`, and a caller who behaves.
struct World {
    connector: Connector,
    destination: Destination,
    server: ServerHandle,
    good: JoinHandle<usize>,
    enough: Arc<AtomicBool>,
    running: Arc<AtomicUsize>,
}

impl World {
    async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Self {
        let ca = TestCa::new(TD);
        let (api, _) = ca.identity("api").await.expect("an identity");
        let (web, _) = ca.identity("web").await.expect("an identity");
        let server = Server::builder(api, Arc::new(dangerously_allow_all()))
            .limits(limits)
            .bind("127.0.0.1:0")
            .await
            .expect("a server");
        let address = server.local_addr();
        let handle = server.handle();
        let running = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&running);
        let app = Router::new()
            .route("/good", any(async || "good"))
            .fallback(move || {
                let count = Arc::clone(&count);
                async move {
                    let _one = Running::new(count);
                    std::future::pending::<()>().await;
                }
            });
        tokio::spawn(server.run(app));
        let enough = Arc::new(AtomicBool::new(false));
        let client = Client::with_resolver(
            web.clone(),
            "api".parse().expect("a name"),
            fixed([Instance::new(Address::Tcp(address))]),
        );
        let stop = Arc::clone(&enough);
        let good = tokio::spawn(async move {
            let mut answered = 0;
            while !stop.load(Ordering::SeqCst) {
                let answer = client.get("/good").timeout(Duration::from_secs(10)).send();
                let text = answer.await.expect("an answer").text().await;
                assert_eq!(text.expect("text"), "good");
                answered += 1;
            }
            answered
        });
        Self {
            destination: Destination::new(address, ca.id("api")).with_alpn([b"h2"]),
            connector: Connector::new(web),
            server: handle,
            good,
            enough,
            running,
        }
    }

    /// A connection on which h2 has begun.
    async fn abuser(&self) -> MeshStream {
        let connection = self.connector.connect(&self.destination).await;
        let mut stream = connection.expect("a connection").stream;
        let opening = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        stream.write_all(&opening).await.expect("room");
        stream.flush().await.expect("room");
        stream
    }

    /// Sends `batch` after `batch` until the server ends the connection, reading what it answers.
    async fn until_closed(&self, what: &str, batch: impl FnMut(u32) -> Vec<u8> + Send + 'static) {
        let memory = Memory::now();
        let (reader, writer) = tokio::io::split(self.abuser().await);
        let sent = abuse(reader, writer, batch).await;
        let sent = sent.unwrap_or_else(|| panic!("{what}: the abuser was not closed"));
        println!("{what}: closed after {sent} frames at most");
        memory.grew_at_most(MEMORY_MIB, what);
    }

    /// Nobody else noticed.
    async fn end(self) {
        self.enough.store(true, Ordering::SeqCst);
        let answered = self.good.await.expect("every request was answered");
        println!("{answered} good requests meanwhile");
        assert!(answered > 0);
        // What the abusers began has ended with their connections.
        let ended = async {
            while self.running.load(Ordering::SeqCst) > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), ended)
            .await
            .expect("no request of a closed connection goes on");
        self.server.cut();
    }
}

struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(count: Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

const FRAMES_A_BATCH: u32 = 100;

/// How many frames went out until the connection was closed; `None` if all of a great many did.
async fn abuse(
    mut reader: impl AsyncReadExt + Unpin + Send + 'static,
    mut writer: impl AsyncWriteExt + Unpin,
    mut batch: impl FnMut(u32) -> Vec<u8>,
) -> Option<u64> {
    let read = tokio::spawn(async move {
        let mut answers = [0; 16 * 1024];
        while matches!(reader.read(&mut answers).await, Ok(1..)) {}
    });
    let most = times(5_000_000) as u64;
    let mut sent = 0;
    let mut id = 1;
    let writing = async {
        while sent < most && !read.is_finished() {
            if writer.write_all(&batch(id)).await.is_err() || writer.flush().await.is_err() {
                break;
            }
            sent += u64::from(FRAMES_A_BATCH);
            id += 2 * FRAMES_A_BATCH;
        }
        sent
    };
    let sent = timeout(Duration::from_secs(60), writing).await.ok()?;
    if sent >= most {
        return None;
    }
    let closed = timeout(Duration::from_secs(10), read).await;
    closed.ok().map(|_ended| sent)
}

/// `each` for each stream of a batch that begins at `id`.
fn batch(id: u32, each: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    (0..FRAMES_A_BATCH).flat_map(|n| each(id + 2 * n)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_resets_end_the_connection() {
    let world = World::new().await;
    world
        .until_closed("rapid reset", |id| {
            batch(id, |id| {
                let open = frame(HEADERS, END_HEADERS | 1, id, HEAD);
                [open, frame(RST_STREAM, 0, id, &8_u32.to_be_bytes())].concat()
            })
        })
        .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_resets_one_by_one_end_the_connection() {
    let world = World::new().await;
    let memory = Memory::now();
    let (mut reader, mut writer) = tokio::io::split(world.abuser().await);
    let read = tokio::spawn(async move {
        let mut answers = [0; 16 * 1024];
        while matches!(reader.read(&mut answers).await, Ok(1..)) {}
    });
    let mut id = 1;
    while !read.is_finished() {
        assert!(id < 2 * 100_000, "a hundred thousand were taken");
        let open = frame(HEADERS, END_HEADERS | 1, id, HEAD);
        let reset = frame(RST_STREAM, 0, id, &8_u32.to_be_bytes());
        // In records of their own, so that each request is begun before it is reset.
        for piece in [open, reset] {
            let written = writer.write_all(&piece).await.is_ok();
            if !written || writer.flush().await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        id += 2;
    }
    println!("one by one: closed after {} resets at most", id / 2);
    memory.grew_at_most(MEMORY_MIB, "rapid reset one by one");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_continuations_end_the_connection() {
    let world = World::new().await;
    world
        .until_closed("continuations", |id| {
            let mut all = Vec::new();
            if id == 1 {
                all = frame(HEADERS, 0, 1, HEAD);
            }
            // A header of a name and a value of 0x7f-style literals, never the last.
            let header = [&[0x00, 0x03][..], b"x-a", &[0x64], &[b'v'; 100]].concat();
            for _ in 0..FRAMES_A_BATCH {
                all.extend(frame(CONTINUATION, 0, 1, &header));
            }
            all
        })
        .await;
    world
        .until_closed("empty continuations", |id| {
            let mut all = Vec::new();
            if id == 1 {
                all = frame(HEADERS, 0, 1, HEAD);
            }
            for _ in 0..FRAMES_A_BATCH {
                all.extend(frame(CONTINUATION, 0, 1, &[]));
            }
            all
        })
        .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_data_ends_the_connection() {
    let world = World::new().await;
    world
        .until_closed("empty DATA", |id| {
            let mut all = Vec::new();
            if id == 1 {
                let post = [&[0x83][..], &HEAD[1..]].concat();
                all = frame(HEADERS, END_HEADERS, 1, &post);
            }
            for _ in 0..FRAMES_A_BATCH {
                all.extend(frame(DATA, 0, 1, &[]));
            }
            all
        })
        .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_settings_and_pings_end_the_connection() {
    let world = World::new().await;
    // SETTINGS_INITIAL_WINDOW_SIZE, which has to be applied to every stream.
    let window = [0, 4, 0, 0, 0xff, 0xff];
    world
        .until_closed("SETTINGS", move |id| {
            batch(id, |_| frame(SETTINGS, 0, 0, &window))
        })
        .await;
    world
        .until_closed("PING", |id| batch(id, |_| frame(PING, 0, 0, &[7; 8])))
        .await;
    world
        .until_closed("answers to no PING", |id| {
            batch(id, |_| frame(PING, 1, 0, &[7; 8]))
        })
        .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_whose_answers_are_not_read_ends_the_connection() {
    let mut limits = Limits::default();
    limits.keep_alive_interval = Duration::from_millis(500);
    limits.keep_alive_timeout = Duration::from_secs(2);
    let world = World::with(limits).await;
    let memory = Memory::now();
    let mut stream = world.abuser().await;
    let pings = batch(1, |_| frame(PING, 0, 0, &[7; 8]));
    let writing = async {
        loop {
            if stream.write_all(&pings).await.is_err() || stream.flush().await.is_err() {
                break;
            }
        }
    };
    timeout(Duration::from_secs(30), writing)
        .await
        .expect("closed, by the flood or by the sign of life that cannot be read");
    memory.grew_at_most(MEMORY_MIB, "PING without reading");
    world.end().await;
}
