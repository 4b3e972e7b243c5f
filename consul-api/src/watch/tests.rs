//! The driver and the hub, with a script in the place of the network and time standing still.

use std::{
    num::NonZeroUsize,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::{FutureExt, StreamExt};
use http::StatusCode;
use tokio::{
    sync::{mpsc, oneshot},
    time::{advance, sleep, timeout},
};

use super::{
    blocking::{Basis, Position},
    driver::Ask,
    *,
};
use crate::{Address, Config, Response, Token, error::Kind};

mod limits;

/// One request as the script sees it.
struct Asked {
    name: &'static str,
    position: Position,
    wait: Duration,
    at: Instant,
    reply: oneshot::Sender<Result<Response<u32>, Error>>,
}

impl Asked {
    fn answer(self, value: u32, index: u64) {
        let meta = Meta {
            index: Some(index),
            ..Meta::default()
        };
        assert!(
            self.reply.send(Ok(Response { value, meta })).is_ok(),
            "{} no longer waits",
            self.name
        );
    }

    fn fail(self, error: Error) {
        assert!(
            self.reply.send(Err(error)).is_ok(),
            "{} no longer waits",
            self.name
        );
    }

    fn index(&self) -> Option<u64> {
        match self.position {
            Position::Index(index) => Some(index.get()),
            _ => None,
        }
    }
}

struct Scripted {
    name: &'static str,
    script: mpsc::UnboundedSender<Asked>,
    /// Counts the tokens there have been.
    token: watch::Receiver<u32>,
}

impl Ask for Scripted {
    type Value = u32;

    fn path(&self) -> String {
        format!("/v1/{}", self.name)
    }

    fn wait(&self) -> Duration {
        Duration::from_secs(300)
    }

    fn basis(&self) -> Basis {
        Basis::Index
    }

    async fn ask(&mut self, position: &Position, wait: Duration) -> Result<Response<u32>, Error> {
        self.token.mark_unchanged();
        let (reply, answer) = oneshot::channel();
        let asked = Asked {
            name: self.name,
            position: position.clone(),
            wait,
            at: Instant::now(),
            reply,
        };
        self.script.send(asked).expect("the script goes on");
        answer.await.expect("the script answers everything")
    }

    async fn token_changed(&mut self) {
        self.token.changed().await.expect("the token lives");
    }
}

/// A hub and what its watches ask.
struct Script {
    hub: Arc<Hub>,
    asked: mpsc::UnboundedReceiver<Asked>,
    sender: mpsc::UnboundedSender<Asked>,
    token: watch::Sender<u32>,
    cell: Arc<watch::Sender<Token>>,
}

impl Script {
    fn new(connections: usize) -> Self {
        Self::at("127.0.0.1:8500", connections)
    }

    fn at(address: &str, connections: usize) -> Self {
        let address: Address = address.parse().expect("an address");
        let connections = NonZeroUsize::new(connections).expect("not 0");
        let config = Config::default()
            .with_address(address)
            .with_watch_connections(connections);
        let (sender, asked) = mpsc::unbounded_channel();
        Self {
            hub: Arc::new(Hub::new(&config)),
            asked,
            sender,
            token: watch::Sender::new(0),
            cell: Arc::new(watch::Sender::new(Token::anonymous())),
        }
    }

    fn watch(&self, name: &'static str) -> Watch<u32> {
        self.watch_as(name, &self.cell)
    }

    fn watch_as(&self, name: &'static str, token: &Arc<watch::Sender<Token>>) -> Watch<u32> {
        let ask = || Scripted {
            name,
            script: self.sender.clone(),
            token: self.token.subscribe(),
        };
        Watch::new(self.hub.entry(Key::new::<u32>(name.to_owned(), token), ask))
    }

    async fn next(&mut self) -> Asked {
        timeout(Duration::from_secs(3600), self.asked.recv())
            .await
            .expect("asked in time")
            .expect("the sender is here")
    }

    fn nothing_asked(&mut self) -> bool {
        self.asked.try_recv().is_err()
    }
}

fn away() -> Error {
    Error::new(Kind::Connect, "reading /v1/x")
}

fn status(code: u16) -> Error {
    Error::new(Kind::Api, "reading /v1/x")
        .with_status(StatusCode::from_u16(code).expect("a status"))
}

async fn value(watch: &mut Watch<u32>) -> u32 {
    *item(watch).await.expect("a value").value
}

async fn item(watch: &mut Watch<u32>) -> Result<Update<u32>, Error> {
    timeout(Duration::from_secs(3600), watch.next())
        .await
        .expect("an item in time")
        .expect("a watch never ends")
}

/// Lets everything run that can run without time passing.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

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

/// Consul goes on with a long poll whose client has gone, and counts its connection until the wait is over.
#[tokio::test(start_paused = true)]
async fn a_thousand_watches_made_and_dropped_leave_no_more_behind_than_there_are_slots() {
    let mut script = Script::new(32);
    let mut held = Vec::new();
    let began = Instant::now();
    for number in 0..1000 {
        let name: &'static str = number.to_string().leak();
        let mut watch = script.watch(name);
        script.next().await.answer(number, 10);
        assert_eq!(value(&mut watch).await, number);
        settle().await;
        if let Ok(blocked) = script.asked.try_recv() {
            held.push(blocked.at + blocked.wait + blocked.wait / 16);
        }
        drop(watch);
        advance(Duration::from_millis(10)).await;
        held.retain(|until| *until > Instant::now());
        assert!(held.len() <= 24, "{} held", held.len());
    }
    println!("1,000 first values in {:?}", began.elapsed());
    // Who stays has its turn as soon as one of those is over.
    let _watch = script.watch("stays");
    let asked = script.next().await;
    let at = asked.at;
    asked.answer(1, 10);
    let blocked = script.next().await;
    assert!(blocked.at - at <= Duration::from_secs(10));
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

/// A server without changes: it holds each blocking request as long as it is told, and a sixteenth more.
#[derive(Clone)]
struct Quiet {
    watches: Arc<Vec<Mutex<(Instant, Duration)>>>,
    number: usize,
    open: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

/// Counts a request as open, also when it is given up.
struct Open<'a>(&'a AtomicUsize);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Ask for Quiet {
    type Value = u32;

    fn path(&self) -> String {
        "/v1/quiet".to_owned()
    }

    fn wait(&self) -> Duration {
        Duration::from_secs(300)
    }

    fn basis(&self) -> Basis {
        Basis::Index
    }

    async fn ask(&mut self, position: &Position, wait: Duration) -> Result<Response<u32>, Error> {
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        let _open = Open(&self.open);
        self.most.fetch_max(open, Ordering::Relaxed);
        {
            // While a request is open its answer is current; what counts is the time in between.
            let mut seen = self.watches[self.number].lock().expect("no panic");
            seen.1 = seen.1.max(seen.0.elapsed());
        }
        sleep(Duration::from_millis(3)).await;
        if position.blocks() {
            sleep(wait + wait / 16).await;
        }
        self.watches[self.number].lock().expect("no panic").0 = Instant::now();
        let meta = Meta {
            index: Some(10),
            ..Meta::default()
        };
        Ok(Response { value: 1, meta })
    }

    async fn token_changed(&mut self) {
        std::future::pending::<()>().await;
    }
}

/// Runs `count` watches for five minutes: the most requests open at once, and the longest time any watch had none.
async fn run(count: usize, connections: usize, multiplexed: bool) -> (usize, Duration) {
    let script = Script::new(connections);
    if multiplexed {
        script.hub.multiplexed();
    }
    let quiet = Quiet {
        watches: Arc::new(
            (0..count)
                .map(|_| Mutex::new((Instant::now(), Duration::ZERO)))
                .collect(),
        ),
        number: 0,
        open: Arc::default(),
        most: Arc::default(),
    };
    let watches: Vec<_> = (0..count)
        .map(|number| {
            let ask = Quiet {
                number,
                ..quiet.clone()
            };
            Watch::new(
                script
                    .hub
                    .entry(Key::new::<u32>(number.to_string(), &script.cell), || ask),
            )
        })
        .collect();
    sleep(Duration::from_secs(300)).await;
    let stale = quiet
        .watches
        .iter()
        .map(|seen| seen.lock().expect("no panic").1)
        .max();
    drop(watches);
    (
        quiet.most.load(Ordering::Relaxed),
        stale.unwrap_or_default(),
    )
}

#[tokio::test(start_paused = true)]
async fn three_hundred_watches_stay_within_32_connections_and_ten_seconds() {
    let (most, stale) = run(300, 32, false).await;
    assert!(most <= 32, "{most} requests at once");
    assert!(
        stale <= Duration::from_secs(10),
        "{stale:?} without a request"
    );
}

#[tokio::test(start_paused = true)]
async fn three_hundred_watches_stay_below_the_streams_of_one_http2_connection() {
    let (most, stale) = run(300, 32, true).await;
    assert!((150..250).contains(&most), "{most} requests at once");
    assert!(
        stale <= Duration::from_secs(10),
        "{stale:?} without a request"
    );
}

#[tokio::test(start_paused = true)]
async fn long_polls_make_room_for_watches_that_come_later() {
    // Four connections: two for long polls.
    let mut script = Script::new(4);
    let _first = [script.watch("a"), script.watch("b")];
    let mut long = Vec::new();
    while long.len() < 2 {
        let asked = script.next().await;
        if asked.wait == Duration::from_secs(300) {
            long.push(asked);
        } else {
            sleep(asked.wait / 2).await;
            asked.answer(1, 10);
        }
    }
    let born = Instant::now();
    let mut late = script.watch("c");
    for asked in &mut long {
        timeout(Duration::from_secs(1), asked.reply.closed())
            .await
            .expect("cut");
    }
    let mut open = Vec::new();
    while open.len() < 2 {
        let asked = script.next().await;
        assert!(
            asked.at - born < Duration::from_secs(2),
            "{} asked after {:?}",
            asked.name,
            asked.at - born
        );
        if asked.position.blocks() {
            assert!(asked.wait < Duration::from_secs(5), "{:?}", asked.wait);
            open.push(asked.reply);
        } else {
            assert_eq!(asked.name, "c");
            asked.answer(3, 10);
            assert_eq!(value(&mut late).await, 3);
        }
    }
}
