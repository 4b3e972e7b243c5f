//! A handler that panics, and a task that is given up at any of its steps: the next request works all the same.

use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    routing::{get, post},
};
use consul_connect::{
    Address, Connector, Decision, Destination, Identity, Listener, Permit,
    authorize::{self, dangerously_allow_all},
    test_util::TestCa,
};
use futures_util::stream;
use mesh_tests::{
    TD, echo_once,
    stress::{NOWHERE, in_memory},
};
use tokio::time::timeout;
use tower_mesh::{
    Client,
    resolve::{Instance, fixed},
    serve::{Server, ServerHandle},
};

const SOON: Duration = Duration::from_secs(10);
/// More steps than anything here takes.
const MOST: usize = 2_000;

/// Polls `future` `steps` times and drops it then; its output if it was done by then.
async fn given_up_after<F: Future>(steps: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = steps;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        let polled = future.as_mut().poll(cx).map(Some);
        if polled.is_pending() && left == 0 {
            return Poll::Ready(None);
        }
        polled
    })
    .await
}

struct World {
    ca: TestCa,
    web: Identity,
    api: Identity,
}

impl World {
    async fn new() -> Self {
        let ca = TestCa::new(TD);
        let (web, _) = ca.identity("web").await.expect("an identity");
        let (api, _) = ca.identity("api").await.expect("an identity");
        Self { ca, web, api }
    }

    async fn serve(&self, alpn: consul_connect::Alpn) -> (SocketAddr, ServerHandle) {
        let server = Server::builder(self.api.clone(), Arc::new(dangerously_allow_all()))
            .alpn([alpn])
            .bind("127.0.0.1:0")
            .await
            .expect("a server");
        let (address, handle) = (server.local_addr(), server.handle());
        tokio::spawn(server.run(app()));
        (address, handle)
    }

    fn client(&self, address: SocketAddr) -> Client {
        Client::with_resolver(
            self.web.clone(),
            "api".parse().expect("a name"),
            fixed([Instance::new(Address::Tcp(address))]),
        )
    }

    async fn listener(&self) -> Listener {
        Listener::builder(self.api.clone(), Arc::new(dangerously_allow_all()))
            .bind("127.0.0.1:0")
            .await
            .expect("a listener")
    }
}

async fn echo(body: Bytes) -> Bytes {
    body
}

fn app() -> Router {
    Router::new()
        .route("/", post(echo).put(echo))
        .route(
            "/panic",
            get(async || -> &'static str { panic!("on purpose") }),
        )
        .route(
            "/panic-late",
            get(async || {
                let parts = stream::unfold(0, |n| async move {
                    assert!(n < 2, "on purpose");
                    Some((Ok::<_, std::convert::Infallible>("part"), n + 1))
                });
                Body::from_stream(parts)
            }),
        )
}

async fn works(client: &Client) {
    let answer = async {
        let sent = client.post("/").body("content").send().await;
        sent.expect("an answer").text().await.expect("text")
    };
    let answer = timeout(SOON, answer).await.expect("an answer in time");
    assert_eq!(answer, "content");
}

fn protocols() -> [consul_connect::Alpn; 2] {
    [consul_connect::Alpn::Http11, consul_connect::Alpn::H2]
}

#[tokio::test]
async fn a_handler_that_panics_costs_its_own_request_alone() {
    for alpn in protocols() {
        let world = World::new().await;
        let (address, _server) = world.serve(alpn).await;
        let client = world.client(address);
        for _ in 0..20 {
            let answer = client.get("/panic").send().await.expect("an answer");
            assert_eq!(answer.status(), 500);
            works(&client).await;
            // Its connection may be gone before the head is out.
            if let Ok(late) = client.get("/panic-late").send().await {
                late.text().await.expect_err("its body broke");
            }
            works(&client).await;
        }
    }
}

#[tokio::test]
async fn rules_that_panic_let_nobody_in_and_do_not_end_the_server() {
    let world = World::new().await;
    let rules = authorize::from_fn(|_caller, head| {
        assert!(head.is_none_or(|head| head.uri.path() == "/"), "on purpose");
        Decision::Allow(Permit::by_default())
    });
    let server = Server::builder(world.api.clone(), Arc::new(rules))
        .bind("127.0.0.1:0")
        .await
        .expect("a server");
    let address = server.local_addr();
    tokio::spawn(server.run(app()));
    let client = world.client(address);
    for _ in 0..5 {
        let denied = client.get("/panic").send().await.expect("an answer");
        assert_eq!(denied.status(), 403);
        works(&client).await;
    }
}

#[tokio::test]
async fn a_call_given_up_at_any_step_leaves_a_client_that_works() {
    for alpn in protocols() {
        let world = World::new().await;
        let (address, _server) = world.serve(alpn).await;
        // On a connection that has to be made first, and on one that is there.
        for warm in [false, true] {
            let mut client = world.client(address);
            for steps in 0.. {
                assert!(steps < MOST, "it never ends");
                if !warm {
                    client = world.client(address);
                }
                let call = async {
                    let sent = client.post("/").body("content").send().await;
                    sent.expect("an answer").text().await.expect("text")
                };
                let done = given_up_after(steps, call).await;
                works(&client).await;
                if done.is_some() {
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_handshake_given_up_at_any_step_on_either_side_leaves_nothing_open() {
    let world = World::new().await;
    let listener = world.listener().await;
    let connector = Connector::new(world.web.clone());
    let destination = Destination::new(NOWHERE, world.ca.id("api"));
    for ours in [true, false] {
        for steps in 0.. {
            assert!(steps < MOST, "it never ends");
            let (near, far) = tokio::io::duplex(512);
            let connect = connector.connect_io(near, &destination);
            let accept = listener.accept_io(far, NOWHERE);
            let done = if ours {
                let (connected, _) = tokio::join!(given_up_after(steps, connect), accept);
                connected.is_some()
            } else {
                let (_, accepted) = tokio::join!(connect, given_up_after(steps, accept));
                accepted.is_some()
            };
            assert_eq!(
                connector.open_connections() + listener.open_connections(),
                0
            );
            let (connected, accepted) = in_memory(&connector, &listener, &destination).await;
            let (connected, accepted) = (connected.expect("both"), accepted.expect("both"));
            echo_once(connected.stream, accepted.stream).await;
            if done {
                break;
            }
        }
    }
}

#[tokio::test]
async fn an_accept_given_up_at_any_step_loses_no_connection() {
    let world = World::new().await;
    let connector = Connector::new(world.web.clone());
    for steps in 0.. {
        assert!(steps < MOST, "it never ends");
        let mut listener = world.listener().await;
        let destination = Destination::new(listener.local_addr(), world.ca.id("api"));
        let caller = connector.clone();
        let connecting = tokio::spawn(async move { caller.connect(&destination).await });
        let first = given_up_after(steps, listener.accept()).await;
        let done = first.is_some();
        let accepted = match first {
            Some(accepted) => accepted,
            None => timeout(SOON, listener.accept()).await.expect("not lost"),
        };
        let connected = connecting.await.expect("no panic").expect("connected");
        echo_once(connected.stream, accepted.expect("accepted").stream).await;
        if done {
            break;
        }
    }
}

#[tokio::test]
async fn a_server_given_up_at_any_step_closes_what_it_had_and_another_serves_at_its_place() {
    for alpn in protocols() {
        let world = World::new().await;
        for steps in 0..40 {
            let bind = async |address: SocketAddr| {
                Server::builder(world.api.clone(), Arc::new(dangerously_allow_all()))
                    .alpn([alpn.clone()])
                    .bind(address)
                    .await
                    .expect("a server")
            };
            let server = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await;
            let address = server.local_addr();
            let client = world.client(address);
            let calling = tokio::spawn({
                let client = client.clone();
                async move {
                    let sent = client.post("/").body("content").send().await;
                    drop(sent);
                }
            });
            let serving = given_up_after(steps, server.run(app()));
            // Whoever asks nothing more leaves the server waiting: time is as good a step as any.
            let _ = timeout(Duration::from_millis(20), serving).await;
            let again = bind(address).await;
            let handle = again.handle();
            let again = tokio::spawn(again.run(app()));
            calling.await.expect("an end, whichever");
            // It may still hold a connection to the first one, so what it sends must be such as may be sent again.
            let answer = timeout(SOON, client.put("/").body("content").send()).await;
            answer.expect("in time").expect("an answer");
            works(&client).await;
            handle.cut();
            again.await.expect("no panic");
        }
    }
}

#[tokio::test]
async fn an_observer_of_refusals_that_panics_does_not_end_the_listener() {
    let world = World::new().await;
    let mut listener = Listener::builder(world.api.clone(), Arc::new(dangerously_allow_all()))
        .on_refused(|_, refused| panic!("on purpose: {refused}"))
        .bind("127.0.0.1:0")
        .await
        .expect("a listener");
    let address = listener.local_addr();
    let destination = Destination::new(address, world.ca.id("api"));
    let connector = Connector::new(world.web.clone());
    for _ in 0..5 {
        drop(
            tokio::net::TcpStream::connect(address)
                .await
                .expect("a socket"),
        );
        let (connected, accepted) =
            tokio::join!(connector.connect(&destination), listener.accept());
        let accepted = accepted.expect("accepted");
        echo_once(connected.expect("connected").stream, accepted.stream).await;
    }
    let caught = std::panic::catch_unwind(AssertUnwindSafe(|| listener.stats()));
    assert!(caught.is_ok_and(|stats| stats.accepted == 5));
}
