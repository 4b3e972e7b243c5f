//! When Consul is asked again after an error.

use super::*;

#[tokio::test(start_paused = true)]
async fn watches_of_a_lost_local_agent_ask_again_within_two_seconds() {
    let mut script = Script::new(32);
    let _watch = script.watch("a");
    let mut last = Instant::now();
    for _ in 0..200 {
        let asked = script.next().await;
        assert!(
            asked.at - last <= Duration::from_millis(1510),
            "{:?}",
            asked.at - last
        );
        last = asked.at;
        asked.fail(away());
    }
}

#[tokio::test(start_paused = true)]
async fn one_success_wakes_all() {
    let mut script = Script::at("consul.example:8500", 32);
    let (_a, _b, _c) = (script.watch("a"), script.watch("b"), script.watch("c"));
    // Until each has failed so often that it pauses for up to half a minute.
    for _ in 0..60 {
        script.next().await.fail(away());
    }
    let first = script.next().await;
    let (at, lucky) = (first.at, first.name);
    first.answer(1, 10);
    let mut woken = Vec::new();
    let mut open = Vec::new();
    while woken.len() < 2 {
        let asked = script.next().await;
        assert!(
            asked.at - at <= Duration::from_secs(1),
            "{} waited {:?}",
            asked.name,
            asked.at - at
        );
        if asked.name == lucky {
            assert_eq!(asked.index(), Some(10));
        } else {
            woken.push(asked.name);
        }
        open.push(asked.reply);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_is_not_lifted_by_the_success_of_another() {
    let mut script = Script::new(32);
    let limited = script.watch("limited");
    for _ in 0..10 {
        script.next().await.fail(status(429));
    }
    settle().await;
    let before = Instant::now();
    let _other = script.watch("other");
    let other = script.next().await;
    assert_eq!(other.name, "other");
    other.answer(1, 10);
    let blocked = script.next().await;
    assert_eq!(blocked.name, "other");
    let again = script.next().await;
    assert_eq!(again.name, "limited");
    assert!(
        again.at - before >= Duration::from_millis(700),
        "{:?}",
        again.at - before
    );
    drop((limited, again, blocked));
}

#[tokio::test(start_paused = true)]
async fn a_new_token_is_tried_at_once_after_a_refusal() {
    let mut script = Script::new(32);
    let mut watch = script.watch("a");
    script.next().await.answer(1, 10);
    value(&mut watch).await;
    for _ in 0..12 {
        script.next().await.fail(status(403));
    }
    settle().await;
    // At the end of a pause the bucket is full again.
    advance(Duration::from_millis(450)).await;
    assert!(script.nothing_asked(), "a refusal is not repeated at once");
    let swapped = Instant::now();
    script.token.send_modify(|token| *token += 1);
    let asked = script.next().await;
    assert!(
        asked.at - swapped <= Duration::from_secs(1),
        "{:?}",
        asked.at - swapped
    );
    asked.answer(2, 11);
    item(&mut watch)
        .await
        .expect_err("the refusal is told first to whoever has not heard it");
}
