//! Watches that ask the same.

use super::*;

#[tokio::test(start_paused = true)]
async fn identical_watches_share_one_request_and_the_last_value() {
    let mut script = Script::new(32);
    let mut first = script.watch("a");
    let mut second = script.watch("a");
    assert_eq!(script.hub.len(), 1);
    script.next().await.answer(1, 10);
    assert_eq!((value(&mut first).await, value(&mut second).await), (1, 1));
    let blocked = script.next().await;
    let mut late = script.watch("a");
    assert_eq!(
        late.next()
            .now_or_never()
            .expect("at once")
            .map(|item| *item.expect("a value").value),
        Some(1)
    );
    assert!(script.nothing_asked());
    blocked.answer(2, 11);
    for watch in [&mut first, &mut second, &mut late] {
        assert_eq!(value(watch).await, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn another_token_is_another_watch() {
    let mut script = Script::new(32);
    let theirs = Arc::new(watch::Sender::new(Token::new("two")));
    let _mine = script.watch("a");
    let _theirs = script.watch_as("a", &theirs);
    assert_eq!(script.hub.len(), 2);
    let (first, second) = (script.next().await, script.next().await);
    assert_eq!((first.name, second.name), ("a", "a"));
}

#[tokio::test(start_paused = true)]
async fn the_last_subscriber_ends_the_request() {
    let mut script = Script::new(32);
    let first = script.watch("a");
    let second = script.watch("a");
    script.next().await.answer(1, 10);
    let mut blocked = script.next().await;
    drop(first);
    settle().await;
    assert!(!blocked.reply.is_closed());
    drop(second);
    blocked.reply.closed().await;
    assert_eq!(script.hub.len(), 0);
    let mut anew = script.watch("a");
    script.next().await.answer(5, 10);
    assert_eq!(value(&mut anew).await, 5);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_follows_the_last_drop_is_not_swept_away() {
    let mut script = Script::new(32);
    let first = script.watch("a");
    script.next().await.answer(1, 10);
    drop(first);
    let second = script.watch("a");
    settle().await;
    assert_eq!(script.hub.len(), 1);
    drop(second);
}
