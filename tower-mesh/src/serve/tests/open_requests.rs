//! Requests that are open when a rule comes to deny them.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use consul_connect::{Changes, Grace};
use http::{StatusCode, request::Parts};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::{broadcast, watch},
    time::Instant,
};
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::authorize::{Caller, Decision, Denied, Permit, Reason, Verdict};

/// Lets requests of `web` in by their path, or `web` as such.
struct Rules {
    wholly: AtomicBool,
    denied: Mutex<Vec<&'static str>>,
    generation: watch::Sender<u64>,
}

impl Rules {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            wholly: AtomicBool::new(false),
            denied: Mutex::default(),
            generation: watch::Sender::new(0),
        })
    }

    fn deny(&self, paths: impl IntoIterator<Item = &'static str>) {
        *self.denied.lock().expect("no panic") = paths.into_iter().collect();
        self.generation.send_modify(|generation| *generation += 1);
    }

    fn allow_wholly(&self, wholly: bool) {
        self.wholly.store(wholly, Ordering::SeqCst);
        self.generation.send_modify(|generation| *generation += 1);
    }
}

impl Authorize for Rules {
    fn connection(&self, _caller: Caller<'_>) -> Verdict {
        match self.wholly.load(Ordering::SeqCst) {
            true => Verdict::Allow(Permit::by_default()),
            false => Verdict::PerRequest,
        }
    }

    fn request(&self, _caller: Caller<'_>, head: &Parts) -> Decision {
        match self
            .denied
            .lock()
            .expect("no panic")
            .contains(&head.uri.path())
        {
            true => Decision::Deny(Reason::fixed("test", "not any more")),
            false => Decision::Allow(Permit::by_default()),
        }
    }

    fn changes(&self) -> Changes {
        self.generation.subscribe().into()
    }
}

/// A connection under rules, and what keeps them followed.
struct World {
    rules: Arc<Rules>,
    /// Each word is one more frame of every body.
    words: broadcast::Sender<&'static str>,
    io: Option<DuplexStream>,
    served: Served,
    _following: AbortOnDropHandle<()>,
}

type Streamed = StreamBody<stream::BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

/// Answers at once and goes on with its body for as long as words come; `/silent` never answers, `/flood` never stops.
fn serve_ruled() -> World {
    serve_under_rules(Rules::new())
}

fn serve_under_rules(rules: Arc<Rules>) -> World {
    let words = broadcast::Sender::new(16);
    let said = words.clone();
    let app = tower::service_fn(move |mut request: Request<Incoming>| {
        let words = said.subscribe();
        async move {
            if request.uri().path() == "/silent" {
                std::future::pending::<()>().await;
            }
            let frames = match request.uri().path() {
                "/flood" => {
                    let more = Bytes::from_static(&[b'!'; 16 * 1024]);
                    stream::repeat_with(move || Ok(Frame::data(more.clone()))).boxed()
                }
                _ => stream::unfold(words, |mut words| async {
                    let word: &str = words.recv().await.ok()?;
                    Some((Ok(Frame::data(Bytes::from_static(word.as_bytes()))), words))
                })
                .boxed(),
            };
            let mut response = Response::new(Streamed::new(frames));
            if request.headers().contains_key("upgrade") {
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                let upgrade = hyper::upgrade::on(&mut request);
                tokio::spawn(async move {
                    let mut taken = TokioIo::new(upgrade.await.expect("an upgrade"));
                    let _ = tokio::io::copy(&mut taken, &mut tokio::io::sink()).await;
                });
            }
            Ok::<_, Infallible>(response)
        }
    });
    let all = open::OpenRequests::new(Arc::clone(&rules) as Arc<dyn Authorize>, Grace::default());
    let admission = Admission {
        authorize: Arc::clone(&rules) as Arc<dyn Authorize>,
        ..Admission::default()
    };
    let callers = Callers::One(web(), exchanges());
    let open = all.connection(&callers);
    let requests = Requests::new(app, Arc::new(admission), callers, open);
    let (io, served) = serve_requests(Limits::default(), requests, None);
    World {
        rules,
        words,
        io: Some(io),
        served,
        _following: AbortOnDropHandle::new(tokio::spawn(all.follow())),
    }
}

impl World {
    /// The next word reaches whoever reads this.
    async fn goes_on(&self, body: &mut Incoming, word: &'static str) {
        self.words.send(word).expect("heard");
        let frame = body.frame().await.expect("a frame").expect("data");
        assert_eq!(frame.into_data().expect("data"), word);
    }

    fn io(&mut self) -> DuplexStream {
        self.io.take().expect("taken once")
    }
}

/// What goes on of an answer.
async fn opened(answer: impl Future<Output = hyper::Result<Response<Incoming>>>) -> Incoming {
    answer.await.expect("an answer").into_body()
}

const GRACE: u64 = 5;

#[tokio::test(start_paused = true)]
async fn a_stream_ends_after_the_grace_and_its_neighbour_goes_on() {
    let mut world = serve_ruled();
    let mut client = h2(world.io()).await;
    let mut denied = opened(client.send_request(get("/a"))).await;
    let mut allowed = opened(client.send_request(get("/b"))).await;
    let began = Instant::now();
    world.rules.deny(["/a"]);
    world.words.send("still").expect("heard");
    for body in [&mut denied, &mut allowed] {
        let frame = body.frame().await.expect("a frame").expect("data");
        assert_eq!(frame.into_data().expect("data"), "still");
    }
    denied.frame().await.expect("an end").expect_err("reset");
    assert_eq!(began.elapsed().as_secs(), GRACE);
    world.goes_on(&mut allowed, "more").await;
}

#[tokio::test(start_paused = true)]
async fn a_grpc_stream_ends_with_its_status() {
    let mut world = serve_ruled();
    let mut client = h2(world.io()).await;
    let mut body = client
        .send_request(grpc("/a"))
        .await
        .expect("an answer")
        .into_body();
    world.rules.deny(["/a"]);
    let trailers = body.frame().await.expect("a frame").expect("trailers");
    let trailers = trailers.into_trailers().expect("trailers");
    assert_eq!(trailers["grpc-status"], "7");
}

#[cfg(feature = "admin")]
#[tokio::test(start_paused = true)]
async fn a_denial_in_the_middle_is_counted_and_a_grpc_stream_by_its_status() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let counts = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let mut world = serve_ruled();
    let mut client = h2(world.io()).await;
    for (request, path) in [(grpc("/a"), "/a"), (get("/b"), "/b")] {
        let body = opened(client.send_request(request)).await;
        world.rules.deny([path]);
        // A gRPC stream has its end in trailers, the other is reset.
        let _ = body.collect().await;
    }
    let counts = counts.render();
    for series in [
        r#"mesh_decisions_total{service="api",decision="allow",layer="request",reason="default"} 2"#,
        r#"mesh_decisions_total{service="api",decision="deny",layer="request",reason="test"} 2"#,
        r#"mesh_requests_total{service="api",direction="in",peer="web",protocol="grpc",code="7"} 1"#,
        r#"mesh_requests_total{service="api",direction="in",peer="web",protocol="http",code="body"} 1"#,
    ] {
        assert!(counts.contains(series), "{series} in\n{counts}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_allowed_again_within_the_grace_goes_on() {
    let mut world = serve_ruled();
    let mut client = h1(world.io()).await;
    let mut body = opened(client.send_request(get("/a"))).await;
    world.rules.deny(["/a"]);
    tokio::time::sleep(Duration::from_secs(GRACE - 1)).await;
    world.rules.deny([]);
    tokio::time::sleep(Duration::from_secs(10 * GRACE)).await;
    world.goes_on(&mut body, "more").await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_answer_is_denied_and_the_next_request_at_once() {
    let mut world = serve_ruled();
    let mut client = h1(world.io()).await;
    let waiting = tokio::spawn(client.send_request(get("/silent")));
    while world.words.receiver_count() == 0 {
        tokio::task::yield_now().await;
    }
    world.rules.deny(["/silent", "/b"]);
    let began = Instant::now();
    let response = waiting.await.expect("no panic").expect("an answer");
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(began.elapsed().as_secs(), GRACE);
    // A refusal has its reason with it for layers of this process, never on the wire.
    assert!(response.extensions().get::<Denied>().is_none());
    response.into_body().collect().await.expect("a body");
    let response = client.send_request(get("/b")).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(began.elapsed().as_secs(), GRACE);
}

#[tokio::test(start_paused = true)]
async fn an_upgraded_connection_is_cut_after_the_grace() {
    let mut world = serve_ruled();
    let mut io = world.io();
    io.write_all(b"GET /a HTTP/1.1\r\nhost: api\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n")
        .await
        .expect("written");
    let mut head = [0; 12];
    io.read_exact(&mut head).await.expect("an answer");
    assert_eq!(&head, b"HTTP/1.1 101");
    let began = Instant::now();
    world.rules.deny(["/a"]);
    io.read_to_end(&mut Vec::new()).await.expect("an end");
    assert_eq!(began.elapsed().as_secs(), GRACE);
}

/// How long a connection is drained for.
fn drain() -> u64 {
    Grace::default().drain.as_secs()
}

#[tokio::test(start_paused = true)]
async fn what_was_let_in_as_a_caller_ends_with_its_connection_when_requests_decide() {
    let rules = Rules::new();
    rules.allow_wholly(true);
    let mut world = serve_under_rules(rules);
    let mut client = h2(world.io()).await;
    let mut body = opened(client.send_request(get("/a"))).await;
    let began = Instant::now();
    world.rules.allow_wholly(false);
    world.rules.deny(["/b"]);
    let response = client.send_request(get("/b")).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    world.goes_on(&mut body, "still").await;
    body.frame().await.expect("an end").expect_err("cut");
    assert_eq!(began.elapsed().as_secs(), GRACE + drain());
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_such_requests_goes_on_when_requests_decide() {
    let rules = Rules::new();
    rules.allow_wholly(true);
    let mut world = serve_under_rules(rules);
    let mut client = h2(world.io()).await;
    let over = client.send_request(get("/a")).await.expect("an answer");
    drop(over);
    world.rules.allow_wholly(false);
    let mut kept = opened(client.send_request(get("/b"))).await;
    tokio::time::sleep(Duration::from_secs(10 * GRACE)).await;
    world.goes_on(&mut kept, "more").await;
}

#[tokio::test(start_paused = true)]
async fn who_is_let_in_as_a_caller_again_within_the_grace_goes_on() {
    let rules = Rules::new();
    rules.allow_wholly(true);
    let mut world = serve_under_rules(rules);
    let mut client = h2(world.io()).await;
    let mut body = opened(client.send_request(get("/a"))).await;
    world.rules.allow_wholly(false);
    tokio::time::sleep(Duration::from_secs(GRACE - 1)).await;
    world.rules.allow_wholly(true);
    tokio::time::sleep(Duration::from_secs(10 * GRACE)).await;
    world.goes_on(&mut body, "more").await;
}

#[tokio::test(start_paused = true)]
async fn who_reads_nothing_does_not_stay() {
    let mut world = serve_ruled();
    let mut io = world.io();
    io.write_all(b"GET /flood HTTP/1.1\r\nhost: api\r\n\r\n")
        .await
        .expect("written");
    let mut head = [0; 12];
    io.read_exact(&mut head).await.expect("an answer");
    assert_eq!(&head, b"HTTP/1.1 200");
    let began = Instant::now();
    world.rules.deny(["/flood"]);
    world.served.task.await.expect("no panic");
    // A second to see that it stays.
    assert_eq!(began.elapsed().as_secs(), GRACE + 1 + drain());
}

#[tokio::test(start_paused = true)]
async fn a_connection_of_which_many_streams_were_taken_over_takes_no_more() {
    let open = Arc::new(open::Requests::new(None, Duration::ZERO));
    let cx = Context::from_waker(Waker::noop());
    let (head, ()) = Request::connect("/a").body(()).expect("one").into_parts();
    for _ in 0..127 {
        open.enter(&web(), &exchanges(), &head).upgraded();
    }
    assert!(open.poll_order(&cx).is_pending());
    open.enter(&web(), &exchanges(), &head).upgraded();
    assert_eq!(open.poll_order(&cx), Poll::Ready(None));
}
