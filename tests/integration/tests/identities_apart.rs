//! Two services in one process, and whom they call: nobody is ever taken for another, however many shake hands at once and
//! whatever is renewed meanwhile.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use consul_connect::{
    ConnectFailure, Connector, Destination, Identity, InvalidPeer, Listener, ServiceId,
    authorize::dangerously_allow_all, identity::source::Pusher, test_util::TestCa,
};
use mesh_tests::{
    TD,
    stress::{Memory, NOWHERE, full, in_memory, times},
};
use tokio::time::Instant;

/// A service that calls and is called.
struct Member {
    id: ServiceId,
    connector: Connector,
    listener: Listener,
    source: Pusher,
    _identity: Identity,
}

impl Member {
    async fn new(ca: &TestCa, service: &str) -> Self {
        let (identity, source) = ca.identity(service).await.expect("an identity");
        let listener = Listener::builder(identity.clone(), Arc::new(dangerously_allow_all()))
            .bind("127.0.0.1:0")
            .await
            .expect("a listener");
        Self {
            id: ca.id(service),
            connector: Connector::new(identity.clone()),
            listener,
            source,
            _identity: identity,
        }
    }
}

async fn shake(members: &[Member], n: usize) {
    let (caller, called) = (&members[n % 2], &members[n / 2 % 2]);
    // Each thirty-second expects the other one, and must be told who it found.
    let wrong = n % 32 == 31;
    let expected = if wrong {
        &members[1 - n / 2 % 2].id
    } else {
        &called.id
    };
    let destination = Destination::new(NOWHERE, expected.clone());
    let (connected, accepted) = in_memory(&caller.connector, &called.listener, &destination).await;
    if wrong {
        let error = connected.expect_err("another answered");
        let ConnectFailure::Peer(InvalidPeer::WrongIdentity { found, .. }) = error.failure() else {
            panic!("{error}");
        };
        assert_eq!(found, &called.id);
        accepted.expect_err("the caller left");
        return;
    }
    let (connected, accepted) = (connected.expect("connected"), accepted.expect("accepted"));
    assert_eq!(accepted.remote.peer().expect("a caller").id(), &caller.id);
    assert_eq!(connected.peer.id(), &called.id);
}

#[test]
fn the_peer_of_each_handshake_is_who_shook_hands() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let ca = TestCa::new(TD);
        let members = [
            Member::new(&ca, "web").await,
            Member::new(&ca, "shop").await,
        ];
        let members: Arc<[Member]> = Arc::new(members);
        // Each takes two of these machines' cores most of a millisecond.
        let all = times(1_000_000).min(if full() { usize::MAX } else { 5_000 });
        let (begun, next) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
        // What is learnt in the first part is kept for ever: threads, pages of the allocator.
        for n in 0..all / 10 {
            shake(&members, n).await;
        }
        let memory = Memory::now();
        let mut hands = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (members, next) = (Arc::clone(&members), Arc::clone(&next));
            hands.spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= all {
                        break;
                    }
                    shake(&members, n).await;
                }
            });
        }
        let mut renewed = 0;
        while !hands.is_empty() {
            tokio::select! {
                hand = hands.join_next() => if let Some(hand) = hand { hand.expect("nobody was mistaken") },
                () = tokio::time::sleep(std::time::Duration::from_millis(20)) => {
                    for member in &*members {
                        let service = member.id.service().as_str();
                        assert!(member.source.push(Ok(ca.material(service))));
                        renewed += 1;
                    }
                }
            }
        }
        println!("{all} handshakes in {:?}, {renewed} leafs renewed meanwhile", begun.elapsed());
        memory.grew_at_most(16, "handshakes");
        for member in &*members {
            assert_eq!(member.listener.open_connections(), 0);
            assert_eq!(member.connector.open_connections(), 0);
        }
    });
}
