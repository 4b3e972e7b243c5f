//! A host whose clock is ten minutes wrong is told so, and nothing falls over because of it.

use std::{error::Error, sync::Arc, time::Duration};

use consul_connect::{
    Closing, ConnectFailure, Connector, Destination, Identity, IdentityConfig, IdentityError,
    InvalidPeer, Layer, Listener, Refused,
    authorize::dangerously_allow_all,
    identity::source::{self, Pusher},
    test_util::{LeafSpec, TestCa, TestClock},
};
use mesh_tests::{
    TD, echo_once,
    stress::{NOWHERE, in_memory},
};

const TEN_MINUTES: i64 = 600;
const HOURS: Duration = Duration::from_secs(3 * 3600);

/// A member under a clock of its own, with a leaf that is valid from `from` seconds from now for `length`.
async fn member(
    ca: &TestCa,
    service: &str,
    clock: &Arc<TestClock>,
    from: i64,
    length: Duration,
) -> (Identity, Pusher) {
    let (pusher, source) = source::channel();
    let spec = LeafSpec::new(&ca.id(service)).valid(from, length);
    pusher.push(Ok(ca.issue(&spec)));
    let config = IdentityConfig::default().time_provider(clock.clone());
    let identity = Identity::connect(source, config).await;
    (identity.expect("an identity"), pusher)
}

async fn listener(identity: &Identity) -> Listener {
    Listener::builder(identity.clone(), Arc::new(dangerously_allow_all()))
        .layer(Layer::Request)
        .bind("127.0.0.1:0")
        .await
        .expect("a listener")
}

fn about(found: Duration, expected: u64) -> bool {
    found.as_secs().abs_diff(expected) < 60
}

#[tokio::test]
async fn a_peer_whose_leaf_begins_later_than_our_clock_is_refused_with_the_skew() {
    let ca = TestCa::new(TD);
    let slow = Arc::new(TestClock::shifted(-TEN_MINUTES));
    let right = Arc::new(TestClock::shifted(0));
    // As Consul issues: valid since a minute ago.
    let (fresh, _fresh) = member(&ca, "api", &right, -60, HOURS).await;
    let (behind, _behind) = member(&ca, "web", &slow, -3600, HOURS).await;

    // The client is behind.
    let server = listener(&fresh).await;
    let destination = Destination::new(NOWHERE, ca.id("api"));
    let (connected, accepted) =
        in_memory(&Connector::new(behind.clone()), &server, &destination).await;
    let error = connected.expect_err("its leaf is of the future");
    let ConnectFailure::Peer(InvalidPeer::NotYetValid { skew }) = error.failure() else {
        panic!("{error}");
    };
    assert!(about(*skew, 540), "{skew:?}");
    assert!(error.to_string().contains("compare the clocks"), "{error}");
    let refused = accepted.expect_err("refused");
    assert!(matches!(refused, Refused::ByPeer { .. }), "{refused}");

    // The server is.
    let server = listener(&behind).await;
    let destination = Destination::new(NOWHERE, ca.id("web"));
    let (_, accepted) = in_memory(&Connector::new(fresh), &server, &destination).await;
    let refused = accepted.expect_err("its leaf is of the future");
    let Refused::Peer(InvalidPeer::NotYetValid { skew }) = &refused else {
        panic!("{refused}");
    };
    assert!(about(*skew, 540), "{skew:?}");
    assert_eq!(refused.code(), "not_yet_valid");

    // Once the clock is set, both ways work.
    slow.shift(0);
    let web = ca.id("web");
    let client = Connector::new(behind);
    let (fresh, _) = ca.identity("api").await.expect("an identity");
    let (connected, accepted) = in_memory(
        &client,
        &listener(&fresh).await,
        &Destination::new(NOWHERE, ca.id("api")),
    )
    .await;
    let accepted = accepted.expect("accepted");
    assert_eq!(accepted.remote.peer().expect("a caller").id(), &web);
    echo_once(connected.expect("connected").stream, accepted.stream).await;
}

#[tokio::test]
async fn a_clock_ahead_refuses_what_has_expired_by_it_and_says_since_when() {
    let ca = TestCa::new(TD);
    let fast = Arc::new(TestClock::shifted(TEN_MINUTES));
    let right = Arc::new(TestClock::shifted(0));
    let short = Duration::from_secs(6 * 60);
    let (api, _api) = member(&ca, "api", &right, -60, short).await;
    let (ahead, _ahead) = member(&ca, "web", &fast, -3600, HOURS).await;
    let destination = Destination::new(NOWHERE, ca.id("api"));
    let server = listener(&api).await;
    let (connected, _) = in_memory(&Connector::new(ahead), &server, &destination).await;
    let error = connected.expect_err("expired by our clock");
    let ConnectFailure::Peer(InvalidPeer::Expired { since }) = error.failure() else {
        panic!("{error}");
    };
    assert!(about(*since, 300), "{since:?}");

    // The same clock on the one whose leaf it is.
    right.shift(TEN_MINUTES);
    let (web, _) = ca.identity("web").await.expect("an identity");
    let (_, accepted) = in_memory(&Connector::new(web), &server, &destination).await;
    let refused = accepted.expect_err("our own leaf is over");
    assert!(
        matches!(refused, Refused::OwnLeafExpired { .. }),
        "{refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_start_with_a_clock_behind_waits_for_its_leaf_and_says_why() {
    let ca = TestCa::new(TD);
    let slow = Arc::new(TestClock::shifted(-TEN_MINUTES));
    let (pusher, source) = source::channel();
    pusher.push(Ok(ca.material("web")));
    let config = IdentityConfig::default().time_provider(slow.clone());
    let error = Identity::connect(source, config)
        .await
        .expect_err("no leaf is valid");
    assert!(matches!(error, IdentityError::TimedOut { .. }), "{error}");
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        said += &format!(": {deeper}");
        cause = deeper.source();
    }
    assert!(said.contains("not valid for another 9 min"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_ends_what_it_says_has_expired_and_nothing_else() {
    let ca = TestCa::new(TD);
    let clock = Arc::new(TestClock::shifted(0));
    let short = Duration::from_secs(6 * 60);
    let (api, _api) = member(&ca, "api", &clock, -60, short).await;
    let (web, _) = ca.identity("web").await.expect("an identity");
    let server = listener(&api).await;
    let destination = Destination::new(NOWHERE, ca.id("api"));
    let connector = Connector::new(web);
    let (connected, accepted) = in_memory(&connector, &server, &destination).await;
    let (connected, mut accepted) = (connected.expect("connected"), accepted.expect("accepted"));

    // Back: the leafs of an open connection have been valid once.
    clock.shift(-TEN_MINUTES);
    let stays = tokio::time::timeout(HOURS, accepted.guard.closing()).await;
    assert!(stays.is_err(), "{stays:?}");

    clock.shift(TEN_MINUTES);
    let told = tokio::time::timeout(Duration::from_secs(61), accepted.guard.closing()).await;
    let Ok(Closing::Drain { reason, .. }) = &told else {
        panic!("{told:?}");
    };
    assert_eq!(reason.code(), "expired");
    drop(connected);
}
