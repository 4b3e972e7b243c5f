//! No connection outlives its reason, in or out.

use std::{
    io::ErrorKind,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use consul_connect::{
    Accepted, Authorize, Caller, Changes, Closing, Connection, Decision, Layer, Material, Permit,
    Reason, Refused, Verdict,
    test_util::{LeafSpec, TestCa},
};
use http::request::Parts;
use mesh_tests::{Pair, TD, echo_once};
use tokio::{io::AsyncReadExt, sync::watch};

/// Rules that a test flips.
struct Switch {
    allow: AtomicBool,
    generation: watch::Sender<u64>,
}

impl Switch {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            allow: AtomicBool::new(true),
            generation: watch::Sender::new(1),
        })
    }

    fn set(&self, allow: bool) {
        self.allow.store(allow, Ordering::SeqCst);
        self.generation.send_modify(|g| *g += 1);
    }

    fn decide(&self, caller: Caller<'_>) -> Decision {
        match caller {
            Caller::Peer(peer)
                if peer.id().service().as_str() != "web" || self.allow.load(Ordering::SeqCst) =>
            {
                Decision::Allow(Permit::by_default())
            }
            _ => Decision::Deny(Reason::fixed("intention", "web may not call api")),
        }
    }
}

impl Authorize for Switch {
    fn connection(&self, caller: Caller<'_>) -> Verdict {
        self.decide(caller).into()
    }

    fn request(&self, caller: Caller<'_>, _head: &Parts) -> Decision {
        self.decide(caller)
    }

    fn changes(&self) -> Changes {
        self.generation.subscribe().into()
    }
}

async fn is_aborted(stream: &mut (impl AsyncReadExt + Unpin)) {
    let error = stream
        .read(&mut [0; 1])
        .await
        .expect_err("the stream goes on");
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
}

#[tokio::test]
async fn a_denied_byte_stream_is_cut_while_somebody_waits_on_it_and_others_are_untouched() {
    let switch = Switch::new();
    let mut pair = Pair::with(switch.clone(), |l| l).await;
    let (_client, mut denied) = pair.connect().await;
    let (other, _pusher) = pair.ca.identity("billing").await.unwrap();
    let other = consul_connect::Connector::new(other);
    let destination = pair.destination();
    let (billing, billing_in) = tokio::join!(other.connect(&destination), pair.listener.accept());
    let (billing, billing_in) = (billing.unwrap(), billing_in.unwrap());

    let reading = tokio::spawn(async move {
        is_aborted(&mut denied.stream).await;
        denied
    });
    switch.set(false);
    let mut denied = reading.await.unwrap();
    let Closing::Cut { reason } = denied.guard.closing().await else {
        panic!("drained")
    };
    assert_eq!(reason.code(), "intention");
    assert!(!billing_in.guard.is_closing());
    echo_once(billing.stream, billing_in.stream).await;
}

#[tokio::test]
async fn a_denied_caller_is_closed_and_never_handed_out() {
    let switch = Switch::new();
    let mut pair = Pair::with(switch.clone(), |l| l).await;
    switch.set(false);
    let destination = pair.destination();
    let mut refused = pair.refusals();
    // TLS itself succeeds: who may call is decided after it is known who calls.
    let client = async {
        let mut client = pair.connector.connect(&destination).await.unwrap();
        client.stream.read(&mut [0; 1]).await
    };
    let read = tokio::select! {
        read = client => read,
        accepted = pair.listener.accept() => panic!("handed out {accepted:?}"),
    };
    assert!(!matches!(read, Ok(1..)));
    let Some(Refused::Denied { caller, reason }) = refused.recv().await else {
        panic!("not denied")
    };
    assert_eq!(
        (caller.id().service().as_str(), reason.code()),
        ("web", "intention")
    );
    assert_eq!(pair.listener.open_connections(), 0);
}

#[tokio::test]
async fn requests_of_a_denied_caller_are_left_to_the_request_layer_and_the_connection_is_drained_after_the_grace()
 {
    let switch = Switch::new();
    let grace = {
        let mut grace = consul_connect::Grace::default();
        (grace.denied, grace.drain) = (Duration::from_millis(50), Duration::from_millis(50));
        grace
    };
    let mut pair = Pair::with(switch.clone(), |l| l.layer(Layer::Request).grace(grace)).await;
    let (_client, mut accepted) = pair.connect().await;
    switch.set(false);
    assert!(matches!(
        accepted.guard.closing().await,
        Closing::Drain { .. }
    ));
    assert!(matches!(
        accepted.guard.closing().await,
        Closing::Cut { .. }
    ));
    is_aborted(&mut accepted.stream).await;
}

/// `material` of the pair's authority, trusting `roots`.
fn trusting(material: &Material, roots: &[&TestCa]) -> Material {
    let roots = roots.iter().map(|ca| ca.root_pem().to_owned()).collect();
    Material::new(material.chain_pem.clone(), material.key_pem.clone(), roots)
}

#[tokio::test]
async fn what_hung_on_a_removed_root_is_cut_in_and_out() {
    let old = TestCa::new(TD);
    let new = TestCa::new(TD);
    let mut pair = Pair::with(
        Arc::new(consul_connect::authorize::dangerously_allow_all()),
        |l| l,
    )
    .await;
    // Both ends move to a world in which two authorities are trusted.
    let both = [&pair.ca, &new];
    let (api_old, web_old) = (pair.ca.material("api"), pair.ca.material("web"));
    pair.api.push(Ok(trusting(&api_old, &both)));
    pair.web.push(Ok(trusting(&web_old, &both)));
    let (
        Connection {
            stream: mut out,
            guard: mut out_guard,
            ..
        },
        Accepted {
            stream: mut inn,
            guard: mut in_guard,
            ..
        },
    ) = pair.connect().await;

    // A root that is added takes nothing away.
    pair.api
        .push(Ok(trusting(&api_old, &[&pair.ca, &new, &old])));
    // The authority of the open connection is removed on both sides.
    pair.api.push(Ok(new.material("api")));
    pair.web.push(Ok(new.material("web")));
    for guard in [&mut out_guard, &mut in_guard] {
        let Closing::Cut { reason } = guard.closing().await else {
            panic!("drained")
        };
        assert_eq!(reason.code(), "roots");
    }
    is_aborted(&mut out).await;
    is_aborted(&mut inn).await;

    let (client, accepted) = pair.connect().await;
    echo_once(client.stream, accepted.stream).await;
}

#[tokio::test]
async fn a_connection_is_drained_and_then_cut_at_the_earlier_expiry_of_its_two_leafs() {
    let mut pair = Pair::with(
        Arc::new(consul_connect::authorize::dangerously_allow_all()),
        |l| {
            l.grace({
                let mut grace = consul_connect::Grace::default();
                grace.drain = Duration::from_millis(50);
                grace
            })
        },
    )
    .await;
    let mut changes = pair.connector.identity().changes();
    let short = LeafSpec::new(&pair.ca.id("web")).valid(-60, Duration::from_secs(62));
    pair.web.push(Ok(pair.ca.issue(&short)));
    changes.changed().await.unwrap();
    let (_client, mut accepted) = pair.connect().await;
    let Closing::Drain { reason, .. } = accepted.guard.closing().await else {
        panic!("cut without a drain")
    };
    assert_eq!(reason.code(), "expired");
    assert!(matches!(
        accepted.guard.closing().await,
        Closing::Cut { .. }
    ));
    is_aborted(&mut accepted.stream).await;
}

#[tokio::test]
async fn a_renewed_leaf_leaves_open_connections_alone() {
    let mut pair = Pair::with(
        Arc::new(consul_connect::authorize::dangerously_allow_all()),
        |l| l,
    )
    .await;
    let (client, accepted) = pair.connect().await;
    let mut changes = pair.connector.identity().changes();
    pair.web.push(Ok(pair.ca.material("web")));
    pair.api.push(Ok(pair.ca.material("api")));
    changes.changed().await.unwrap();
    let (newer, newer_in) = pair.connect().await;
    assert!(newer.generation > client.generation);
    assert!(!client.guard.is_closing() && !accepted.guard.is_closing());
    echo_once(client.stream, accepted.stream).await;
    echo_once(newer.stream, newer_in.stream).await;
}

#[tokio::test]
async fn an_expired_certificate_added_to_the_chain_does_not_save_it_from_a_removed_root() {
    let mut pair = Pair::with(
        Arc::new(consul_connect::authorize::dangerously_allow_all()),
        |l| l,
    )
    .await;
    // The leaf's issuer has an empty name, and so has the expired authority that the caller sends along.
    let good = pair.ca.subordinate().material("web");
    let expired = LeafSpec::new(&pair.ca.id("web"))
        .certificate_authority()
        .valid(-7200, Duration::from_secs(3600));
    let junk = TestCa::new(TD).issue(&expired).chain_pem;
    let chain = good.chain_pem.clone() + &junk;
    let mut changes = pair.connector.identity().changes();
    pair.web
        .push(Ok(Material::new(chain, good.key_pem, good.roots_pem)));
    changes.changed().await.unwrap();
    let (_client, mut accepted) = pair.connect().await;
    pair.api.push(Ok(TestCa::new(TD).material("api")));
    let Closing::Cut { reason } = accepted.guard.closing().await else {
        panic!("drained")
    };
    assert_eq!(reason.code(), "roots");
}

#[tokio::test]
async fn a_connection_is_held_to_the_rules_after_its_listener_is_gone() {
    let switch = Switch::new();
    let mut pair = Pair::with(switch.clone(), |l| l).await;
    let (_client, mut accepted) = pair.connect().await;
    drop(pair);
    switch.set(false);
    is_aborted(&mut accepted.stream).await;
}

#[tokio::test]
async fn of_two_changes_at_the_same_time_none_is_lost() {
    for _ in 0..20 {
        let switch = Switch::new();
        let mut pair = Pair::with(switch.clone(), |l| l).await;
        let (_client, mut accepted) = pair.connect().await;
        let mut changes = pair.api_identity().changes();
        pair.api.push(Ok(pair.ca.material("api")));
        // The warden is woken by the new leaf, and finds the new rules with it.
        changes.changed().await.unwrap();
        switch.set(false);
        is_aborted(&mut accepted.stream).await;
    }
}
