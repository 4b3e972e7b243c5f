//! Whatever somebody says instead of a handshake: it is refused, nothing panics, nothing is kept, and the next is served.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use consul_connect::{
    Connector, Destination, Listener, authorize::dangerously_allow_all, crypto_provider,
    test_util::TestCa,
};
use mesh_tests::{
    TD, echo_once, pair,
    stress::{Memory, NOWHERE, in_memory, times},
};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

/// A small generator of our own: the same openings in each run, so that a failure can be found again by its number.
struct Random(u64);

impl Random {
    fn new(n: usize) -> Self {
        Self(n as u64 ^ 0x9e37_79b9_7f4a_7c15)
    }

    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("a small number")
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = 1 + self.below(most);
        (0..length).map(|_| self.next().to_be_bytes()[0]).collect()
    }
}

/// What a client of ours would begin with.
fn hello() -> Vec<u8> {
    let provider = crypto_provider().expect("a provider");
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("api").expect("a name");
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("a hello");
    hello
}

/// The same bytes of a handshake in records of `size` bytes.
fn fragmented(hello: &[u8], size: usize) -> Vec<u8> {
    let mut all = Vec::new();
    for piece in hello[5..].chunks(size) {
        let length = u16::try_from(piece.len()).expect("a short piece");
        all.extend([22, 3, 1]);
        all.extend(length.to_be_bytes());
        all.extend(piece);
    }
    all
}

const PLAIN: [&[u8]; 6] = [
    b"GET / HTTP/1.1\r\nHost: api\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"EHLO mail.example.org\r\n",
    b"SSH-2.0-OpenSSH_9.9\r\n",
    b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
    b"\0",
];

/// The `n`th thing to say. None of them is, or leads to, a whole handshake.
fn opening(n: usize, hello: &[u8]) -> Vec<u8> {
    let mut random = Random::new(n);
    match n % 8 {
        0 => random.bytes(1024),
        1 => hello[..random.below(hello.len())].to_vec(),
        2 => {
            let mut changed = hello.to_vec();
            for _ in 0..=random.below(8) {
                let at = random.below(changed.len());
                changed[at] = random.next().to_be_bytes()[0];
            }
            changed
        }
        3 => fragmented(hello, 1 + random.below(40)),
        4 => PLAIN[random.below(PLAIN.len())].to_vec(),
        // A record of any kind and length with something in it.
        5 => {
            let mut record = vec![20 + random.next().to_be_bytes()[0] % 5, 3, 3];
            record.extend(random.bytes(300));
            record
        }
        // A hello, and then what nobody asked for.
        6 => [hello, &random.bytes(200)].concat(),
        // A handshake message of any type and of a length it does not have.
        _ => {
            let body = random.bytes(200);
            let length = u16::try_from(body.len()).expect("a short body");
            [&[22, 3, 1], &length.to_be_bytes()[..], &body].concat()
        }
    }
}

async fn said_to_listener(listener: &Listener, opening: &[u8], n: usize) {
    let (mut near, far) = tokio::io::duplex(16 * 1024);
    near.write_all(opening).await.expect("room");
    near.shutdown().await.expect("an end");
    let accepted = listener.accept_io(far, NOWHERE).await;
    assert!(accepted.is_err(), "opening {n} was accepted");
}

async fn said_to_connector(
    connector: &Connector,
    destination: &Destination,
    opening: &[u8],
    n: usize,
) {
    let (mut near, far) = tokio::io::duplex(16 * 1024);
    near.write_all(opening).await.expect("room");
    near.shutdown().await.expect("an end");
    let connected = connector.connect_io(far, destination).await;
    assert!(connected.is_err(), "answer {n} was taken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openings_in_memory_are_refused_by_both_sides_and_leave_nothing_behind() {
    let ca = TestCa::new(TD);
    let (api, _api) = ca.identity("api").await.expect("an identity");
    let (web, _web) = ca.identity("web").await.expect("an identity");
    let listener = Listener::builder(api, Arc::new(dangerously_allow_all()))
        .bind("127.0.0.1:0")
        .await
        .expect("a listener");
    let listener = Arc::new(listener);
    let connector = Connector::new(web);
    let destination = Destination::new(NOWHERE, ca.id("api"));
    let hello: Arc<[u8]> = hello().into();
    let all = times(990_000);
    let next = Arc::new(AtomicUsize::new(0));
    // Everything once, so that what is learnt once does not count.
    for n in 0..80 {
        said_to_listener(&listener, &opening(n, &hello), n).await;
    }
    let memory = Memory::now();
    let mut hands = JoinSet::new();
    for _ in 0..4 {
        let (listener, hello, next) =
            (Arc::clone(&listener), Arc::clone(&hello), Arc::clone(&next));
        let (connector, destination) = (connector.clone(), destination.clone());
        hands.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= all {
                    break;
                }
                let opening = opening(n, &hello);
                if n % 5 == 4 {
                    said_to_connector(&connector, &destination, &opening, n).await;
                } else {
                    said_to_listener(&listener, &opening, n).await;
                }
            }
        });
    }
    while let Some(hand) = hands.join_next().await {
        hand.expect("no panic");
    }
    memory.grew_at_most(16, &format!("{all} openings in memory"));
    assert_eq!(
        listener.open_connections() + connector.open_connections(),
        0
    );
    assert_eq!(listener.stats().accepted, 0);
    let (connected, accepted) = in_memory(&connector, &listener, &destination).await;
    let (connected, accepted) = (connected.expect("connected"), accepted.expect("accepted"));
    echo_once(connected.stream, accepted.stream).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openings_on_sockets_are_refused_and_the_next_caller_is_served() {
    let mut pair = pair().await;
    let mut refusals = pair.refusals();
    let address = pair.address();
    let hello: Arc<[u8]> = hello().into();
    let all = times(10_000);
    let memory = Memory::now();
    let next = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let (hello, next) = (Arc::clone(&hello), Arc::clone(&next));
        callers.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= all {
                    break;
                }
                let mut tcp = TcpStream::connect(address)
                    .await
                    .expect("accepted by the system");
                // It may be closed before all is said.
                let _ = tcp.write_all(&opening(n, &hello)).await;
                let _ = tcp.shutdown().await;
                let _ = tcp.read_to_end(&mut Vec::new()).await;
            }
        });
    }
    let refused = async {
        for _ in 0..all {
            refusals.recv().await.expect("the listener lives");
        }
    };
    tokio::select! {
        accepted = pair.listener.accept() => panic!("accepted {accepted:?}"),
        () = refused => {}
    }
    while let Some(caller) = callers.join_next().await {
        caller.expect("no panic");
    }
    assert_eq!(pair.listener.stats().refused, all as u64);
    memory.grew_at_most(16, &format!("{all} openings on sockets"));
    assert_eq!(pair.listener.open_connections(), 0);
    let (client, accepted) = pair.connect().await;
    echo_once(client.stream, accepted.stream).await;
}
