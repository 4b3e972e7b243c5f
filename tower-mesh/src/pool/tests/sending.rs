//! What becomes of a request when a side lets go of it.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt as _;

use super::{
    super::*,
    peer::{World, settle},
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
            let lost = source
                .downcast_ref()
                .is_some_and(failure::is_connection_lost);
            assert!(error.is_unsent() || lost, "round {round}: {error:?}");
        }
        ran += 1;
        assert_eq!(
            world.peer.served.load(Ordering::SeqCst),
            ran,
            "none ran twice"
        );
    }
}
