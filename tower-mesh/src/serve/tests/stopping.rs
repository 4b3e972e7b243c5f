use http_body_util::StreamBody;
use tokio::{io::AsyncWriteExt as _, sync::Notify, time::Instant};

use super::*;

const SOON: Order = Order::Drain {
    within: Some(Duration::from_secs(10)),
};
const AT_LEISURE: Order = Order::Drain { within: None };

/// An application whose answer the test holds back.
fn held(
    entered: Arc<Notify>,
    release: Arc<Notify>,
) -> impl Service<
    Request<Incoming>,
    Response = Reply,
    Error = Infallible,
    Future = impl Future<Output = Result<Reply, Infallible>> + Send,
> + Clone
+ Send
+ 'static {
    tower::service_fn(move |_request: Request<Incoming>| {
        let (entered, release) = (Arc::clone(&entered), Arc::clone(&release));
        async move {
            entered.notify_one();
            release.notified().await;
            Ok(reply("finished"))
        }
    })
}

/// An endless download of which one frame has been sent.
fn endless() -> impl Service<
    Request<Incoming>,
    Response = Response<impl http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static>,
    Error = Infallible,
    Future: Send + 'static,
> + Clone
+ Send
+ 'static {
    tower::service_fn(|_request: Request<Incoming>| async {
        let first = http_body::Frame::data(Bytes::from_static(b"first"));
        let frames = stream::iter([Ok::<_, Infallible>(first)]).chain(stream::pending());
        Ok::<_, Infallible>(Response::new(StreamBody::new(frames)))
    })
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_an_idle_connection_at_once() {
    let (io, served) = serve(hello());
    let mut client = h1(io).await;
    text(client.send_request(get("/")).await.expect("a response")).await;
    served.order(AT_LEISURE);
    served.ended().await;
    assert!(client.ready().await.is_err(), "closed");

    let (io, served) = serve(hello());
    let mut client = h2(io).await;
    text(client.send_request(get("/")).await.expect("a response")).await;
    served.order(AT_LEISURE);
    served.ended().await;
    assert!(client.ready().await.is_err(), "closed");
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_the_open_request_finish() {
    for h2_spoken in [false, true] {
        let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (io, served) = serve(held(Arc::clone(&entered), Arc::clone(&release)));
        let call = async {
            if h2_spoken {
                let mut client = h2(io).await;
                text(client.send_request(get("/")).await.expect("a response")).await
            } else {
                let mut client = h1(io).await;
                text(client.send_request(get("/")).await.expect("a response")).await
            }
        };
        let script = async {
            entered.notified().await;
            served.order(SOON);
            tokio::time::sleep(Duration::from_secs(9)).await;
            release.notify_one();
            served.ended().await;
        };
        let (answer, ()) = tokio::join!(call, script);
        assert_eq!(answer, "finished");
    }
}

#[tokio::test(start_paused = true)]
async fn what_outlives_the_deadline_is_cut() {
    let (io, served) = serve(endless());
    let mut client = h2(io).await;
    let mut body = client
        .send_request(get("/"))
        .await
        .expect("a response")
        .into_body();
    body.frame().await.expect("a frame").expect("data");

    let began = Instant::now();
    served.order(AT_LEISURE);
    served.order(SOON);
    // A later order never gives more time.
    served.order(Order::Drain {
        within: Some(Duration::from_secs(100)),
    });
    served.ended().await;

    assert_eq!(began.elapsed().as_secs(), 10);
    assert!(
        body.frame().await.expect("an end").is_err(),
        "cut, not finished"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cut_ends_at_once_and_cancels_the_handler() {
    for h2_spoken in [false, true] {
        let entered = Arc::new(Notify::new());
        let (io, served) = serve(held(Arc::clone(&entered), Arc::new(Notify::new())));
        let call = async {
            if h2_spoken {
                h2(io).await.send_request(get("/")).await.map(drop)
            } else {
                h1(io).await.send_request(get("/")).await.map(drop)
            }
        };
        let began = Instant::now();
        let script = async {
            entered.notified().await;
            served.order(Order::Cut);
            served.ended().await;
        };
        let (answer, ()) = tokio::join!(call, script);
        assert!(answer.is_err());
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cut_overtakes_a_drain() {
    let (io, served) = serve(endless());
    let mut client = h2(io).await;
    let mut body = client
        .send_request(get("/"))
        .await
        .expect("a response")
        .into_body();
    body.frame().await.expect("a frame").expect("data");
    let began = Instant::now();
    served.order(SOON);
    served.order(Order::Cut);
    served.ended().await;
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_drain_before_the_first_byte_loses_no_h2_request() {
    let (io, served) = serve_with(hello(), dangerously_allow_all(), Some(Protocol::H2));
    served.order(SOON);
    tokio::task::yield_now().await;
    let mut client = h2(io).await;
    match client.try_send_request(get("/")).await {
        Ok(response) => assert_eq!(text(response).await, "hello"),
        Err(mut error) => assert!(error.take_message().is_some(), "handed back unsent"),
    }
    served.ended().await;
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_connection() {
    for negotiated in [None, Some(Protocol::Http1), Some(Protocol::H2)] {
        let (_io, served) = serve_with(hello(), dangerously_allow_all(), negotiated);
        let began = Instant::now();
        served.ended().await;
        assert_eq!(began.elapsed().as_secs(), 75, "{negotiated:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn h2_pings_keep_a_living_peer_and_let_a_dead_one_go() {
    let (io, served) = serve(endless());
    let mut client = h2(io).await;
    let _body = client.send_request(get("/")).await.expect("a response");
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(!served.task.is_finished(), "it answers");

    let (mut io, served) = serve(hello());
    let began = Instant::now();
    // The preface and an empty SETTINGS frame, and never a word again.
    let opening = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(),
        &[0, 0, 0, 4, 0, 0, 0, 0, 0],
    ];
    io.write_all(&opening.concat()).await.expect("written");
    served.ended().await;
    assert_eq!(began.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_drain_soon_ends_a_connection_that_has_not_said_what_it_speaks() {
    for negotiated in [None, Some(Protocol::Http1), Some(Protocol::H2)] {
        for said in [&b""[..], b"PRI * HT"] {
            if negotiated == Some(Protocol::Http1) && !said.is_empty() {
                continue; // A request that has begun.
            }
            let (mut io, served) = serve_with(hello(), dangerously_allow_all(), negotiated);
            io.write_all(said).await.expect("written");
            tokio::time::sleep(Duration::from_secs(5)).await;
            let began = Instant::now();
            served.order(AT_LEISURE);
            served.ended().await;
            assert!(
                began.elapsed() <= Duration::from_secs(1),
                "{negotiated:?}, {said:?}: {:?}",
                began.elapsed()
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_without_an_end_waits_for_what_is_open() {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (io, served) = serve(held(Arc::clone(&entered), Arc::clone(&release)));
    let call = async {
        let mut client = h2(io).await;
        text(client.send_request(get("/")).await.expect("a response")).await
    };
    let script = async {
        entered.notified().await;
        served.order(Order::Drain {
            within: Some(Duration::MAX),
        });
        tokio::time::sleep(Duration::from_secs(100_000)).await;
        release.notify_one();
        served.ended().await;
    };
    let (answer, ()) = tokio::join!(call, script);
    assert_eq!(answer, "finished");
}

#[tokio::test(start_paused = true)]
async fn limits_without_an_end_are_no_limits() {
    let limits = Limits {
        head_timeout: Duration::MAX,
        keep_alive_interval: Duration::MAX,
        keep_alive_timeout: Duration::MAX,
        ..Limits::default()
    };
    for negotiated in [None, Some(Protocol::Http1), Some(Protocol::H2)] {
        let (io, served) =
            serve_under(limits.clone(), hello(), dangerously_allow_all(), negotiated);
        let answer = if negotiated == Some(Protocol::H2) {
            h2(io).await.send_request(get("/")).await
        } else {
            h1(io).await.send_request(get("/")).await
        };
        assert_eq!(text(answer.expect("a response")).await, "hello");
        served.ended().await;
    }
}
