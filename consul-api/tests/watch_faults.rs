//! What a watch makes of a Consul that fails.

use std::{sync::Arc, time::Duration};

use consul_api::{Client, Config, Error, Token, Watch, health::ServiceEntry};
use consul_dev::{ConsulDev, Fault, FaultRule, Policy};
use futures_util::{StreamExt, future::join_all};
use serde_json::json;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(20);
const WEB: &str = "GET /v1/health/service/web";

fn client(dev: &ConsulDev) -> Client {
    Client::new(
        Config::new(dev.http_addr())
            .expect("an address")
            .with_timeout(Duration::from_millis(500)),
    )
    .expect("a client")
}

fn watch(dev: &ConsulDev) -> Watch<Vec<ServiceEntry>> {
    client(dev).health().service("web").watch()
}

fn register(dev: &ConsulDev, id: &str) {
    dev.register_on_node(
        "node",
        "10.0.0.1",
        &json!({"ID": id, "Service": "web", "Port": 80}),
    );
}

async fn item(watch: &mut Watch<Vec<ServiceEntry>>) -> Result<Arc<Vec<ServiceEntry>>, Error> {
    let item = timeout(LONG, watch.next())
        .await
        .expect("an item in time")
        .expect("a watch never ends");
    item.map(|update| update.value)
}

/// The number of instances in the next value; errors before it are counted.
async fn instances(watch: &mut Watch<Vec<ServiceEntry>>) -> (usize, usize) {
    let mut errors = 0;
    loop {
        match item(watch).await {
            Ok(value) => return (value.len(), errors),
            Err(_) => errors += 1,
        }
    }
}

#[tokio::test]
async fn follows_changes() {
    let dev = ConsulDev::start().await.expect("a Consul");
    let mut web = watch(&dev);
    assert_eq!(instances(&mut web).await, (0, 0));
    for count in 1..4 {
        register(&dev, &format!("web-{count}"));
        assert_eq!(instances(&mut web).await, (count, 0));
    }
}

#[tokio::test]
async fn survives_every_kind_of_bad_answer_and_then_follows_changes() {
    let faults = [
        Fault::no_leader(),
        Fault::rate_limited_read(),
        Fault::rate_limited_write(),
        Fault::status(403, "ACL not found"),
        Fault::Reset,
        Fault::Truncate,
        Fault::Garbage,
    ];
    let each = faults.map(async |fault| {
        let dev = ConsulDev::start().await.expect("a Consul");
        register(&dev, "web-1");
        let mut web = watch(&dev);
        assert_eq!(instances(&mut web).await, (1, 0));
        // The long poll that is open was let pass already; the change ends it.
        dev.fault(FaultRule::new(WEB, fault.clone()).times(2));
        register(&dev, "web-2");
        let (mut count, mut errors) = (0, 0);
        while count < 2 || errors == 0 {
            match item(&mut web).await {
                Ok(value) => count = value.len(),
                Err(_) => errors += 1,
            }
        }
        if count == 2 && web.status().last_error.is_some() {
            assert_eq!(instances(&mut web).await.0, 2, "{fault:?}");
        }
        register(&dev, "web-3");
        while instances(&mut web).await.0 != 3 {}
        assert_eq!(web.status().failures, 0, "{fault:?}");
    });
    join_all(each).await;
}

#[tokio::test]
async fn an_index_that_goes_back_is_absent_or_is_no_number_does_no_harm() {
    let indexes = [
        Some("1"),
        Some("0"),
        Some("abc"),
        Some("-1"),
        Some("99999999999999999999999"),
        None,
    ];
    let each = indexes.map(async |index| {
        let dev = ConsulDev::start().await.expect("a Consul");
        let mut web = watch(&dev);
        assert_eq!(instances(&mut web).await, (0, 0));
        dev.fault(FaultRule::new(WEB, Fault::Index(index.map(str::to_owned))).times(1));
        register(&dev, "web-1");
        assert_eq!(instances(&mut web).await, (1, 0), "{index:?}");
        register(&dev, "web-2");
        assert_eq!(instances(&mut web).await, (2, 0), "{index:?}");
        assert!(
            dev.request_count(WEB) <= 8,
            "{index:?}: {} requests",
            dev.request_count(WEB)
        );
    });
    join_all(each).await;
}

#[tokio::test]
async fn a_state_that_was_restored_from_the_past_is_followed() {
    let dev = ConsulDev::start().await.expect("a Consul");
    register(&dev, "web-1");
    let mut web = watch(&dev);
    assert_eq!(instances(&mut web).await, (1, 0));
    dev.rewind_index(2);
    register(&dev, "web-2");
    // A query that was on its way with the old index is woken like those that were open: a restored server lets go of all.
    let waking = async {
        loop {
            dev.interrupt();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        seen = instances(&mut web) => assert_eq!(seen, (2, 0)),
        () = waking => {}
    }
}

#[tokio::test]
async fn a_hung_agent_becomes_an_error_only_when_a_plain_read_hangs_too() {
    let dev = ConsulDev::start().await.expect("a Consul");
    let mut web = client(&dev)
        .health()
        .service("web")
        .wait(Duration::from_millis(50))
        .watch();
    assert_eq!(instances(&mut web).await, (0, 0));
    dev.fault(FaultRule::new(WEB, Fault::Hang));
    assert!(item(&mut web).await.is_err_and(|error| error.is_timeout()));
    dev.clear_faults();
    assert_eq!(instances(&mut web).await.0, 0);
}

#[tokio::test]
async fn an_agent_that_went_away_is_found_again() {
    let dev = ConsulDev::start().await.expect("a Consul");
    register(&dev, "web-1");
    let mut web = watch(&dev);
    let mut services = client(&dev).catalog().services().watch();
    assert_eq!(instances(&mut web).await, (1, 0));
    timeout(LONG, services.next())
        .await
        .expect("in time")
        .expect("never ends")
        .expect("the services");
    dev.http_down().await.expect("down");
    for _ in 0..6 {
        item(&mut web).await.expect_err("it is gone");
    }
    dev.http_up().await.expect("up");
    let back = tokio::time::Instant::now();
    assert_eq!(instances(&mut web).await.0, 1);
    println!("back {:?} after its port", back.elapsed());
}

#[tokio::test]
async fn a_revoked_token_is_an_error_and_its_successor_is_taken_up() {
    let dev = ConsulDev::builder()
        .acl(true)
        .start()
        .await
        .expect("a Consul");
    register(&dev, "web-1");
    let reader = || {
        dev.create_token(Policy::new().service_read("web").node_prefix_read(""))
            .secret_id
    };
    let (first, second) = (reader(), reader());
    let client = client(&dev).with_token(Token::new(&first));
    let mut web = client.health().service("web").watch();
    assert_eq!(instances(&mut web).await, (1, 0));
    assert!(dev.delete_token(&first));
    dev.interrupt();
    assert!(
        item(&mut web)
            .await
            .is_err_and(|error| error.is_unknown_token())
    );
    client.replace_token(Token::new(&second));
    assert_eq!(instances(&mut web).await.0, 1);
    assert!(!format!("{:?}", web.status()).contains(&first));
}

#[tokio::test]
async fn roots_and_leaf_follow_a_rotation() {
    let dev = ConsulDev::start().await.expect("a Consul");
    let client = client(&dev);
    let mut roots = client.connect_ca().roots().watch();
    let mut leaf = client.agent().connect_ca_leaf("web").watch();
    let first = timeout(LONG, leaf.next())
        .await
        .expect("in time")
        .expect("never ends")
        .expect("a leaf");
    timeout(LONG, roots.next())
        .await
        .expect("in time")
        .expect("never ends")
        .expect("the roots");
    let new = dev.rotate_root().expect("another root");
    let after = timeout(LONG, roots.next())
        .await
        .expect("in time")
        .expect("never ends")
        .expect("the roots");
    assert_eq!(after.value.active_root_id, new);
    let second = timeout(LONG, leaf.next())
        .await
        .expect("in time")
        .expect("never ends")
        .expect("a leaf");
    assert_ne!(first.value.serial_number, second.value.serial_number);
}
