//! A scripted peer: it opens in-memory connections and serves each with hyper.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody, combinators::BoxBody};
use hyper::{body::Incoming, server::conn, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::{Notify, mpsc, watch};

use super::super::*;
use crate::{
    body::Body,
    endpoint::{Endpoint, InFlight},
};

pub(super) type Frames = mpsc::UnboundedSender<Result<Frame<Bytes>, std::io::Error>>;

/// What the peer does.
pub(super) struct Peer {
    pub(super) answer: Mutex<Answer>,
    pub(super) generation: AtomicU64,
    /// Dials so far, and what was offered in each.
    pub(super) offers: Mutex<Vec<Offer>>,
    /// Requests that reached a handler.
    pub(super) served: AtomicUsize,
    /// Handlers that were dropped before they answered.
    pub(super) cancelled: AtomicUsize,
    /// Dials wait while it is shut.
    gate: watch::Sender<bool>,
    refuse: Mutex<bool>,
    /// `/hold` answers when it is notified.
    pub(super) release: Notify,
    /// Where `/stream` takes its frames from, one per request.
    pub(super) streams: Mutex<Vec<Frames>>,
    /// One per connection: what its guard says, and how its server is told to stop.
    pub(super) connections: Mutex<Vec<Wire>>,
}

#[derive(Clone)]
pub(super) struct Wire {
    pub(super) closing: watch::Sender<Option<Closing>>,
    pub(super) goaway: Arc<Notify>,
    pub(super) kill: Arc<Notify>,
    /// Becomes true when the server side has ended.
    pub(super) ended: watch::Sender<bool>,
}

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

pub(super) struct Opener(Arc<Peer>);

impl Open for Opener {
    fn open(&self, offer: Offer) -> BoxFuture<'static, Result<Opened, Error>> {
        let peer = Arc::clone(&self.0);
        peer.offers.lock().unwrap().push(offer);
        Box::pin(async move {
            peer.gate.subscribe().wait_for(|open| *open).await.unwrap();
            if *peer.refuse.lock().unwrap() {
                return Err(Error::new(
                    ErrorKind::Connect,
                    "connecting to the peer: refused",
                ));
            }
            let answer = match (*peer.answer.lock().unwrap(), offer) {
                (Answer::Silent, _) => Answer::Silent,
                (_, Offer::Http11) => Answer::Http11,
                (answer, _) => answer,
            };
            let (io, far) = tokio::io::duplex(64 * 1024);
            let (closing, said) = watch::channel(None);
            let wire = Wire {
                closing,
                goaway: Arc::new(Notify::new()),
                kill: Arc::new(Notify::new()),
                ended: watch::Sender::new(false),
            };
            peer.connections.lock().unwrap().push(wire.clone());
            let generation = peer.generation.load(Ordering::SeqCst);
            tokio::spawn(serve(peer, far, answer, wire));
            Ok(Opened {
                io: Box::new(io),
                answer,
                generation,
                guard: Box::new(Said(said)),
            })
        })
    }

    fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::SeqCst)
    }

    fn name(&self) -> &str {
        "the peer"
    }
}

async fn serve(peer: Arc<Peer>, io: tokio::io::DuplexStream, answer: Answer, wire: Wire) {
    let service = service_fn(move |request| handle(Arc::clone(&peer), request));
    let io = TokioIo::new(io);
    macro_rules! drive {
        ($connection:expr) => {{
            let mut connection = std::pin::pin!($connection);
            loop {
                tokio::select! {
                    _ = connection.as_mut() => break,
                    () = wire.goaway.notified() => connection.as_mut().graceful_shutdown(),
                    () = wire.kill.notified() => break,
                }
            }
        }};
    }
    match answer {
        Answer::H2 => {
            drive!(conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service));
        }
        Answer::Http11 => drive!(conn::http1::Builder::new().serve_connection(io, service)),
        Answer::Silent => {
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            drive!(builder.serve_connection(io, service));
        }
    }
    wire.ended.send_replace(true);
}

type Reply = Response<BoxBody<Bytes, std::io::Error>>;

async fn handle(peer: Arc<Peer>, request: Request<Incoming>) -> Result<Reply, std::io::Error> {
    struct Cancelled(Option<Arc<Peer>>);
    impl Drop for Cancelled {
        fn drop(&mut self) {
            if let Some(peer) = &self.0 {
                peer.cancelled.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
    peer.served.fetch_add(1, Ordering::SeqCst);
    let mut cancelled = Cancelled(Some(Arc::clone(&peer)));
    let path = request.uri().path().to_owned();
    let full = |bytes: Bytes| {
        http_body_util::Full::new(bytes)
            .map_err(|never| match never {})
            .boxed()
    };
    let body = match path.as_str() {
        "/hold" => {
            peer.release.notified().await;
            full(Bytes::from_static(b"held"))
        }
        "/stream" => {
            let (frames, receiver) = mpsc::unbounded_channel();
            peer.streams.lock().unwrap().push(frames);
            let stream = futures_util::stream::unfold(receiver, async |mut receiver| {
                receiver.recv().await.map(|frame| (frame, receiver))
            });
            StreamBody::new(Box::pin(stream) as BoxStream).boxed()
        }
        "/echo" => full(
            request
                .into_body()
                .collect()
                .await
                .expect("a body")
                .to_bytes(),
        ),
        _ => full(Bytes::from_static(b"hello")),
    };
    cancelled.0 = None;
    Ok(Response::new(body))
}

type BoxStream =
    Pin<Box<dyn futures_core::Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Send + Sync>>;

/// A peer and an endpoint whose pool connects to it.
pub(super) struct World {
    pub(super) peer: Arc<Peer>,
    pub(super) endpoint: Arc<Endpoint>,
}

/// One exchange that succeeded.
pub(super) type Answered = Response<Body>;

impl World {
    pub(super) fn new(answer: Answer) -> Self {
        Self::with(
            answer,
            PoolConfig {
                crowded_connections: 1,
                ..PoolConfig::default()
            },
        )
    }

    pub(super) fn with(answer: Answer, config: PoolConfig) -> Self {
        let peer = Arc::new(Peer {
            answer: Mutex::new(answer),
            generation: AtomicU64::new(1),
            offers: Mutex::default(),
            served: AtomicUsize::new(0),
            cancelled: AtomicUsize::new(0),
            gate: watch::Sender::new(true),
            refuse: Mutex::new(false),
            release: Notify::new(),
            streams: Mutex::default(),
            connections: Mutex::default(),
        });
        let opener = Arc::new(Opener(Arc::clone(&peer)));
        let address = consul_connect::Address::new("127.0.0.1", 1);
        let endpoint = Endpoint::new("the peer".into(), address, opener, config);
        Self { peer, endpoint }
    }

    pub(super) fn dials(&self) -> usize {
        self.peer.offers.lock().unwrap().len()
    }

    pub(super) fn wire(&self, index: usize) -> Wire {
        self.peer.connections.lock().unwrap()[index].clone()
    }

    pub(super) fn shut(&self) {
        self.peer.gate.send_replace(false);
    }

    pub(super) fn unshut(&self) {
        self.peer.gate.send_replace(true);
    }

    pub(super) fn refuse(&self, refuse: bool) {
        *self.peer.refuse.lock().unwrap() = refuse;
    }

    /// One request as the client sends it, without its retries.
    pub(super) fn send(
        &self,
        path: &str,
        want: Want,
    ) -> impl Future<Output = Result<Answered, Error>> + Send + use<> {
        self.send_body(path, want, Body::empty())
    }

    pub(super) fn send_body(
        &self,
        path: &str,
        want: Want,
        body: Body,
    ) -> impl Future<Output = Result<Answered, Error>> + Send + use<> {
        let endpoint = Arc::clone(&self.endpoint);
        let request = Request::post(format!("http://peer{path}"))
            .body(body)
            .unwrap();
        async move { exchange(&endpoint, want, request).await }
    }

    pub(super) async fn get(&self, path: &str) -> Result<Bytes, Error> {
        let response = self.send(path, Want::Any).await?;
        Ok(response.into_body().collect().await?.to_bytes())
    }

    /// Waits until a stream's handler runs, and returns where its frames are written.
    pub(super) async fn stream(&self) -> Frames {
        loop {
            if let Some(frames) = self.peer.streams.lock().unwrap().pop() {
                return frames;
            }
            settle().await;
        }
    }

    pub(super) async fn until_served(&self, count: usize) {
        while self.peer.served.load(Ordering::SeqCst) < count {
            settle().await;
        }
    }
}

pub(super) async fn exchange(
    endpoint: &Arc<Endpoint>,
    want: Want,
    request: Request<Body>,
) -> Result<Answered, Error> {
    let terms = crate::body::Terms {
        idle: None,
        deadline: None,
        grpc: false,
    };
    exchange_under(endpoint, want, request, terms).await
}

pub(super) async fn exchange_under(
    endpoint: &Arc<Endpoint>,
    want: Want,
    request: Request<Body>,
    terms: crate::body::Terms,
) -> Result<Answered, Error> {
    let mut load = InFlight::begin(Arc::clone(endpoint), tokio::time::Instant::now());
    let mut lease = endpoint.pool().checkout(want).await?;
    let answer = match lease.sender() {
        Sender::H1(sender) => sender.try_send_request(request).await,
        Sender::H2(sender) => sender.try_send_request(request).await,
    };
    let failed = match answer {
        Ok(response) => {
            load.answered();
            return Ok(response
                .map(|incoming| crate::body::Received::body(incoming, lease, load, terms, None)));
        }
        Err(failure) => lease.failed(failure),
    };
    Err(match failed {
        SendError::Denied(_request, error) => {
            Error::with_source(ErrorKind::Denied, "sending", error)
        }
        SendError::NotSent(_request, error) => {
            Error::with_source(ErrorKind::NotSent, "sending", error)
        }
        SendError::Sent(error) => Error::with_source(ErrorKind::Sent, "sending", error),
    })
}

/// Lets every other task run until nothing more happens at this moment of the paused clock.
pub(super) async fn settle() {
    tokio::time::sleep(Duration::from_nanos(1)).await;
}
