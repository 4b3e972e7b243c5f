use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use tokio::{task::JoinSet, time::advance};

use super::*;
use crate::error::Kind;

/// A server that refuses while it is told to, and at most so many a second in any case.
#[derive(Debug, Default)]
struct Server {
    refuses: AtomicBool,
    rate: Option<usize>,
    asked: AtomicUsize,
    answered: AtomicUsize,
    of_this_second: std::sync::Mutex<(u64, usize)>,
}

impl Server {
    async fn ask(&self, began: Instant) -> bool {
        self.asked.fetch_add(1, Relaxed);
        sleep(ROUND_TRIP).await;
        if self.refuses.load(Relaxed) {
            return false;
        }
        let mut of_this_second = self.of_this_second.lock().expect("no panic");
        let second = began.elapsed().as_secs();
        if of_this_second.0 != second {
            *of_this_second = (second, 0);
        }
        of_this_second.1 += 1;
        let good = self.rate.is_none_or(|rate| of_this_second.1 <= rate);
        if good {
            self.answered.fetch_add(1, Relaxed);
        }
        good
    }
}

const ROUND_TRIP: Duration = Duration::from_millis(2);

fn limit(local: bool) -> Breaker {
    Breaker::new(Trouble::Limited, Backoff::new(local))
}

fn refusal() -> Error {
    Error::new(Kind::Api, "reading /v1/x").with_status(http::StatusCode::TOO_MANY_REQUESTS)
}

/// That many watches that are refused until they are answered once.
fn watches(count: usize, local: bool, server: &Arc<Server>) -> JoinSet<()> {
    let limit = Arc::new(limit(local));
    let began = Instant::now();
    let mut watches = JoinSet::new();
    for _ in 0..count {
        let (limit, server) = (Arc::clone(&limit), Arc::clone(server));
        watches.spawn(async move {
            loop {
                let sent = limit.now();
                if server.ask(began).await {
                    limit.reset(sent);
                    return;
                }
                limit.trip(sent, &refusal());
                limit.pass().await;
            }
        });
    }
    watches
}

#[tokio::test(start_paused = true)]
async fn three_hundred_limited_watches_ask_about_once_a_second_and_are_live_within_two() {
    for seconds in [1, 3, 10, 60, 600] {
        let server = Arc::new(Server {
            refuses: true.into(),
            ..Server::default()
        });
        let watches = watches(300, true, &server);
        sleep(Duration::from_secs(seconds)).await;
        let asked = server.asked.load(Relaxed) - 300;
        let most = usize::try_from(seconds * 4 / 3).expect("few") + 1;
        assert!(asked <= most, "{asked} probes in {seconds} s");
        server.refuses.store(false, Relaxed);
        let over = Instant::now();
        watches.join_all().await;
        let late = over.elapsed();
        assert!(late < Duration::from_millis(1600), "{late:?}");
        let asked = server.asked.load(Relaxed);
        assert!(asked <= 300 + most + 300 + 2, "{asked}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_elsewhere_is_asked_less_and_less_often() {
    let server = Arc::new(Server {
        refuses: true.into(),
        ..Server::default()
    });
    let _watches = watches(300, false, &server);
    sleep(Duration::from_secs(600)).await;
    let asked = server.asked.load(Relaxed) - 300;
    assert!((20..=80).contains(&asked), "{asked} probes in 600 s");
}

#[tokio::test(start_paused = true)]
async fn a_trickle_is_used_and_not_overrun() {
    let server = Arc::new(Server {
        rate: Some(5),
        ..Server::default()
    });
    let watches = watches(100, true, &server);
    let began = Instant::now();
    watches.join_all().await;
    let seconds = began.elapsed().as_secs();
    let (asked, answered) = (server.asked.load(Relaxed), server.answered.load(Relaxed));
    assert_eq!(answered, 100);
    assert!(seconds <= 60, "{seconds} s for 100 answers at 5 a second");
    assert!(asked <= 100 + 100 + 300, "{asked} requests in {seconds} s");
}

#[tokio::test(start_paused = true)]
async fn a_question_that_stays_limited_holds_up_no_other() {
    let limit = Arc::new(limit(true));
    limit.trip(limit.now(), &refusal());
    let stuck = Arc::clone(&limit);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            stuck.pass().await;
            stuck.trip(stuck.now(), &refusal());
        }
    });
    let other = async {
        let began = Instant::now();
        limit.pass().await;
        began.elapsed()
    };
    assert!(other.await < Duration::from_millis(2100));
}

#[tokio::test(start_paused = true)]
async fn late_news_from_before_a_change_is_no_news() {
    let limit = limit(true);
    let before = limit.now();
    limit.trip(before, &refusal());
    let limited = limit.now();
    assert!(!limit.reset(before), "it was sent before the limit");
    assert!(limit.reset(limited));
    assert!(!limit.reset(limited), "once");
    limit.trip(limited, &refusal());
    advance(Duration::from_millis(1)).await;
    let began = Instant::now();
    limit.pass().await;
    assert!(began.elapsed() <= limit.spread(), "it is not limited");
}
