//! Callers of cluster peers: held against the roots of their own cluster, and cut when it is a cluster peer no more.

use std::{net::SocketAddr, sync::Arc};

use consul_connect::{
    Accepted, Closing, ClusterPeer, ClusterPeers, InvalidPeer, Layer, Material, Refused, Remote,
    Roots,
    test_util::{LeafSpec, TestCa},
};
use mesh_tests::{Pair, TD, pair, raw_client_config};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

const EAST: &str = "22222222-3333-4444-5555-666666666666.consul";

fn of(name: &str, ca: &TestCa) -> ClusterPeer {
    ClusterPeer::new(name, Roots::from_pem([ca.root_pem()], None).expect("roots"))
}

fn known(name: &str, ca: &TestCa) -> ClusterPeers {
    ClusterPeers::fixed([of(name, ca)]).expect("one cluster peer")
}

async fn pair_with(cluster_peers: ClusterPeers, layer: Layer) -> Pair {
    let allow = consul_connect::authorize::dangerously_allow_all();
    Pair::with(Arc::new(allow), |listener| {
        listener.layer(layer).cluster_peers(cluster_peers)
    })
    .await
}

/// A TLS client that trusts anybody and presents `material`. What becomes of it is the server's business.
async fn dial(server: SocketAddr, material: Material) -> TlsStream<TcpStream> {
    let tcp = TcpStream::connect(server).await.expect("a connection");
    let config = raw_client_config(Some(material), rustls::ALL_VERSIONS);
    let name = ServerName::try_from("anybody").expect("a name");
    TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
        .expect("under TLS 1.3 the client is done first")
}

async fn accepted(pair: &mut Pair, material: Material) -> (TlsStream<TcpStream>, Accepted) {
    let (client, accepted) = tokio::join!(dial(pair.address(), material), pair.listener.accept());
    (client, accepted.expect("accepted"))
}

async fn refused(pair: &mut Pair, material: Material) -> Refused {
    let (mut refusals, address) = (pair.refusals(), pair.address());
    let call = async move {
        let mut client = dial(address, material).await;
        let _ = client.read(&mut [0; 1]).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = call => unreachable!("it is pending"),
        refused = refusals.recv() => refused.expect("a refusal"),
        accepted = pair.listener.accept() => panic!("accepted {accepted:?}"),
    }
}

/// The leaf of a service of `ca`'s trust domain, whoever that says it is of.
fn leaf(ca: &TestCa, uri: &str) -> Material {
    ca.issue(&LeafSpec::new(&ca.id("web")).uris([uri]))
}

#[tokio::test]
async fn a_caller_of_a_cluster_peer_says_whose_it_is_and_one_of_ours_is_of_none() {
    let east = TestCa::new(EAST);
    let mut pair = pair_with(known("east", &east), Layer::Connection).await;
    let (_client, theirs) = accepted(&mut pair, east.material("web")).await;
    let theirs = theirs.peer().expect("a caller");
    assert_eq!(
        (theirs.id(), theirs.cluster_peer()),
        (&east.id("web"), Some("east"))
    );
    assert!(theirs.via().is_none());
    let (_client, ours) = pair.connect().await;
    let ours = ours.peer().expect("a caller").clone();
    assert_eq!((ours.id(), ours.cluster_peer()), (&pair.ca.id("web"), None));
}

#[tokio::test]
async fn without_cluster_peers_every_other_trust_domain_is_foreign() {
    let mut pair = pair().await;
    let refused = refused(&mut pair, TestCa::new(EAST).material("web")).await;
    assert!(
        matches!(&refused, Refused::Peer(InvalidPeer::ForeignTrustDomain { theirs, .. }) if theirs.as_str() == EAST),
        "{refused}"
    );
}

#[tokio::test]
async fn no_authority_vouches_for_the_trust_domain_of_another() {
    let (east, west) = (TestCa::new(EAST), TestCa::new("33333333.consul"));
    let both = ClusterPeers::fixed([of("east", &east), of("west", &west)]).expect("two");
    for case in [
        "a cluster peer for us",
        "us for a cluster peer",
        "one for another",
    ] {
        let mut pair = pair_with(both.clone(), Layer::Connection).await;
        let (signer, claimed) = match case {
            "a cluster peer for us" => (&east, TD),
            "us for a cluster peer" => (&pair.ca, EAST),
            _ => (&west, EAST),
        };
        let uri = format!("spiffe://{claimed}/ns/default/dc/dc1/svc/web");
        let material = leaf(signer, &uri);
        let refused = refused(&mut pair, material).await;
        let Refused::Peer(InvalidPeer::UnknownIssuer { trust_domain, .. }) = &refused else {
            panic!("{case}: {refused}");
        };
        assert_eq!(trust_domain.as_str(), claimed, "{case}");
    }
}

#[tokio::test]
async fn a_cluster_peer_with_our_own_trust_domain_changes_nobodys_roots() {
    let twin = TestCa::new(TD);
    let mut pair = pair_with(known("twin", &twin), Layer::Connection).await;
    let refused = refused(&mut pair, twin.material("web")).await;
    assert!(
        matches!(refused, Refused::Peer(InvalidPeer::UnknownIssuer { .. })),
        "{refused}"
    );
    let (_client, ours) = pair.connect().await;
    assert_eq!(ours.peer().expect("a caller").cluster_peer(), None);
}

#[tokio::test]
async fn only_services_of_a_cluster_peer_may_call() {
    let east = TestCa::new(EAST);
    for layer in [Layer::Connection, Layer::Request] {
        for path in ["/gateway/mesh/dc/dc1", "/agent/server/dc/dc1", ""] {
            let mut pair = pair_with(known("east", &east), layer).await;
            let uri = format!("spiffe://{EAST}{path}");
            let refused = refused(&mut pair, leaf(&east, &uri)).await;
            assert!(
                matches!(&refused, Refused::Peer(InvalidPeer::NotAService { .. })),
                "{uri}: {refused}"
            );
        }
    }
}

#[tokio::test]
async fn newer_roots_of_a_cluster_peer_cut_whom_they_do_not_anchor_and_nobody_else() {
    let (old, new) = (TestCa::new(EAST), TestCa::new(EAST));
    let peers = known("east", &old);
    let mut pair = pair_with(peers.clone(), Layer::Connection).await;
    let (_client, mut theirs) = accepted(&mut pair, old.material("web")).await;
    let (mut client, mut ours) = pair.connect().await;

    let both = Roots::from_pem([old.root_pem(), new.root_pem()], None).expect("roots");
    peers
        .give(ClusterPeer::new("east", both))
        .expect("newer roots");
    let (_client, mut of_new) = accepted(&mut pair, new.material("web")).await;
    assert!(
        !theirs.guard.is_closing(),
        "a root that is added takes nothing away"
    );

    peers.give(of("east", &new)).expect("newer roots");
    let Closing::Cut { reason } = theirs.guard.closing().await else {
        panic!("drained")
    };
    assert_eq!(reason.code(), "roots", "{reason}");
    assert!(theirs.stream.read(&mut [0; 1]).await.is_err());
    for (name, stream) in [
        ("ours", &mut ours.stream),
        ("of the new root", &mut of_new.stream),
    ] {
        stream.write_all(b"x").await.expect(name);
        stream.flush().await.expect(name);
    }
    client
        .stream
        .read_exact(&mut [0; 1])
        .await
        .expect("it goes on");
}

#[tokio::test]
async fn a_cluster_peer_that_is_removed_or_called_otherwise_takes_its_callers_along() {
    let east = TestCa::new(EAST);
    for rename in [false, true] {
        let dev = consul_dev::ConsulDev::start().await.expect("a Consul");
        dev.set_peering("east", "ACTIVE", [east.root_pem()]);
        dev.set_peering("orient", "ACTIVE", [east.root_pem()]);
        let config = consul_api::Config::new(dev.http_addr()).expect("an address");
        let peers = ClusterPeers::watch(&consul_api::Client::new(config).expect("a client"));
        peers.set_names(["east".to_owned()]);
        peers.ready().await;
        let mut pair = pair_with(peers.clone(), Layer::Connection).await;
        let (_client, mut theirs) = accepted(&mut pair, east.material("web")).await;
        peers.set_names(rename.then(|| "orient".to_owned()));
        let Closing::Cut { reason } = theirs.guard.closing().await else {
            panic!("drained")
        };
        assert_eq!(reason.code(), "roots", "{reason}");
    }
}

fn gateway(ca: &TestCa, datacenter: &str) -> Material {
    let uri = format!(
        "spiffe://{}/gateway/mesh/dc/{datacenter}",
        ca.trust_domain()
    );
    leaf(ca, &uri)
}

#[tokio::test]
async fn a_mesh_gateway_of_ours_is_let_in_for_requests_and_speaks_for_cluster_peers_alone() {
    let east = TestCa::new(EAST);
    let mut pair = pair_with(known("east", &east), Layer::Request).await;
    let material = gateway(&pair.ca, "dc1");
    let (_client, accepted) = accepted(&mut pair, material).await;
    assert!(accepted.peer().is_none(), "it is no caller");
    let Remote::MeshGateway(gateway) = accepted.remote else {
        panic!("no gateway")
    };
    let caller = gateway
        .caller(&east.id("web").to_string())
        .expect("a caller");
    assert_eq!(
        (caller.id(), caller.cluster_peer()),
        (&east.id("web"), Some("east"))
    );
    assert_eq!(caller.via(), Some(gateway.id()));
    for nobody in [
        pair.ca.id("web").to_string(),
        format!("spiffe://{EAST}/gateway/mesh/dc/dc1"),
        format!("spiffe://{EAST}"),
        "spiffe://33333333.consul/ns/default/dc/dc1/svc/web".to_owned(),
        format!("spiffe://{EAST}/ns/default/dc/dc1/svc/*"),
        format!("spiffe://{EAST}/ns/default/dc/dc1/svc/%77eb"),
        String::new(),
    ] {
        let reason = gateway.caller(&nobody).expect_err(&nobody);
        assert_eq!(reason.code(), "gateway_caller", "{nobody}");
    }
}

#[tokio::test]
async fn a_mesh_gateway_is_refused_where_it_has_nothing_to_say() {
    let east = TestCa::new(EAST);
    // A byte stream names no caller.
    let mut streams = pair_with(known("east", &east), Layer::Connection).await;
    let material = gateway(&streams.ca, "dc1");
    let problem = refused(&mut streams, material).await;
    assert!(
        matches!(problem, Refused::Peer(InvalidPeer::NotAService { .. })),
        "{problem}"
    );

    let mut elsewhere = pair_with(known("east", &east), Layer::Request).await;
    let material = gateway(&elsewhere.ca, "dc2");
    let problem = refused(&mut elsewhere, material).await;
    assert!(
        matches!(problem, Refused::Peer(InvalidPeer::ForeignGateway { .. })),
        "{problem}"
    );

    // Nobody could be behind it.
    let allow = Arc::new(consul_connect::authorize::dangerously_allow_all());
    let mut alone = Pair::with(allow, |listener| listener.layer(Layer::Request)).await;
    let material = gateway(&alone.ca, "dc1");
    let problem = refused(&mut alone, material).await;
    assert!(
        matches!(problem, Refused::Peer(InvalidPeer::NotAService { .. })),
        "{problem}"
    );
}
