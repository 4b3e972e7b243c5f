//! Thousands who begin a handshake and never end it: they cost a place each until their time is up, and keep nobody out.

use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use consul_connect::{
    Connector, Destination, Listener, Refused, authorize::dangerously_allow_all, test_util::TestCa,
};
use mesh_tests::{
    TD,
    stress::{Memory, descriptors, times},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout},
};

/// What one of them may take while it lasts.
const KIB_EACH: u64 = 64;

/// `api`, echoing, and how many it refused.
struct World {
    connector: Connector,
    destination: Destination,
    refused: watch::Receiver<u64>,
    timed_out: Arc<AtomicU64>,
    _served: JoinHandle<()>,
}

impl World {
    async fn new(max_handshakes: usize, handshake_timeout: Duration) -> Self {
        let ca = TestCa::new(TD);
        let (api, _) = ca.identity("api").await.expect("an identity");
        let (web, _) = ca.identity("web").await.expect("an identity");
        let (count, refused) = watch::channel(0);
        let timed_out = Arc::new(AtomicU64::new(0));
        let timeouts = Arc::clone(&timed_out);
        let mut listener = Listener::builder(api, Arc::new(dangerously_allow_all()))
            .max_handshakes(max_handshakes)
            .handshake_timeout(handshake_timeout)
            .on_refused(move |_, refused| {
                if matches!(refused, Refused::Timeout { .. }) {
                    timeouts.fetch_add(1, Ordering::SeqCst);
                }
                count.send_modify(|count| *count += 1);
            })
            .bind("127.0.0.1:0")
            .await
            .expect("a listener");
        let destination = Destination::new(listener.local_addr(), ca.id("api"));
        let served = tokio::spawn(async move {
            while let Some(accepted) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = tokio::io::split(accepted.stream);
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        Self {
            connector: Connector::new(web),
            destination,
            refused,
            timed_out,
            _served: served,
        }
    }

    async fn slow(&self, count: usize) -> Child {
        let mut child = Command::new(env!("CARGO_BIN_EXE_slow-handshakes"))
            .args([self.destination.address().to_string(), count.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the other process");
        let mut lines = BufReader::new(child.stdout.take().expect("its words")).lines();
        let open = timeout(Duration::from_secs(60), lines.next_line()).await;
        let open = open.expect("in time").expect("its words");
        assert_eq!(open, Some(format!("open {count}")));
        child
    }

    async fn good(&self) -> bool {
        let Ok(mut connection) = self.connector.connect(&self.destination).await else {
            return false;
        };
        let stream = &mut connection.stream;
        stream.write_all(b"x").await.is_ok()
            && stream.flush().await.is_ok()
            && stream.read_u8().await.is_ok()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_would_shake_hands_do_so_meanwhile_and_nothing_is_left_of_the_others() {
    let count = times(10_000).max(1_000);
    descriptors(count as u64 + 200);
    let patience = Duration::from_secs(2 + count as u64 / 2_000);
    let mut world = World::new(count + 100, patience).await;
    assert!(world.good().await, "the first of all");
    let mut after = None;
    for round in 1..=2_u64 {
        let before = Memory::now();
        let slow = world.slow(count).await;
        for _ in 0..20 {
            let begun = Instant::now();
            assert!(world.good().await, "among {count} slow ones");
            assert!(begun.elapsed() < patience, "{:?}", begun.elapsed());
        }
        let most = 8 + KIB_EACH * count as u64 / 1024;
        before.grew_at_most(most, &format!("{count} slow handshakes, round {round}"));
        let all = round * count as u64;
        let ended = world.refused.wait_for(|refused| *refused >= all);
        let ended = timeout(patience + Duration::from_secs(20), ended).await;
        ended
            .expect("their time is up")
            .expect("the listener lives");
        assert_eq!(world.timed_out.load(Ordering::SeqCst), all);
        drop(slow);
        // What the allocator keeps it keeps once.
        match &after {
            None => after = Some(Memory::now()),
            Some(first) => Memory::grew_at_most(*first, 8, "since the first round"),
        }
    }
    assert!(world.good().await, "the last of all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_fill_every_place_give_way_after_a_second_and_long_before_their_time_is_up() {
    let places = 128;
    let mut world = World::new(places, Duration::from_secs(300)).await;
    let _slow = world.slow(4 * places).await;
    // Some of them have had to go for others.
    let crowded = world
        .refused
        .wait_for(|refused| *refused >= 2 * places as u64);
    let crowded = timeout(Duration::from_secs(20), crowded).await;
    crowded.expect("in time").expect("the listener lives");
    let begun = Instant::now();
    while !world.good().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "kept out");
    }
    println!("let in after {:?}", begun.elapsed());
    // And the next ones, each at the cost of one who is slow.
    for _ in 0..20 {
        assert!(world.good().await, "let in once, and then not");
    }
    assert_eq!(world.timed_out.load(Ordering::SeqCst), 0);
}
