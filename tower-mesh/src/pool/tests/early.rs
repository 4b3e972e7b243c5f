//! HTTP/1.1 peers that answer before they have the whole request.

use std::sync::Mutex;

use bytes::Bytes;
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    sync::{mpsc, watch},
    time::{Duration, Instant, sleep, timeout},
};

use super::{super::*, peer::exchange};
use crate::{body::Body, endpoint::Endpoint};

/// Answers each connection's first request as soon as it has its head, and takes no more of it until it is told to.
struct Hasty {
    reads_on: watch::Sender<bool>,
    closings: Mutex<Vec<watch::Sender<Option<Closing>>>>,
    /// How much of the body came, when the client has closed.
    read: watch::Sender<Option<u64>>,
}

struct Opener(Arc<Hasty>);

struct Said(watch::Receiver<Option<Closing>>);

impl Guard for Said {
    fn closing(&mut self) -> BoxFuture<'_, Closing> {
        Box::pin(async {
            loop {
                if self.0.changed().await.is_err() {
                    return std::future::pending().await;
                }
                if let Some(closing) = *self.0.borrow_and_update() {
                    return closing;
                }
            }
        })
    }
}

impl Open for Opener {
    fn open(&self, _: Offer) -> BoxFuture<'static, Result<Opened, Error>> {
        let (io, far) = tokio::io::duplex(1024);
        let (closing, said) = watch::channel(None);
        let hasty = Arc::clone(&self.0);
        hasty.closings.lock().unwrap().push(closing);
        tokio::spawn(hasty.serve(far));
        Box::pin(async {
            Ok(Opened {
                io: Box::new(io),
                answer: Answer::Http11,
                generation: 1,
                guard: Box::new(Said(said)),
            })
        })
    }

    fn generation(&self) -> u64 {
        1
    }

    fn name(&self) -> &str {
        "a hasty peer"
    }
}

impl Hasty {
    async fn serve(self: Arc<Self>, mut io: DuplexStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(io.read_u8().await.expect("a head"));
        }
        io.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly")
            .await
            .expect("a client");
        let mut reads_on = self.reads_on.subscribe();
        reads_on.wait_for(|told| *told).await.expect("it lives");
        let mut read = tokio::io::sink();
        let read = tokio::io::copy(&mut io, &mut read).await;
        self.read.send_replace(Some(read.expect("an orderly end")));
    }
}

struct World {
    peer: Arc<Hasty>,
    endpoint: Arc<Endpoint>,
}

impl World {
    fn new() -> Self {
        let peer = Arc::new(Hasty {
            reads_on: watch::Sender::new(false),
            closings: Mutex::default(),
            read: watch::Sender::default(),
        });
        let address = consul_connect::Address::new("127.0.0.1", 1);
        let opener = Arc::new(Opener(Arc::clone(&peer)));
        let endpoint = Endpoint::new("hasty".into(), address, opener, PoolConfig::default());
        Self { peer, endpoint }
    }

    async fn upload(&self, body: Body) {
        let request = Request::post("http://hasty/")
            .body(body)
            .expect("a request");
        let response = exchange(&self.endpoint, Want::Any, request).await;
        let body = response.expect("an answer").into_body();
        assert_eq!(body.collect().await.expect("a body").to_bytes(), "early");
        assert_eq!(self.endpoint.load().in_flight(), 0);
    }

    fn dials(&self) -> usize {
        self.peer.closings.lock().unwrap().len()
    }

    /// Until no connection is left.
    async fn closed(&self) -> Duration {
        let began = Instant::now();
        let closed = async {
            while self.endpoint.pool().connections() > 0 {
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(Duration::from_secs(600), closed)
            .await
            .expect("it is not kept for ever");
        began.elapsed()
    }
}

/// More than the pipe takes.
fn large() -> Body {
    Bytes::from(vec![0; 1024 * 1024]).into()
}

/// A body that has begun, and whoever holds the sender says how it goes on.
fn endless() -> (mpsc::Sender<()>, Body) {
    let (sender, receiver) = mpsc::channel::<()>(1);
    let first = Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"first")));
    let rest = futures_util::stream::unfold(receiver, async |mut receiver| {
        receiver.recv().await.map(|()| {
            let frame = Frame::data(Bytes::from_static(b"more"));
            (Ok(frame), receiver)
        })
    });
    let stream = futures_util::StreamExt::chain(futures_util::stream::iter([first]), rest);
    (sender, Body::new(StreamBody::new(Box::pin(stream))))
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_no_more_of_a_request_it_has_answered_keeps_no_connection() {
    for large in [Some(large()), None] {
        let world = World::new();
        let (more, endless) = endless();
        world.upload(large.unwrap_or(endless)).await;
        let took = world.closed().await;
        assert!(took >= Duration::from_secs(20), "{took:?}: it may go on");
        assert!(took <= Duration::from_secs(32), "{took:?}");
        assert!(more.is_closed(), "nobody waits for the rest");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_with_an_unfinished_request_is_not_lent() {
    let world = World::new();
    world.upload(large()).await;
    world.upload(large()).await;
    assert_eq!(world.dials(), 2);
    world.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_taken_late_after_its_answer_is_not_broken_off() {
    let world = World::new();
    world.upload(large()).await;
    sleep(Duration::from_secs(15)).await;
    assert_eq!(world.endpoint.pool().connections(), 1);
    world.peer.reads_on.send_replace(true);
    let mut read = world.peer.read.subscribe();
    let read = *read.wait_for(Option::is_some).await.expect("a peer");
    assert_eq!(read, Some(1024 * 1024));
}

#[tokio::test(start_paused = true)]
async fn neither_does_a_drain_wait_for_such_a_peer() {
    let world = World::new();
    let (_more, endless) = endless();
    world.upload(endless).await;
    world.peer.closings.lock().unwrap()[0].send_replace(Some(Closing::Drain));
    let took = world.closed().await;
    assert!(took <= Duration::from_secs(7), "{took:?}");
}
