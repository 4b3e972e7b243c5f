//! What a subscriber gets, and when.

use super::*;

#[tokio::test(start_paused = true)]
async fn yields_what_is_there_and_then_each_change() {
    let mut script = Script::new(32);
    let mut watch = script.watch("a");
    let first = script.next().await;
    assert_eq!(first.position, Position::Start);
    first.answer(1, 10);
    assert_eq!(value(&mut watch).await, 1);
    let second = script.next().await;
    assert_eq!(
        (second.index(), second.wait),
        (Some(10), Duration::from_secs(9))
    );
    second.answer(1, 11);
    let third = script.next().await;
    assert!(
        watch.next().now_or_never().is_none(),
        "an unchanged value is no item"
    );
    third.answer(2, 12);
    assert_eq!(value(&mut watch).await, 2);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_told_once_and_the_recovery_with_the_same_value() {
    let mut script = Script::new(32);
    let mut watch = script.watch("a");
    script.next().await.answer(1, 10);
    let before = item(&mut watch).await.expect("a value");
    script.next().await.fail(away());
    assert!(
        item(&mut watch)
            .await
            .is_err_and(|error| error.is_connect())
    );
    assert!(watch.next().now_or_never().is_none());
    let again = script.next().await;
    assert_eq!(
        again.position,
        Position::Start,
        "the index is not trusted after an error"
    );
    again.answer(1, 3);
    let after = item(&mut watch).await.expect("a value");
    assert!(Arc::ptr_eq(&before.value, &after.value));
}

#[tokio::test(start_paused = true)]
async fn status_tells_since_when_it_fails_and_how_old_the_answer_is() {
    let mut script = Script::new(32);
    let mut watch = script.watch("a");
    let monitor = watch.monitor();
    assert_eq!(monitor.status().last_answer, None);
    script.next().await.answer(1, 10);
    value(&mut watch).await;
    let blocked = script.next().await;
    advance(Duration::from_secs(7)).await;
    blocked.fail(status(500));
    item(&mut watch).await.expect_err("the failure");
    let failed = monitor.status();
    assert_eq!(failed.last_answer, Some(Duration::from_secs(7)));
    assert_eq!(
        (failed.failing_for, failed.failures, failed.requests),
        (Some(Duration::ZERO), 1, 2)
    );
    assert_eq!(
        failed.last_error.and_then(|error| error.status()),
        Some(StatusCode::INTERNAL_SERVER_ERROR)
    );
    script.next().await.answer(1, 10);
    value(&mut watch).await;
    let well = watch.status();
    assert_eq!(
        (well.failing_for, well.failures, well.last_error.is_none()),
        (None, 0, true)
    );
    assert_eq!(well.last_answer, Some(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_given_up_loses_no_item() {
    let mut script = Script::new(32);
    let mut watch = script.watch("a");
    for _ in 0..3 {
        assert!(
            timeout(Duration::from_millis(5), watch.next())
                .await
                .is_err()
        );
    }
    script.next().await.answer(1, 10);
    settle().await;
    assert_eq!(value(&mut watch).await, 1);
}

#[test]
fn a_watch_made_outside_a_runtime_starts_inside_one() {
    let mut script = Script::new(32);
    let mut watch = script.watch("a");
    assert!(
        watch
            .next()
            .now_or_never()
            .flatten()
            .is_some_and(|item| item.is_err_and(|error| error.is_config()))
    );
    assert!(watch.next().now_or_never().is_none(), "it says so once");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let served = async { script.next().await.answer(1, 10) };
        assert_eq!(tokio::join!(value(&mut watch), served).0, 1);
    });
}
