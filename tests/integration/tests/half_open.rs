//! Peers that vanish without a word, as behind a cable that was pulled: in a network namespace in which nothing that is sent to
//! or by them arrives.

use std::{
    io::Write as _,
    net::SocketAddr,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use axum::{Router, routing::get};
use consul_connect::{
    Address, Connection, Connector, Destination, Layer, Listener, Refused,
    authorize::dangerously_allow_all, test_util::TestCa,
};
use mesh_tests::TD;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    sync::mpsc,
    time::timeout,
};
use tower_mesh::{
    Client, ErrorKind,
    resolve::{Instance, fixed},
    serve::{Limits, Server},
};

const LONG: Duration = Duration::from_secs(20);
const HERE: &str = "10.9.0.1:0";
const THERE: &str = "10.9.0.2:0";
/// Set in the namespace.
const INSIDE: &str = "MESH_HALF_OPEN";

/// A host of two addresses, whose routes are looked up after rules that a test may add.
const HOST: &str = "ip link set lo up && ip addr add 10.9.0.1/32 dev lo && ip addr add 10.9.0.2/32 dev lo \
    && ip rule add pref 100 lookup local && ip rule del pref 0";

/// Runs the test `name` of this file in a namespace of its own. Returns whether this is it.
///
/// # Panics
/// If it fails there, or cannot run and `MESH_LAB=required`.
fn inside(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let namespace = |script: &str| {
        let mut command = Command::new("unshare");
        command
            .args(["-rn", "sh", "-c", script])
            .stdin(Stdio::null());
        command
    };
    let possible = namespace(HOST).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        let required = std::env::var_os("MESH_LAB").is_some_and(|value| value == "required");
        let problem = "`unshare -rn` with `ip` is not permitted, or not there";
        assert!(!required, "MESH_LAB=required, and {problem}");
        // Past the capture of the harness, so that nobody believes it ran.
        drop(writeln!(
            std::io::stderr(),
            "half_open: {name} skipped: {problem}"
        ));
        return false;
    }
    let this = std::env::current_exe().expect("this program");
    let status = namespace(&format!("{HOST} && exec \"$0\" --exact {name} --nocapture"))
        .arg(this)
        .env(INSIDE, "1")
        .status()
        .expect("a namespace");
    assert!(status.success(), "{name} failed in its namespace: {status}");
    false
}

/// From now on nothing arrives from or at the other address.
fn cut_the_cable() {
    for direction in ["to", "from"] {
        let status = Command::new("ip")
            .args([
                "rule",
                "add",
                "pref",
                "50",
                direction,
                "10.9.0.2",
                "blackhole",
            ])
            .status();
        assert!(status.expect("ip").success());
    }
}

fn mend_the_cable() {
    for direction in ["to", "from"] {
        let status = Command::new("ip")
            .args([
                "rule",
                "del",
                "pref",
                "50",
                direction,
                "10.9.0.2",
                "blackhole",
            ])
            .status();
        assert!(status.expect("ip").success());
    }
}

/// A socket of the other address.
async fn from_there(to: SocketAddr) -> tokio::net::TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind(THERE.parse().expect("an address"))
        .expect("bound");
    socket.connect(to).await.expect("connected")
}

fn app() -> Router {
    Router::new().route("/", get(async || "ok")).route(
        "/wait",
        get(async || std::future::pending::<&'static str>().await),
    )
}

async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let so = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, so)
        .await
        .unwrap_or_else(|_| panic!("{what}: never"));
}

#[test]
fn a_handshake_whose_peer_vanishes_ends_at_its_deadline() {
    if inside("a_handshake_whose_peer_vanishes_ends_at_its_deadline") {
        block_on(async {
            let ca = TestCa::new(TD);
            let (api, _) = ca.identity("api").await.expect("an identity");
            let (web, _) = ca.identity("web").await.expect("an identity");
            let (sender, mut refused) = mpsc::unbounded_channel();
            let mut listener = Listener::builder(api, Arc::new(dangerously_allow_all()))
                .handshake_timeout(Duration::from_millis(500))
                .on_refused(move |_, why| drop(sender.send(why.clone())))
                .bind(HERE)
                .await
                .expect("a listener");
            let address = listener.local_addr();
            let mut gone = Vec::new();
            for _ in 0..50 {
                let mut tcp = from_there(address).await;
                tcp.write_all(&[22, 3, 1, 2, 0, 1, 0]).await.expect("room");
                gone.push(tcp);
            }
            cut_the_cable();
            let destination = Destination::new(address, ca.id("api"));
            let connector = Connector::new(web);
            let (connected, accepted) =
                tokio::join!(connector.connect(&destination), listener.accept());
            let _both = (
                connected.expect("others go on"),
                accepted.expect("others go on"),
            );
            for _ in 0..gone.len() {
                let why = tokio::select! {
                    accepted = listener.accept() => panic!("accepted {accepted:?}"),
                    why = timeout(LONG, refused.recv()) => why.expect("in time"),
                };
                assert!(matches!(why, Some(Refused::Timeout { .. })), "{why:?}");
            }
            assert_eq!(listener.open_connections(), 1);
        });
    }
}

#[test]
fn connections_of_callers_that_vanish_are_closed_and_others_go_on() {
    if inside("connections_of_callers_that_vanish_are_closed_and_others_go_on") {
        block_on(async {
            let ca = TestCa::new(TD);
            let (api, _) = ca.identity("api").await.expect("an identity");
            let (web, _) = ca.identity("web").await.expect("an identity");
            let mut limits = Limits::default();
            limits.head_timeout = Duration::from_millis(500);
            limits.keep_alive_interval = Duration::from_millis(200);
            limits.keep_alive_timeout = Duration::from_millis(500);
            let server = Server::builder(api, Arc::new(dangerously_allow_all()))
                .limits(limits)
                .bind(HERE)
                .await
                .expect("a server");
            let address = server.local_addr();
            let handle = server.handle();
            let served = tokio::spawn(server.run(app()));
            let connector = Connector::new(web.clone());
            let mut vanished: Vec<Connection> = Vec::new();
            for alpn in [&b"h2"[..], b"http/1.1"] {
                let destination = Destination::new(address, ca.id("api")).with_alpn([alpn]);
                for _ in 0..10 {
                    let tcp = from_there(address).await;
                    let connected = connector.connect_io(tcp, &destination).await;
                    let mut connected = connected.expect("connected");
                    let begun: &[u8] = match alpn {
                        b"h2" => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
                        _ => b"GET / HTTP/1.1\r\nHost: api\r\n",
                    };
                    connected.stream.write_all(begun).await.expect("room");
                    connected.stream.flush().await.expect("room");
                    vanished.push(connected);
                }
            }
            cut_the_cable();
            let client = Client::with_resolver(
                web,
                "api".parse().expect("a name"),
                fixed([Instance::new(Address::Tcp(address))]),
            );
            let sent = client.get("/").send().await.expect("others go on");
            assert_eq!(sent.text().await.expect("text"), "ok");
            drop(client);
            // A server that drains waits for what is in use: here for nobody who could say that he is done.
            handle.drain();
            timeout(LONG, served)
                .await
                .expect("every connection ended")
                .expect("no panic");
            drop(vanished);
        });
    }
}

#[test]
fn a_call_to_an_instance_that_vanished_ends_at_its_deadline_and_works_again_when_it_is_back() {
    if inside(
        "a_call_to_an_instance_that_vanished_ends_at_its_deadline_and_works_again_when_it_is_back",
    ) {
        block_on(async {
            let ca = TestCa::new(TD);
            let (api, _) = ca.identity("api").await.expect("an identity");
            let (web, _) = ca.identity("web").await.expect("an identity");
            let server = Server::builder(api, Arc::new(dangerously_allow_all()))
                .bind(THERE)
                .await
                .expect("a server");
            let address = server.local_addr();
            tokio::spawn(server.run(app()));
            let client = Client::with_resolver(
                web,
                "api".parse().expect("a name"),
                fixed([Instance::new(Address::Tcp(address))]),
            );
            let call = async || {
                client
                    .get("/")
                    .timeout(Duration::from_millis(500))
                    .send()
                    .await
            };
            call().await.expect("an answer");
            cut_the_cable();
            for _ in 0..3 {
                let error = call().await.expect_err("nobody answers");
                assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
            }
            mend_the_cable();
            let back = async { while call().await.is_err() {} };
            timeout(LONG, back).await.expect("it works again");
        });
    }
}

#[test]
fn an_idle_byte_stream_is_probed_by_both_sides() {
    if inside("an_idle_byte_stream_is_probed_by_both_sides") {
        block_on(async {
            let ca = TestCa::new(TD);
            let (api, _) = ca.identity("api").await.expect("an identity");
            let (web, _) = ca.identity("web").await.expect("an identity");
            let mut listener = Listener::builder(api, Arc::new(dangerously_allow_all()))
                .layer(Layer::Connection)
                .bind(HERE)
                .await
                .expect("a listener");
            let destination = Destination::new(listener.local_addr(), ca.id("api"));
            let connector = Connector::new(web);
            let (connected, accepted) =
                tokio::join!(connector.connect(&destination), listener.accept());
            let (mut connected, mut accepted) = (connected.expect("both"), accepted.expect("both"));
            connected.stream.write_all(b"x").await.expect("room");
            connected.stream.flush().await.expect("room");
            accepted.stream.read_u8().await.expect("a byte");
            // The kernel's table of this namespace has them alone: `02:` is the timer of the keep-alive.
            let armed = || {
                let table = std::fs::read_to_string("/proc/self/net/tcp").expect("a table");
                let open = table
                    .lines()
                    .skip(1)
                    .filter(|line| line.split_whitespace().nth(3) == Some("01"));
                let timers: Vec<_> = open
                    .filter_map(|line| line.split_whitespace().nth(5))
                    .collect();
                timers.len() == 2 && timers.iter().all(|timer| timer.starts_with("02:"))
            };
            until("both sides wait for a sign of life", armed).await;
        });
    }
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future);
}
