//! How often Consul is asked while it answers, and for how long each time.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_hot_index_is_asked_four_times_and_then_once_a_second() {
    let mut script = Script::new(32);
    let _watch = script.watch("a");
    let born = Instant::now();
    let mut seconds = Vec::new();
    for n in 1..=8 {
        let asked = script.next().await;
        seconds.push((asked.at - born).as_secs_f64().round() as u64);
        asked.answer(u32::try_from(n).expect("small"), n);
    }
    assert_eq!(seconds, [0, 0, 0, 0, 1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_read_without_an_index_is_polled_at_a_bounded_rate() {
    let mut script = Script::new(32);
    let _watch = script.watch("a");
    let born = Instant::now();
    for _ in 0..13 {
        let asked = script.next().await;
        assert_eq!(asked.position, Position::Start);
        asked.answer(1, 0);
    }
    assert_eq!((Instant::now() - born).as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_hung_long_poll_is_no_error_but_a_hung_read_is() {
    let timeout = || Error::new(Kind::Timeout, "reading /v1/a");
    let mut script = Script::new(32);
    let mut watch = script.watch("a");
    script.next().await.answer(1, 10);
    value(&mut watch).await;
    script.next().await.fail(timeout());
    let judge = script.next().await;
    assert_eq!(judge.position, Position::Start);
    assert!(watch.next().now_or_never().is_none());
    judge.fail(timeout());
    assert!(
        item(&mut watch)
            .await
            .is_err_and(|error| error.is_timeout())
    );
}

#[tokio::test(start_paused = true)]
async fn a_poll_never_waits_longer_than_its_watch_has_been_there() {
    let mut script = Script::new(32);
    let _watch = script.watch("a");
    script.next().await.answer(1, 10);
    let mut waits = Vec::new();
    for _ in 0..8 {
        let asked = script.next().await;
        waits.push(asked.wait.as_secs());
        advance(asked.wait).await;
        asked.answer(1, 10);
    }
    assert_eq!(waits, [9, 9, 18, 36, 72, 144, 288, 300]);
}
