//! What an identity publishes, and when, from what a source delivers.

use std::{sync::Arc, time::Duration};

use consul_connect::{
    Identity, IdentityConfig, IdentityError,
    identity::source::{channel, fixed},
    test_util::{LeafSpec, TestCa, TestClock},
};
use futures_util::poll;
use std::pin::pin;
use tokio::time::Instant;

const DOMAIN: &str = "11111111-2222-3333-4444-555555555555.consul";
const DAY: Duration = Duration::from_secs(86_400);

fn with_clock(clock: &Arc<TestClock>) -> IdentityConfig {
    IdentityConfig::default()
        .time_provider(Arc::clone(clock) as _)
        .ready_within(Duration::from_secs(300))
}

#[tokio::test(start_paused = true)]
async fn a_first_leaf_whose_time_has_not_come_is_taken_when_it_has() {
    let ca = TestCa::new(DOMAIN);
    let spec = LeafSpec::new(&ca.id("web"));
    let clock = Arc::new(TestClock::shifted(0));
    let early = fixed(ca.issue(&spec.valid(20, DAY)));
    let start = Instant::now();
    let mut connecting = pin!(Identity::connect(early, with_clock(&clock)));
    assert!(poll!(&mut connecting).is_pending(), "it waits");
    clock.shift(30);
    connecting.await.expect("the leaf is valid by then");
    // Whole seconds of a clock that really runs: one may have passed.
    let waited = start.elapsed().as_secs();
    assert!((20..=21).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn a_leaf_far_ahead_is_looked_at_each_minute_and_the_deadline_says_why() {
    let ca = TestCa::new(DOMAIN);
    let clock = Arc::new(TestClock::shifted(0));
    let early = fixed(ca.issue(&LeafSpec::new(&ca.id("web")).valid(3600, DAY)));
    let refused = Identity::connect(early, with_clock(&clock)).await;
    let Err(IdentityError::TimedOut { last: Some(_), .. }) = refused else {
        panic!("{refused:?}");
    };
    let early = fixed(ca.issue(&LeafSpec::new(&ca.id("web")).valid(3600, DAY)));
    let start = Instant::now();
    let mut connecting = pin!(Identity::connect(early, with_clock(&clock)));
    assert!(poll!(&mut connecting).is_pending(), "it waits");
    clock.shift(3610);
    connecting.await.expect("a clock was set");
    assert_eq!(start.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_renewed_leaf_whose_time_has_not_come_is_taken_when_it_has() {
    let ca = TestCa::new(DOMAIN);
    let clock = Arc::new(TestClock::shifted(0));
    let (pusher, source) = channel();
    pusher.push(Ok(ca.material("web")));
    let identity = Identity::connect(source, with_clock(&clock))
        .await
        .expect("an identity");
    let mut changes = identity.changes();
    pusher.push(Ok(ca.issue(&LeafSpec::new(&ca.id("web")).valid(20, DAY))));
    tokio::task::yield_now().await;
    assert!(identity.status().fault.is_some(), "{}", identity.status());
    assert_eq!(identity.current().generation(), 1);
    clock.shift(30);
    changes.changed().await.expect("it is published");
    assert!(identity.status().fault.is_none(), "{}", identity.status());
}

#[tokio::test(start_paused = true)]
async fn newer_material_replaces_a_leaf_that_waits_for_its_time() {
    let ca = TestCa::new(DOMAIN);
    let clock = Arc::new(TestClock::shifted(0));
    let (pusher, source) = channel();
    pusher.push(Ok(ca.issue(&LeafSpec::new(&ca.id("web")).valid(20, DAY))));
    let mut connecting = pin!(Identity::connect(source, with_clock(&clock)));
    assert!(poll!(&mut connecting).is_pending(), "it waits");
    pusher.push(Ok(ca.material("web")));
    let identity = connecting.await.expect("the newer one");
    let serial = identity.status().leaf_serial;
    clock.shift(30);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(identity.status().leaf_serial, serial);
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_root_ends_at_once_though_it_signed_our_own_leaf() {
    let (old, new) = (TestCa::new(DOMAIN), TestCa::new(DOMAIN));
    let (pusher, source) = channel();
    let mut material = old.material("web");
    pusher.push(Ok(material.clone()));
    let identity = Identity::connect(source, IdentityConfig::default())
        .await
        .expect("an identity");
    let mut changes = identity.changes();
    let before = identity.current();

    material.roots_pem = vec![new.root_pem().to_owned()];
    pusher.push(Ok(material));
    changes.changed().await.expect("it is published");
    let current = identity.current();
    assert_ne!(current.roots(), before.roots());
    assert_eq!(current.leaf().serial(), before.leaf().serial());
    assert!(identity.status().fault.is_some(), "{}", identity.status());

    pusher.push(Ok(new.material("web")));
    changes.changed().await.expect("signed anew");
    assert!(identity.status().fault.is_none(), "{}", identity.status());
}

#[tokio::test(start_paused = true)]
async fn a_new_leaf_and_roots_that_do_not_anchor_it_change_nothing() {
    let (old, new) = (TestCa::new(DOMAIN), TestCa::new(DOMAIN));
    let (identity, pusher) = old.identity("web").await.expect("an identity");
    let mut torn = old.material("web");
    torn.roots_pem = vec![new.root_pem().to_owned()];
    pusher.push(Ok(torn));
    tokio::task::yield_now().await;
    assert!(identity.status().fault.is_some(), "{}", identity.status());
    assert_eq!(identity.current().generation(), 1);
}
