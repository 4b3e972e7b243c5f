//! The load generator counts every request once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use mesh_lab::load::{Load, Report};
use tokio::time::{Instant, sleep};

fn is_complete(report: &Report) {
    assert_eq!(
        report.started,
        report.ok + report.failed() + report.in_flight()
    );
    assert_eq!(report.latencies.count(), report.ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_number_is_sent_once_and_every_failure_has_its_class() {
    let sum = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&sum);
    let report = Load::new(16)
        .requests(10_000)
        .run(move |n| {
            seen.fetch_add(n, Ordering::Relaxed);
            async move {
                tokio::task::yield_now().await;
                match n % 100 {
                    0 => Err("refused"),
                    1 => Err("reset"),
                    _ => Ok(()),
                }
            }
        })
        .await;
    is_complete(&report);
    assert_eq!(sum.load(Ordering::Relaxed), (0..10_000).sum::<u64>());
    assert_eq!((report.started, report.ok), (10_000, 9_800));
    assert_eq!(
        (report.failed_as("refused"), report.failed_as("reset")),
        (100, 100)
    );
    assert_eq!((report.failed(), report.in_flight()), (200, 0));
}

#[tokio::test(start_paused = true)]
async fn no_more_are_under_way_than_there_are_workers() {
    let now = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (count, highest) = (Arc::clone(&now), Arc::clone(&most));
    let report = Load::new(7)
        .requests(100)
        .run(move |_| {
            let (count, highest) = (Arc::clone(&count), Arc::clone(&highest));
            async move {
                highest.fetch_max(count.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                sleep(Duration::from_millis(10)).await;
                count.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, String>(())
            }
        })
        .await;
    is_complete(&report);
    assert_eq!(most.load(Ordering::SeqCst), 7);
    // 15 rounds of 7
    assert_eq!(report.elapsed.as_millis(), 150);
    assert_eq!(report.latency(0.5).as_millis(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept_and_a_stall_is_seen_by_all_who_had_to_wait() {
    let began = Instant::now();
    let report = Load::new(1)
        .rate(100.0)
        .requests(200)
        .run(async |n| {
            if n == 100 {
                sleep(Duration::from_millis(500)).await;
            }
            Ok::<_, String>(())
        })
        .await;
    is_complete(&report);
    assert_eq!(began.elapsed().as_millis(), 1990);
    // 50 requests were due while nothing moved.
    assert!(report.latency(0.73).is_zero() || report.latency(0.73) < Duration::from_millis(10));
    assert!(report.latency(0.80) >= Duration::from_millis(50));
    assert_eq!(report.latencies.max().as_millis(), 500);
}

#[tokio::test(start_paused = true)]
async fn stopped_it_counts_those_it_did_not_wait_for_as_in_flight() {
    let running = Load::new(10).start(async |n| {
        if n >= 20 {
            std::future::pending::<()>().await;
        }
        sleep(Duration::from_millis(1)).await;
        Ok::<_, String>(())
    });
    running.until_done(20).await;
    let report = running.report();
    is_complete(&report);
    let report = running.stop(Duration::from_secs(1)).await;
    is_complete(&report);
    assert_eq!(
        (report.started, report.ok, report.in_flight()),
        (30, 20, 10)
    );
}

#[tokio::test(start_paused = true)]
async fn stopped_at_a_rate_it_sends_no_more_and_loses_none() {
    let running = Load::new(4).rate(10.0).start(async |_| Ok::<_, String>(()));
    running.until_done(5).await;
    let began = Instant::now();
    let report = running.stop(Duration::from_secs(60)).await;
    assert!(
        began.elapsed().is_zero(),
        "it waited for a request not sent"
    );
    is_complete(&report);
    assert_eq!(report.in_flight(), 0);
    assert!((5..=6).contains(&report.ok), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure_and_the_worker_goes_on() {
    let report = Load::new(2)
        .requests(10)
        .run(async |n| {
            sleep(Duration::from_millis(10)).await;
            assert_ne!(n, 4, "expected by this test");
            Ok::<_, String>(())
        })
        .await;
    is_complete(&report);
    assert_eq!((report.ok, report.failed_as("panicked")), (9, 1));
    let failures = &report.failures["panicked"];
    assert_eq!(
        (failures.first.as_millis(), failures.last.as_millis()),
        (30, 30)
    );
    let shown = report.to_string();
    assert!(
        shown.contains("10 started in 50.000ms: 9 ok (180/s), 1 failed, 0 in flight"),
        "{shown}"
    );
    assert!(
        shown.contains("\n  1 failed from 30.000ms to 30.000ms: panicked"),
        "{shown}"
    );
}
