//! What becomes of a request when a side lets go of it.

use std::{sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt as _;

use super::{
    super::*,
    peer::{World, exchange_under, settle},
};

const BOTH: [Answer; 2] = [Answer::Http11, Answer::H2];

#[tokio::test(start_paused = true)]
async fn a_dropped_response_future_cancels_the_handler() {
    for answer in BOTH {
        let world = World::new(answer);
        let call = tokio::spawn(world.send("/hold", Want::Any));
        world.until_served(1).await;
        call.abort();
        settle().await;
        assert_eq!(world.peer.cancelled.load(Ordering::SeqCst), 1, "{answer:?}");
        world.get("/").await.expect("an answer");
        // HTTP/1.1 has no other way to say it than to close; h2 resets the stream.
        assert_eq!(world.dials(), if answer == Answer::H2 { 1 } else { 2 });
        assert_eq!(world.endpoint.load().in_flight(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_dropped_midway_closes_http1_and_resets_h2() {
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
        drop(body);
        settle().await;
        assert!(frames.is_closed(), "{answer:?}: the peer was told");
        assert_eq!(world.endpoint.load().in_flight(), 0);
        world.get("/").await.expect("an answer");
        assert_eq!(world.dials(), if answer == Answer::H2 { 1 } else { 2 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_body_left_unread_costs_no_connection() {
    for answer in BOTH {
        let world = World::new(answer);
        for _ in 0..20 {
            let response = world.send("/", Want::Any).await.expect("a head");
            settle().await;
            drop(response);
            settle().await;
        }
        assert_eq!(world.dials(), 1, "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_load_is_counted_to_the_end_of_the_body() {
    for answer in BOTH {
        let world = World::new(answer);
        let body = world
            .send("/stream", Want::Any)
            .await
            .expect("a head")
            .into_body();
        assert_eq!(world.endpoint.load().in_flight(), 1);
        drop(world.stream().await);
        body.collect().await.expect("a body");
        assert_eq!(world.endpoint.load().in_flight(), 0, "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_lost_in_flight_is_told_as_sent() {
    for answer in BOTH {
        let world = World::new(answer);
        let call = tokio::spawn(world.send("/hold", Want::Any));
        world.until_served(1).await;
        world.wire(0).kill.notify_one();
        let error = call
            .await
            .expect("no panic")
            .expect_err("a lost connection");
        assert_eq!(error.kind(), ErrorKind::Sent, "{answer:?}");
        let source = std::error::Error::source(&error).expect("a cause");
        let source = source.downcast_ref::<hyper::Error>().expect("hyper's");
        assert!(
            failure::is_connection_lost(source),
            "{answer:?}: {source:?}"
        );
        assert!(!failure::is_refused(source) && !failure::is_stream_reset(source));
        world
            .get("/")
            .await
            .expect("the next one gets a new connection");
    }
}

#[tokio::test(start_paused = true)]
async fn request_bodies_arrive() {
    for answer in BOTH {
        let world = World::new(answer);
        let response = world
            .send_body("/echo", Want::Any, "ping".into())
            .await
            .expect("a head");
        assert_eq!(
            response
                .into_body()
                .collect()
                .await
                .expect("a body")
                .to_bytes(),
            "ping"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn under_goaway_churn_each_failure_says_that_it_may_go_again() {
    let world = World::new(Answer::H2);
    let mut ran = 0;
    for round in 0..300 {
        loop {
            let call = world.get("/");
            // The server says GOAWAY for every other request.
            if let Some(wire) = world.peer.connections.lock().unwrap().last()
                && round % 2 == 0
            {
                wire.goaway.notify_one();
            }
            let Err(error) = call.await else { break };
            let source = std::error::Error::source(&error).expect("a cause");
            let again = source.downcast_ref().is_some_and(|source| {
                failure::is_refused(source) || failure::is_connection_lost(source)
            });
            assert!(error.is_unsent() || again, "round {round}: {error:?}");
        }
        ran += 1;
        assert_eq!(
            world.peer.served.load(Ordering::SeqCst),
            ran,
            "none ran twice"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_that_never_pauses_ends_at_its_deadline_too() {
    for grpc in [false, true] {
        let world = World::new(Answer::H2);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(3);
        let terms = crate::body::Terms {
            idle: None,
            deadline: Some(deadline),
            grpc,
        };
        let request = http::Request::post("http://peer/stream")
            .body(crate::Body::empty())
            .expect("a request");
        let mut body = exchange_under(&world.endpoint, Want::Any, request, terms)
            .await
            .expect("a head")
            .into_body();
        let frames = world.stream().await;
        for _ in 0..5 {
            let data = Frame::data(Bytes::from_static(b"more"));
            frames.send(Ok(data)).expect("a server");
        }
        settle().await;
        let end = loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let frame = body.frame().await.expect("an end before the stream's own");
            // What is there is read, so the body never has to wait.
            let data = Frame::data(Bytes::from_static(b"more"));
            let _gone = frames.send(Ok(data));
            settle().await;
            match frame {
                Ok(frame) if frame.is_data() => {
                    assert!(tokio::time::Instant::now() < deadline + Duration::from_secs(2));
                }
                end => break end,
            }
        };
        match end {
            Ok(frame) => assert_eq!(frame.trailers_ref().expect("trailers")["grpc-status"], "4"),
            Err(error) => assert!(error.is_timeout() && !grpc, "{error:?}"),
        }
        settle().await;
        assert!(frames.is_closed(), "the peer was told");
    }
}
