//! More watches than connections.

use super::{server::Server, *};

/// Runs `count` watches for five minutes: the most requests open at once, and the longest time any watch had none.
async fn run(count: usize, connections: usize, multiplexed: bool) -> (usize, Duration) {
    let script = Script::new(connections);
    if multiplexed {
        script.hub.multiplexed();
    }
    let server = Server::new();
    let watches = server.watches(&script, count);
    sleep(Duration::from_secs(300)).await;
    let unasked = watches.iter().map(|(_, server)| server.longest_unasked());
    (server.most(), unasked.max().unwrap_or_default())
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
