//! More than one endpoint, or none.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    routing::{get, post},
};
use consul_connect::{Address, authorize::dangerously_allow_all};
use futures_util::future::join_all;
use tower_mesh::{
    Client, ErrorKind,
    resolve::{Instance, Readiness, Target, fixed},
    serve::Server,
};

use crate::world::{BOTH, HTTP11, World};

fn named(name: &'static str) -> Router {
    Router::new()
        .route("/", get(async move || name))
        .route("/", post(async move || name))
}

#[tokio::test]
async fn what_was_not_sent_goes_to_another_endpoint_whatever_it_is() {
    for alpn in [BOTH, HTTP11] {
        let mut world = World::new().await;
        let live = world.serve("api", alpn, named("live")).await;
        let client = world.client([live, world.nowhere().await, world.nowhere().await]);
        for _ in 0..50 {
            let response = client
                .post("/")
                .body("once")
                .send()
                .await
                .expect("a response");
            assert_eq!(response.text().await.expect("text"), "live");
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_is_somebody_else_is_told_and_passed_over() {
    let mut world = World::new().await;
    let other = world.serve("billing", BOTH, named("other")).await;
    let alone = world.client([other]);
    let error = alone.get("/").send().await.expect_err("not api");
    assert_eq!(error.kind(), ErrorKind::Identity);
    let cause = std::error::Error::source(&error)
        .expect("a cause")
        .to_string();
    assert!(
        cause.contains("svc/billing") && cause.contains("svc/api"),
        "{cause}"
    );

    let live = world.serve("api", BOTH, named("live")).await;
    let client = world.client([other, live]);
    for _ in 0..10 {
        let response = client.get("/").send().await.expect("a response");
        assert_eq!(response.text().await.expect("text"), "live");
    }
}

#[tokio::test]
async fn without_an_endpoint_the_error_is_immediate_and_says_why() {
    let world = World::new().await;
    let out = |id: &str, why: &'static str| {
        Instance::new(Address::new("10.0.0.1", 1))
            .with_id(id)
            .with_readiness(Readiness::Out(why.into()))
    };
    let instances = [
        out("a", "critical"),
        out("b", "critical"),
        out("c", "in maintenance"),
    ];
    let name = "api".parse().expect("a name");
    let client = Client::with_resolver(world.web.clone(), name, fixed(instances));
    let error = client.get("/").send().await.expect_err("no endpoint");
    assert!(error.is_no_endpoints() && error.is_unsent());
    assert_eq!(
        error.to_string(),
        "no endpoint of `api`: 3 known; 2 critical, 1 in maintenance"
    );
    assert_eq!(client.status().out.len(), 3);
}

#[tokio::test]
async fn the_first_call_waits_for_the_first_answer_and_no_longer_than_it_may() {
    let mut world = World::new().await;
    let live = world.serve("api", BOTH, named("live")).await;
    let (answer, answered) = tokio::sync::watch::channel(None);
    let resolve = move |_: &Target| {
        let mut answered = answered.clone();
        futures_util::stream::once(async move {
            let instances: Option<Vec<Instance>> = answered
                .wait_for(Option::is_some)
                .await
                .expect("an answer")
                .clone();
            Ok::<_, tower_mesh::resolve::ResolveError>(instances.unwrap_or_default())
        })
    };
    let client = Client::with_resolver(world.web.clone(), "api".parse().expect("a name"), resolve);
    let limit = Duration::from_millis(50);
    let error = client
        .get("/")
        .timeout(limit)
        .send()
        .await
        .expect_err("nobody knows");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(
        error.to_string(),
        "calling `api`: where it is was not known within 50ms"
    );
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.get("/").send().await }
    });
    answer.send_replace(Some(vec![Instance::new(Address::Tcp(live))]));
    waiting.await.expect("no panic").expect("a response");
}

#[tokio::test]
async fn a_request_whose_endpoint_is_replaced_meanwhile_goes_to_the_new_one() {
    let mut world = World::new().await;
    let live = world.serve("api", BOTH, named("live")).await;
    // Accepts and shakes no hands.
    let old = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a socket");
    let at = |address| vec![Instance::new(Address::Tcp(address))];
    let (feed, fed) = tokio::sync::watch::channel(at(old.local_addr().expect("an address")));
    let resolve = move |_: &Target| {
        let mut fed = fed.clone();
        fed.mark_changed();
        futures_util::stream::unfold(fed, async |mut fed| {
            fed.changed().await.ok()?;
            let instances = fed.borrow_and_update().clone();
            Some((Ok::<_, tower_mesh::resolve::ResolveError>(instances), fed))
        })
    };
    let client = Client::with_resolver(world.web.clone(), "api".parse().expect("a name"), resolve);
    let calling = client.clone();
    let call = tokio::spawn(async move { calling.post("/").send().await });
    let (dialled, _) = old.accept().await.expect("a dial");

    feed.send_replace(at(live));
    while !client.status().usable[0].name.contains(&live.to_string()) {
        tokio::task::yield_now().await;
    }
    drop((dialled, old));

    let response = call.await.expect("no panic").expect("a response");
    assert_eq!(response.text().await.expect("text"), "live");
}

#[tokio::test]
async fn weights_are_honoured() {
    let mut world = World::new().await;
    let light = world.serve("api", BOTH, named("light")).await;
    let heavy = world.serve("api", BOTH, named("heavy")).await;
    let instances = [
        Instance::new(Address::Tcp(light)),
        Instance::new(Address::Tcp(heavy)).with_weight(4),
    ];
    let client = Client::with_resolver(
        world.web.clone(),
        "api".parse().expect("a name"),
        fixed(instances),
    );
    let mut shares: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..60 {
        let answers = join_all((0..10).map(|_| async {
            client
                .get("/")
                .send()
                .await
                .expect("a response")
                .text()
                .await
                .expect("text")
        }));
        for name in answers.await {
            *shares.entry(name).or_default() += 1;
        }
    }
    assert!(shares["heavy"] > 2 * shares["light"], "{shares:?}");
    assert!(shares["light"] > 0, "{shares:?}");
}

#[tokio::test]
async fn a_server_that_leaves_in_order_costs_no_request() {
    let world = World::new().await;
    let served = Arc::new(AtomicUsize::new(0));
    let mut addresses = Vec::new();
    let mut handles = Vec::new();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let (identity, _) = world.ca.identity("api").await.expect("an identity");
        let server = Server::builder(identity, Arc::new(dangerously_allow_all()))
            .bind("127.0.0.1:0")
            .await
            .expect("a socket");
        addresses.push(server.local_addr());
        handles.push(server.handle());
        let served = Arc::clone(&served);
        running.spawn(server.run(Router::new().route(
            "/",
            get(async move || {
                served.fetch_add(1, Ordering::SeqCst);
                "ok"
            }),
        )));
    }
    let client = world.client([addresses[0], addresses[1]]);
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                for _ in 0..200 {
                    client.get("/").send().await?.bytes().await?;
                }
                Ok::<_, tower_mesh::Error>(())
            })
        })
        .collect();
    while served.load(Ordering::SeqCst) < 400 {
        tokio::task::yield_now().await;
    }
    handles[0].drain();
    for caller in callers {
        caller
            .await
            .expect("no panic")
            .expect("every request is answered");
    }
}
