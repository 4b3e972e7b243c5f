use std::{collections::BTreeSet, time::Duration};

use super::*;
use crate::{
    ErrorKind,
    pool::{BoxFuture, Offer, Open, Opened, PoolConfig},
    resolve::Readiness,
};

struct Nowhere;

impl Open for Nowhere {
    fn open(&self, _: Offer) -> BoxFuture<'static, Result<Opened, crate::Error>> {
        Box::pin(std::future::pending())
    }
    fn generation(&self) -> u64 {
        1
    }
    fn name(&self) -> &str {
        "nowhere"
    }
}

type Feed = tokio::sync::mpsc::UnboundedSender<Result<Vec<Instance>, BoxError>>;

fn cluster() -> (Cluster, Feed) {
    cluster_with(NODE_GRACE)
}

fn cluster_with(grace: Duration) -> (Cluster, Feed) {
    let (feed, items) = tokio::sync::mpsc::unbounded_channel();
    let resolution = futures_util::stream::unfold(items, async |mut items| {
        items.recv().await.map(|item| (item, items))
    });
    let make: Make = Box::new(|instance| {
        let address = instance.address.clone();
        Endpoint::new(
            instance.id.as_str().into(),
            address,
            Arc::new(Nowhere),
            PoolConfig::default(),
        )
    });
    let target = Target::new("api".parse().expect("a name"), "dc1");
    let cluster = Cluster::new(
        &Handle::current(),
        "api".into(),
        target,
        Box::pin(resolution),
        grace,
        make,
    );
    (cluster, feed)
}

fn instance(id: &str, readiness: Readiness) -> Instance {
    Instance::new(Address::new("127.0.0.1", 1))
        .with_id(id)
        .with_readiness(readiness)
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

fn used(cluster: &Cluster) -> BTreeSet<String> {
    let snapshot = cluster.snapshot();
    let snapshot = snapshot.as_ref().expect("a snapshot");
    snapshot
        .endpoints()
        .iter()
        .map(|endpoint| endpoint.name().to_owned())
        .collect()
}

fn set<const N: usize>(ids: [&str; N]) -> BTreeSet<String> {
    ids.into_iter().map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn an_error_keeps_the_last_set_and_is_shown() {
    let (cluster, feed) = cluster();
    feed.send(Ok(vec![instance("a", Readiness::Ready)]))
        .expect("a follower");
    settle().await;
    feed.send(Err("no leader".into())).expect("a follower");
    settle().await;
    assert_eq!(used(&cluster), set(["a"]));
    assert_eq!(
        cluster.problem().expect("a problem").error.to_string(),
        "no leader"
    );
    feed.send(Ok(vec![instance("b", Readiness::Ready)]))
        .expect("a follower");
    settle().await;
    assert_eq!(used(&cluster), set(["b"]));
    assert!(cluster.problem().is_none());
}

#[tokio::test(start_paused = true)]
async fn when_all_vanish_those_that_were_used_are_dialled_a_moment_longer() {
    let (cluster, feed) = cluster();
    let leaving = Readiness::Out("critical (check `mesh`)".into());
    feed.send(Ok(vec![
        instance("a", Readiness::Ready),
        instance("leaving", leaving.clone()),
    ]))
    .expect("sent");
    settle().await;
    for _ in 0..3 {
        feed.send(Ok(vec![])).expect("sent");
        tokio::time::sleep(VANISHED / 4).await;
        assert_eq!(used(&cluster), set(["a"]));
        let snapshot = cluster.snapshot();
        assert!(snapshot.as_ref().expect("a snapshot").in_grace());
    }
    tokio::time::sleep(VANISHED / 4).await;
    settle().await;
    assert_eq!(used(&cluster), set([]));
    let error = cluster.snapshot().as_ref().map(|one| one.no_endpoint());
    assert_eq!(
        error.expect("a snapshot").to_string(),
        "no endpoint of `api`: no instance of api in dc1 is known"
    );
    feed.send(Ok(vec![instance("a", leaving)])).expect("sent");
    settle().await;
    feed.send(Ok(vec![])).expect("sent");
    settle().await;
    assert_eq!(used(&cluster), set([]), "it had been out of use");
    let snapshot = cluster.snapshot();
    assert_eq!(snapshot.as_ref().expect("a snapshot").known(), 0);
}

#[tokio::test(start_paused = true)]
async fn instances_that_register_again_end_the_moment() {
    let (cluster, feed) = cluster();
    let ready = || Ok(vec![instance("a", Readiness::Ready)]);
    for _ in 0..5 {
        feed.send(ready()).expect("sent");
        settle().await;
        feed.send(Ok(vec![])).expect("sent");
        tokio::time::sleep(VANISHED / 2).await;
        assert_eq!(used(&cluster), set(["a"]));
        feed.send(ready()).expect("sent");
        tokio::time::sleep(VANISHED).await;
        assert_eq!(used(&cluster), set(["a"]));
        let snapshot = cluster.snapshot();
        assert!(!snapshot.as_ref().expect("a snapshot").in_grace());
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_comes_back_empty_within_the_grace_does_not_end_it() {
    let (cluster, feed) = cluster();
    let failing = Readiness::NodeFailing("critical (check `serfHealth`)".into());
    feed.send(Ok(vec![instance("a", failing)])).expect("sent");
    tokio::time::sleep(NODE_GRACE / 2).await;
    feed.send(Ok(vec![])).expect("sent");
    tokio::time::sleep(NODE_GRACE / 4).await;
    assert_eq!(used(&cluster), set(["a"]));
    tokio::time::sleep(NODE_GRACE / 4).await;
    settle().await;
    assert_eq!(used(&cluster), set([]));
}

#[tokio::test(start_paused = true)]
async fn without_a_grace_nothing_is_held() {
    let (cluster, feed) = cluster_with(Duration::ZERO);
    feed.send(Ok(vec![instance("a", Readiness::Ready)]))
        .expect("sent");
    settle().await;
    feed.send(Ok(vec![])).expect("sent");
    settle().await;
    assert_eq!(used(&cluster), set([]));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_flaps_keeps_its_load() {
    let (cluster, feed) = cluster();
    let both = |a: Readiness| vec![instance("a", a), instance("b", Readiness::Ready)];
    feed.send(Ok(both(Readiness::Ready))).expect("a follower");
    settle().await;
    let find = |cluster: &Cluster| {
        let snapshot = cluster.snapshot();
        let endpoints = snapshot.as_ref().expect("a snapshot").endpoints();
        Arc::clone(
            endpoints
                .iter()
                .find(|endpoint| endpoint.name() == "a")
                .expect("a"),
        )
    };
    let before = find(&cluster);
    feed.send(Ok(both(Readiness::Out("critical".into()))))
        .expect("a follower");
    settle().await;
    assert_eq!(used(&cluster), set(["b"]));
    feed.send(Ok(both(Readiness::Ready))).expect("a follower");
    settle().await;
    assert!(Arc::ptr_eq(&before, &find(&cluster)));
}

#[tokio::test(start_paused = true)]
async fn nodes_that_fail_all_at_once_are_dialled_for_a_grace() {
    let (cluster, feed) = cluster();
    let failing = || Readiness::NodeFailing("critical (check `serfHealth`)".into());
    feed.send(Ok(vec![
        instance("a", failing()),
        instance("b", Readiness::Ready),
    ]))
    .expect("sent");
    settle().await;
    assert_eq!(used(&cluster), set(["b"]), "one is ready");
    let all = || {
        vec![
            instance("a", failing()),
            instance("b", failing()),
            instance("c", Readiness::Out("in maintenance".into())),
        ]
    };
    feed.send(Ok(all())).expect("sent");
    settle().await;
    assert_eq!(used(&cluster), set(["a", "b"]));
    tokio::time::sleep(NODE_GRACE - Duration::from_secs(10)).await;
    feed.send(Ok(all())).expect("sent");
    settle().await;
    assert_eq!(
        used(&cluster),
        set(["a", "b"]),
        "a new answer does not begin it anew"
    );
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(used(&cluster), set([]));
    let error = cluster
        .snapshot()
        .as_ref()
        .expect("a snapshot")
        .no_endpoint();
    assert_eq!(error.kind(), ErrorKind::NoEndpoints);
    assert_eq!(
        error.to_string(),
        "no endpoint of `api`: 3 known; 2 critical (check `serfHealth`), 1 in maintenance"
    );
}

#[tokio::test(start_paused = true)]
async fn the_grace_ends_also_when_the_resolver_has_ended() {
    let (cluster, feed) = cluster();
    let failing = Readiness::NodeFailing("critical".into());
    feed.send(Ok(vec![instance("a", failing)])).expect("sent");
    drop(feed);
    settle().await;
    assert_eq!(used(&cluster), set(["a"]));
    tokio::time::sleep(NODE_GRACE).await;
    assert_eq!(used(&cluster), set([]));
}

#[tokio::test(start_paused = true)]
async fn a_pick_leaves_out_what_was_tried() {
    let (cluster, feed) = cluster();
    let ready = |id| instance(id, Readiness::Ready);
    feed.send(Ok(vec![ready("a"), ready("b"), ready("c")]))
        .expect("sent");
    settle().await;
    let snapshot = cluster.snapshot();
    let snapshot = snapshot.as_ref().expect("a snapshot");
    for bits in 0..200_u64 {
        let bits = bits.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut tried = Vec::new();
        for _ in 0..3 {
            let next = snapshot
                .pick(bits, Instant::now(), &tried)
                .expect("one is left");
            assert!(!tried.iter().any(|one| Arc::ptr_eq(one, next)));
            tried.push(Arc::clone(next));
        }
        assert!(snapshot.pick(bits, Instant::now(), &tried).is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn without_instances_the_error_says_so() {
    let (cluster, feed) = cluster();
    feed.send(Ok(vec![])).expect("sent");
    settle().await;
    let error = cluster
        .snapshot()
        .as_ref()
        .expect("a snapshot")
        .no_endpoint();
    assert_eq!(
        error.to_string(),
        "no endpoint of `api`: no instance of api in dc1 is known"
    );
}

#[tokio::test(start_paused = true)]
async fn a_grace_without_an_end_never_ends() {
    let (cluster, feed) = cluster_with(Duration::MAX);
    let failing = Readiness::NodeFailing("critical".into());
    feed.send(Ok(vec![instance("a", failing)])).expect("sent");
    tokio::time::sleep(NODE_GRACE * 1000).await;
    assert_eq!(used(&cluster), set(["a"]));
}
