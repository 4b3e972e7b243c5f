//! When connections go.

use std::{sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt as _;

use super::{
    super::*,
    peer::{World, settle},
};

const BOTH: [Answer; 2] = [Answer::Http11, Answer::H2];

#[tokio::test(start_paused = true)]
async fn a_removed_endpoint_lets_its_streams_finish_and_then_closes() {
    for answer in BOTH {
        let World { peer, endpoint } = World::new(answer);
        let world = World { peer, endpoint };
        let body = world
            .send("/stream", Want::Any)
            .await
            .expect("a head")
            .into_body();
        let frames = world.stream().await;
        let wire = world.wire(0);
        drop(world);
        settle().await;
        assert!(!*wire.ended.borrow(), "{answer:?}");
        frames
            .send(Ok(Frame::data(Bytes::from_static(b"late"))))
            .expect("a server");
        drop(frames);
        assert_eq!(body.collect().await.expect("the rest").to_bytes(), "late");
        wire.ended
            .subscribe()
            .wait_for(|ended| *ended)
            .await
            .expect("an end");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drained_connection_gets_nothing_new_and_finishes_what_runs() {
    for answer in BOTH {
        let world = World::new(answer);
        let held = tokio::spawn(world.send("/hold", Want::Any));
        world.until_served(1).await;
        let wire = world.wire(0);
        wire.closing.send_replace(Some(Closing::Drain));
        settle().await;
        world.get("/").await.expect("an answer");
        assert_eq!(world.dials(), 2, "{answer:?}");
        world.peer.release.notify_waiters();
        let response = held.await.expect("no panic").expect("an answer");
        assert_eq!(
            response
                .into_body()
                .collect()
                .await
                .expect("a body")
                .to_bytes(),
            "held"
        );
        wire.ended
            .subscribe()
            .wait_for(|ended| *ended)
            .await
            .expect("an end");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cut_ends_what_is_in_flight_at_once() {
    for answer in BOTH {
        let world = World::new(answer);
        let mut body = world
            .send("/stream", Want::Any)
            .await
            .expect("a head")
            .into_body();
        let frames = world.stream().await;
        frames
            .send(Ok(Frame::data(Bytes::from_static(b"a"))))
            .expect("a server");
        body.frame().await.expect("a frame").expect("no error");
        let wire = world.wire(0);
        wire.closing.send_replace(Some(Closing::Cut));
        let end = body.frame().await.expect("an end").expect_err("cut");
        assert_eq!(end.kind(), ErrorKind::Body, "{answer:?}");
        wire.ended
            .subscribe()
            .wait_for(|ended| *ended)
            .await
            .expect("an end");
        world.get("/").await.expect("a new connection");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cut_before_the_head_is_told_as_sent() {
    for answer in BOTH {
        let world = World::new(answer);
        let held = tokio::spawn(world.send("/hold", Want::Any));
        world.until_served(1).await;
        world.wire(0).closing.send_replace(Some(Closing::Drain));
        settle().await;
        world.wire(0).closing.send_replace(Some(Closing::Cut));
        let error = held.await.expect("no panic").expect_err("cut");
        assert_eq!(error.kind(), ErrorKind::Sent, "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_closed() {
    for (answer, idle) in [(Answer::Http11, 20), (Answer::H2, 90)] {
        let world = World::new(answer);
        world.get("/").await.expect("an answer");
        let wire = world.wire(0);
        tokio::time::sleep(Duration::from_secs(idle - 1)).await;
        assert!(!*wire.ended.borrow(), "{answer:?}");
        tokio::time::sleep(Duration::from_secs(idle / 4 + 2)).await;
        assert!(*wire.ended.borrow(), "{answer:?}");
        assert_eq!(world.endpoint.pool().connections(), 0);
        world.get("/").await.expect("a new connection");
    }
}

#[tokio::test(start_paused = true)]
async fn use_keeps_a_connection_open() {
    let world = World::new(Answer::Http11);
    for _ in 0..10 {
        world.get("/").await.expect("an answer");
        tokio::time::sleep(Duration::from_secs(15)).await;
    }
    assert_eq!(world.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_limit_stay_idle() {
    let world = World::with(
        Answer::Http11,
        PoolConfig {
            max_idle: 2,
            ..PoolConfig::default()
        },
    );
    let burst = futures_util::future::join_all((0..5).map(|_| world.send("/hold", Want::Any)));
    let release = async {
        world.until_served(5).await;
        world.peer.release.notify_waiters();
    };
    let (answers, ()) = tokio::join!(burst, release);
    for answer in answers {
        answer
            .expect("a head")
            .into_body()
            .collect()
            .await
            .expect("a body");
    }
    settle().await;
    assert_eq!(world.endpoint.pool().connections(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_new_generation_serves_from_the_old_until_it_has_a_connection_of_its_own() {
    for answer in BOTH {
        let world = World::new(answer);
        world.get("/").await.expect("an answer");
        let old = world.wire(0);
        world.peer.generation.store(2, Ordering::SeqCst);
        world.refuse(true);
        world.get("/").await.expect("the old connection serves");
        settle().await;
        assert_eq!(world.dials(), 2, "{answer:?}: a new one was tried");
        world.refuse(false);
        tokio::time::sleep(Duration::from_secs(2)).await;
        world.get("/").await.expect("an answer");
        settle().await;
        assert_eq!(world.dials(), 3);
        world.get("/").await.expect("an answer");
        old.ended
            .subscribe()
            .wait_for(|ended| *ended)
            .await
            .expect("the old one is gone");
        assert_eq!(world.dials(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_died_is_found_by_its_silence() {
    let config = PoolConfig::default();
    // A pipe nobody reads: the connection is there, the peer is not.
    struct Dead(std::sync::Mutex<Vec<tokio::io::DuplexStream>>);
    struct Never;
    impl Guard for Never {
        fn closing(&mut self) -> BoxFuture<'_, Closing> {
            Box::pin(std::future::pending())
        }
    }
    impl Open for Dead {
        fn open(&self, _: Offer) -> BoxFuture<'static, Result<Opened, Error>> {
            let (io, far) = tokio::io::duplex(1024 * 1024);
            self.0.lock().unwrap().push(far);
            Box::pin(async {
                Ok(Opened {
                    io: Box::new(io),
                    answer: Answer::H2,
                    generation: 1,
                    guard: Box::new(Never),
                })
            })
        }
        fn generation(&self) -> u64 {
            1
        }
        fn name(&self) -> &str {
            "a dead peer"
        }
    }
    let address = consul_connect::Address::new("127.0.0.1", 1);
    let endpoint = crate::endpoint::Endpoint::new(
        "dead".into(),
        address,
        Arc::new(Dead(Default::default())),
        config,
    );
    let request = http::Request::get("http://dead/")
        .body(crate::body::Body::empty())
        .unwrap();
    let began = tokio::time::Instant::now();
    let error = super::peer::exchange(&endpoint, Want::Any, request)
        .await
        .expect_err("silence");
    assert_eq!(error.kind(), ErrorKind::Sent);
    let source = std::error::Error::source(&error).expect("a cause");
    let source = source.downcast_ref::<hyper::Error>().expect("hyper's");
    assert!(failure::is_connection_lost(source), "{source:?}");
    assert!(
        began.elapsed() <= Duration::from_secs(31),
        "{:?}",
        began.elapsed()
    );
}
