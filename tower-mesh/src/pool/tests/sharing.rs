//! Who dials, who waits, who gets what.

use std::{sync::atomic::Ordering, time::Duration};

use futures_util::future::join_all;

use super::{
    super::*,
    peer::{World, settle},
};

#[tokio::test(start_paused = true)]
async fn a_cold_burst_dials_once_per_request_in_http1() {
    let world = World::new(Answer::Http11);
    let burst = join_all((0..32).map(|_| world.send("/hold", Want::Any)));
    let release = async {
        world.until_served(32).await;
        world.peer.release.notify_waiters();
    };
    let (answers, ()) = tokio::join!(burst, release);
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(world.dials(), 32);
    drop(answers);
    settle().await;
    world.get("/").await.expect("an answer");
    assert_eq!(world.dials(), 32, "the connections came back");
}

#[tokio::test(start_paused = true)]
async fn a_cold_burst_dials_once_in_h2() {
    let world = World::new(Answer::H2);
    let answers = join_all((0..32).map(|_| world.get("/"))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(world.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn while_the_protocol_is_unknown_one_dial_serves_all() {
    let world = World::new(Answer::Http11);
    world.shut();
    let burst = tokio::spawn(join_all((0..8).map(|_| world.send("/", Want::Any))));
    settle().await;
    assert_eq!(world.dials(), 1);
    world.unshut();
    assert!(burst.await.expect("no panic").iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn sixteen_callers_of_a_peer_that_drops_the_handshake_share_one_dial_and_its_error() {
    let world = World::new(Answer::H2);
    world.refuse(true);
    let answers = join_all((0..16).map(|_| world.get("/"))).await;
    assert!(
        answers
            .iter()
            .all(|answer| answer.as_ref().is_err_and(Error::is_connect))
    );
    assert_eq!(world.dials(), 1);
    world.refuse(false);
    assert_eq!(world.get("/").await.expect("an answer"), "hello");
}

#[tokio::test(start_paused = true)]
async fn each_caller_has_its_own_failed_dial_once_http1_is_known() {
    let world = World::new(Answer::Http11);
    world.get("/").await.expect("an answer");
    world.wire(0).closing.send_replace(Some(Closing::Drain));
    settle().await;
    world.refuse(true);
    let answers = join_all((0..16).map(|_| world.get("/"))).await;
    assert!(
        answers
            .iter()
            .all(|answer| answer.as_ref().is_err_and(Error::is_connect))
    );
    assert_eq!(world.dials(), 17);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_mid_dial_takes_nothing_with_it() {
    for answer in [Answer::Http11, Answer::H2] {
        let world = World::new(answer);
        world.shut();
        let first = tokio::spawn(world.send("/", Want::Any));
        settle().await;
        let second = tokio::spawn(world.send("/", Want::Any));
        settle().await;
        first.abort();
        settle().await;
        world.unshut();
        second.await.expect("no panic").expect("an answer");
        assert_eq!(world.dials(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dial_whose_only_caller_went_away_is_kept_for_the_next() {
    for answer in [Answer::Http11, Answer::H2] {
        let world = World::new(answer);
        world.shut();
        let caller = tokio::spawn(world.send("/", Want::Any));
        settle().await;
        caller.abort();
        world.unshut();
        settle().await;
        world.get("/").await.expect("an answer");
        assert_eq!(world.dials(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn above_the_stream_limit_callers_get_another_h2_connection() {
    let config = PoolConfig {
        max_streams: 4,
        crowded_connections: 1,
        ..PoolConfig::default()
    };
    let world = World::with(Answer::H2, config);
    let burst = tokio::spawn(join_all((0..10).map(|_| world.send("/hold", Want::Any))));
    world.until_served(10).await;
    assert_eq!(world.dials(), 3);
    world.peer.release.notify_waiters();
    assert!(burst.await.expect("no panic").iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn crowded_streams_open_a_second_h2_connection_in_the_background() {
    let config = PoolConfig {
        crowded_streams: 4,
        crowded_connections: 2,
        ..PoolConfig::default()
    };
    let world = World::with(Answer::H2, config);
    let held = tokio::spawn(join_all((0..5).map(|_| world.send("/hold", Want::Any))));
    world.until_served(5).await;
    assert_eq!(world.dials(), 2);
    let more = tokio::spawn(join_all((0..4).map(|_| world.send("/hold", Want::Any))));
    world.until_served(9).await;
    assert_eq!(world.dials(), 2, "two are enough");
    world.peer.release.notify_waiters();
    for answers in [held.await, more.await] {
        assert!(answers.expect("no panic").iter().all(Result::is_ok));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_needs_h2_is_refused_by_an_http1_peer_before_it_is_sent() {
    let world = World::new(Answer::Http11);
    for _ in 0..3 {
        let error = world.send("/", Want::Http2).await.expect_err("a refusal");
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert_eq!(
            error.to_string(),
            "sending a request that needs h2 to the peer, which speaks only HTTP/1.1"
        );
    }
    assert_eq!(world.dials(), 1, "what is known is not asked again");
    assert_eq!(world.peer.served.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_learnt_h2_is_found_out() {
    let world = World::new(Answer::Http11);
    world.send("/", Want::Http2).await.expect_err("a refusal");
    *world.peer.answer.lock().unwrap() = Answer::H2;
    tokio::time::sleep(Duration::from_secs(6)).await;
    world.send("/", Want::Http2).await.expect("an answer");
}

#[tokio::test(start_paused = true)]
async fn a_peer_silent_about_alpn_is_spoken_to_as_the_request_needs() {
    let world = World::new(Answer::Silent);
    let plain = world.send("/", Want::Any).await.expect("an answer");
    assert_eq!(plain.version(), http::Version::HTTP_11);
    let grpc = world.send("/", Want::Http2).await.expect("an answer");
    assert_eq!(grpc.version(), http::Version::HTTP_2);
    drop(plain);
    settle().await;
    let plain = world.send("/", Want::Any).await.expect("an answer");
    assert_eq!(plain.version(), http::Version::HTTP_11);
}

#[tokio::test(start_paused = true)]
async fn a_configured_h2_peer_is_offered_nothing_else_and_may_be_silent() {
    let config = PoolConfig {
        http2_only: true,
        ..PoolConfig::default()
    };
    let world = World::with(Answer::Silent, config);
    let answer = world.send("/", Want::Any).await.expect("an answer");
    assert_eq!(answer.version(), http::Version::HTTP_2);
    assert_eq!(*world.peer.offers.lock().unwrap(), [Offer::H2]);
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_gets_an_http1_connection_from_a_peer_that_prefers_h2() {
    let world = World::new(Answer::H2);
    world.get("/").await.expect("an answer");
    let answer = world.send("/", Want::Http1).await.expect("an answer");
    assert_eq!(answer.version(), http::Version::HTTP_11);
    assert_eq!(
        *world.peer.offers.lock().unwrap(),
        [Offer::Both, Offer::Http11]
    );
    let answer = world.send("/", Want::Any).await.expect("an answer");
    assert_eq!(
        answer.version(),
        http::Version::HTTP_2,
        "the answer to one offer is no news"
    );
}
