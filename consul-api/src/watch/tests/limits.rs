//! Many watches of one client whose rate is limited.

use super::{
    server::{Mode, Server, failing},
    *,
};

#[tokio::test(start_paused = true)]
async fn three_hundred_watches_honour_a_limit_and_are_live_two_seconds_after_it() {
    let script = Script::new(32);
    let server = Server::new();
    let watches = server.watches(&script, 300);
    sleep(Duration::from_secs(60)).await;
    let mut returns = script.hub.returns();
    for limited in [1, 10, 60] {
        server.becomes(Mode::Limits);
        // A poll that is open is answered; who asks next is refused.
        sleep(Duration::from_secs(10)).await;
        assert_eq!(failing(&watches), 300);
        let before = server.asked().len();
        sleep(Duration::from_secs(limited)).await;
        let asked = server.asked().len() - before;
        println!("{asked} requests in {limited} s");
        assert!(asked as u64 <= limited * 4 / 3 + 1, "{asked}");
        server.becomes(Mode::Answers);
        returns.mark_unchanged();
        let told = *returns.borrow();
        sleep(Duration::from_secs(2)).await;
        assert_eq!(failing(&watches), 0);
        assert_eq!(*returns.borrow(), told + 1, "one return of the server");
        sleep(Duration::from_secs(20)).await;
    }
    let most = server.most();
    assert!(most <= 32, "{most} requests at once");
}

#[tokio::test(start_paused = true)]
async fn a_watch_alone_is_live_two_seconds_after_a_limit_too() {
    let script = Script::new(32);
    let server = Server::new();
    server.becomes(Mode::Limits);
    let (mut watch, _) = server.watches(&script, 1).remove(0);
    sleep(Duration::from_secs(3600)).await;
    server.becomes(Mode::Answers);
    let over = Instant::now();
    item(&mut watch).await.expect_err("it was refused");
    item(&mut watch).await.expect("it is answered");
    assert!(
        over.elapsed() < Duration::from_secs(2),
        "{:?}",
        over.elapsed()
    );
}
