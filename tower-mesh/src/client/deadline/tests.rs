use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};

use super::*;
use crate::body::{Body, Sent};

const LIMIT: Duration = Duration::from_secs(10);

/// A body that always has another piece.
fn endless() -> (Body, Upload) {
    let (sent, upload) = Sent::channel();
    let pieces = futures_util::stream::repeat_with(|| {
        Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"piece")))
    });
    (
        Body::outgoing(StreamBody::new(Box::pin(pieces)), Some(sent)),
        upload,
    )
}

/// A body whose caller has nothing to give.
fn silent() -> (Body, Upload) {
    let (sent, upload) = Sent::channel();
    let pieces = futures_util::stream::pending::<Result<Frame<Bytes>, std::io::Error>>();
    (Body::outgoing(StreamBody::new(pieces), Some(sent)), upload)
}

/// When, in seconds, a call with this limit is late, and how, while `script` runs.
async fn late(
    limit: Limit,
    pause: Option<Duration>,
    upload: Upload,
    script: impl AsyncFnOnce(&Phase),
) -> (u64, Late) {
    let began = Instant::now();
    let phase = Phase::new(Some(&upload));
    let script = async {
        script(&phase).await;
        pending().await
    };
    let late = tokio::select! {
        late = limit.passed(upload, pause, &phase) => late,
        never = script => never,
    };
    (began.elapsed().as_secs(), late)
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_the_peer_stops_reading_is_late() {
    let (mut body, upload) = endless();
    let reading = async |phase: &Phase| {
        phase.set(Phase::ANSWER);
        for _ in 0..100 {
            body.frame().await.expect("a piece").expect("no error");
            sleep(LIMIT / 2).await;
        }
        sleep(LIMIT * 100).await;
    };
    // The last piece is read half a limit before the reading ends.
    let (when, how) = late(Limit::Head(LIMIT), Some(LIMIT), upload, reading).await;
    assert_eq!((when, how), (99 * 5 + 10, Late::Reading(LIMIT)));
}

#[tokio::test(start_paused = true)]
async fn an_upload_whose_caller_pauses_is_not_late() {
    let (mut body, upload) = silent();
    let waiting = async |phase: &Phase| {
        phase.set(Phase::ANSWER);
        let nothing = body.frame();
        sleep(LIMIT / 2).await;
        assert!(nothing.now_or_never().is_none());
        sleep(LIMIT * 100).await;
        drop(body);
    };
    // Half a limit until it is asked for, a hundred until it is over, one for the head.
    let (when, how) = late(Limit::Head(LIMIT), Some(LIMIT), upload, waiting).await;
    assert_eq!((when, how), (5 + 1000 + 10, Late::Answer));
}

#[tokio::test(start_paused = true)]
async fn each_try_to_connect_has_the_whole_limit() {
    let (_body, upload) = endless();
    let connecting = async |phase: &Phase| {
        for _ in 0..3 {
            phase.set(Phase::CONNECT);
            sleep(LIMIT * 9 / 10).await;
            phase.set(Phase::ANSWER);
        }
        phase.set(Phase::CONNECT);
    };
    let (when, how) = late(Limit::Head(LIMIT), Some(LIMIT), upload, connecting).await;
    assert_eq!((when, how), (3 * 9 + 10, Late::Answer));
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_its_own_goes_before_the_limit_on_heads() {
    let pause = Duration::from_secs(2);
    let far = Instant::now() + LIMIT * 100;
    for limit in [
        Limit::Head(LIMIT),
        Limit::None,
        Limit::Call(LIMIT * 100, far),
    ] {
        let (_body, upload) = endless();
        let stuck = async |phase: &Phase| {
            phase.set(Phase::CONNECT);
            sleep(LIMIT / 2).await;
            phase.set(Phase::ANSWER);
        };
        let (when, how) = late(limit, Some(pause), upload, stuck).await;
        assert_eq!((when, how), (5 + 2, Late::Reading(pause)), "{limit:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_limit_is_never_late() {
    for limit in [Limit::None, Limit::Head(Duration::MAX)] {
        let (_body, upload) = endless();
        let phase = Phase::new(Some(&upload));
        let passed = limit.passed(upload, limit.of_head(), &phase);
        let year = Duration::from_secs(365 * 24 * 3600);
        assert!(tokio::time::timeout(year, passed).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_nothing_is_late_at_once() {
    let (mut body, upload) = silent();
    let asking = async |phase: &Phase| {
        phase.set(Phase::ANSWER);
        assert!(body.frame().now_or_never().is_none());
        drop(body);
    };
    let zero = Duration::ZERO;
    let (when, how) = late(Limit::Head(zero), Some(zero), upload, asking).await;
    assert_eq!(when, 0, "{how:?}");
}
