//! Many watches of one client whose agent takes no connections.

use super::{
    server::{Mode, Server, failing},
    *,
};

/// The most requests in any second that begins with one of them.
fn most_in_a_second(asked: &[Instant]) -> usize {
    let within = |first: &Instant| {
        let until = *first + Duration::from_secs(1);
        asked
            .iter()
            .filter(|at| (*first..until).contains(*at))
            .count()
    };
    asked.iter().map(within).max().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn three_hundred_watches_ask_a_lost_agent_five_times_a_second_and_are_live_two_seconds_after_it()
 {
    let script = Script::new(32);
    let server = Server::new();
    let watches = server.watches(&script, 300);
    sleep(Duration::from_secs(60)).await;
    for away in [1, 10, 60, 600] {
        let before = server.asked().len();
        server.becomes(Mode::Gone);
        sleep(Duration::from_secs(away)).await;
        assert_eq!(failing(&watches), 300, "all know within {away} s");
        let asked = server.asked().split_off(before);
        let most = most_in_a_second(&asked);
        println!("{} connections in {away} s, {most} in one", asked.len());
        assert!(most <= 5, "{most}");
        server.becomes(Mode::Answers);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(failing(&watches), 0, "two seconds after {away} s");
        let asked = server.asked().split_off(before);
        let resumed = asked.len();
        assert!(resumed >= 300, "{resumed}");
        sleep(Duration::from_secs(60)).await;
    }
    let most = server.most();
    assert!(most <= 32, "{most} requests at once");
}

#[tokio::test(start_paused = true)]
async fn a_lost_agent_is_asked_again_within_a_quarter_of_a_second() {
    let script = Script::new(32);
    let server = Server::new();
    let _watches = server.watches(&script, 1);
    sleep(Duration::from_secs(60)).await;
    for _ in 0..20 {
        let before = server.asked().len();
        server.becomes(Mode::Gone);
        let lost = Instant::now();
        sleep(Duration::from_millis(500)).await;
        let asked = server.asked().split_off(before);
        let (first, second) = (asked[0] - lost, asked[1] - asked[0]);
        assert!(first <= Duration::from_millis(101), "{first:?}");
        assert!(second <= Duration::from_millis(253), "{second:?}");
        server.becomes(Mode::Answers);
        sleep(Duration::from_secs(60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_begins_to_watch_while_the_agent_is_away_is_told_so_without_asking() {
    let mut script = Script::new(32);
    let _first = script.watch("a");
    script.next().await.fail(away());
    settle().await;
    let mut late = script.watch("b");
    let error = item(&mut late).await.expect_err("the agent is away");
    assert!(error.is_connect());
    let text = error.to_string();
    assert!(text.contains("/v1/b"), "its own question: {text}");
    assert_eq!(late.status().requests, 0);
    assert!(script.nothing_asked());
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_answers_with_an_error_is_there() {
    let mut script = Script::new(32);
    let (_a, _b) = (script.watch("a"), script.watch("b"));
    script.next().await.fail(away());
    script.next().await.fail(away());
    let probe = script.next().await;
    let name = probe.name;
    probe.fail(status(500));
    let answered = Instant::now();
    loop {
        let asked = script.next().await;
        let after = asked.at - answered;
        if asked.name != name {
            assert!(after <= Duration::from_millis(251), "{after:?}");
            break;
        }
        asked.fail(status(500));
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_is_no_lost_agent() {
    let mut script = Script::new(32);
    let (_a, _b) = (script.watch("a"), script.watch("b"));
    for _ in 0..2 {
        script.next().await.answer(1, 10);
    }
    let (broken, other) = (script.next().await, script.next().await);
    let name = other.name;
    broken.fail(Error::new(Kind::Transport, "reading /v1/x"));
    other.answer(2, 11);
    let next = script.next().await;
    assert_eq!((next.name, next.index()), (name, Some(11)), "it goes on");
}
