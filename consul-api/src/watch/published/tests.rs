use super::*;
use crate::Meta;

fn update(value: u8) -> Update<u8> {
    Update {
        value: std::sync::Arc::new(value),
        meta: Meta::default(),
    }
}

fn error(words: &str) -> Error {
    Error::config(words)
}

fn told(cursor: &mut Cursor, published: &Published<u8>) -> Vec<Result<u8, String>> {
    std::iter::from_fn(|| cursor.next(published))
        .map(|item| {
            item.map(|update| *update.value)
                .map_err(|error| error.to_string())
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_late_subscriber_to_a_failing_watch_gets_the_value_and_then_the_error() {
    let mut published = Published::default();
    published.publish(update(1), Instant::now());
    published.fail(error("away"), Instant::now());
    let mut cursor = Cursor::default();
    assert_eq!(
        told(&mut cursor, &published),
        [Ok(1), Err("away".to_owned())]
    );
    assert_eq!(told(&mut cursor, &published), []);
}

#[tokio::test(start_paused = true)]
async fn a_slow_subscriber_gets_only_the_newest_value() {
    let mut published = Published::default();
    let mut cursor = Cursor::default();
    published.publish(update(1), Instant::now());
    published.fail(error("over by then"), Instant::now());
    published.publish(update(2), Instant::now());
    published.publish(update(3), Instant::now());
    assert_eq!(told(&mut cursor, &published), [Ok(3)]);
}

#[tokio::test(start_paused = true)]
async fn each_error_is_told_once_and_its_end_is_told_to_those_who_heard_it() {
    let mut published = Published::default();
    let (mut heard, mut slept) = (Cursor::default(), Cursor::default());
    published.publish(update(1), Instant::now());
    assert_eq!(told(&mut heard, &published), [Ok(1)]);
    assert_eq!(told(&mut slept, &published), [Ok(1)]);
    for words in ["first", "second"] {
        published.fail(error(words), Instant::now());
        assert_eq!(told(&mut heard, &published), [Err(words.to_owned())]);
    }
    assert!(published.confirm(Instant::now()));
    assert_eq!(told(&mut heard, &published), [Ok(1)]);
    assert_eq!(told(&mut slept, &published), []);
    assert!(!published.confirm(Instant::now()));
}

#[tokio::test(start_paused = true)]
async fn failures_are_counted_from_the_last_answer() {
    let mut published = Published::default();
    published.fail(error("a"), Instant::now());
    published.publish(update(1), Instant::now());
    let since = Instant::now();
    published.fail(error("b"), since);
    tokio::time::advance(std::time::Duration::from_secs(3)).await;
    published.fail(error("c"), Instant::now());
    assert_eq!(
        (published.failures_in_a_row(), published.failing_since()),
        (2, Some(since))
    );
    assert_eq!(published.last_success(), Some(since));
}
