//! Two members of one mesh reach each other, and each knows who the other is.

use consul_connect::{Alpn, ConnectFailure, Destination, InvalidPeer, Refused, test_util::TestCa};
use mesh_tests::{TD, echo_once, pair, raw_client};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn both_sides_know_each_other_and_bytes_flow() {
    let mut pair = pair().await;
    let (client, accepted) = pair.connect().await;
    assert_eq!(
        client.peer.to_string(),
        format!("spiffe://{TD}/ns/default/dc/dc1/svc/api")
    );
    assert_eq!(
        accepted.remote.to_string(),
        format!("spiffe://{TD}/ns/default/dc/dc1/svc/web")
    );
    assert_eq!((client.alpn.as_ref(), accepted.alpn.as_ref()), (None, None));
    echo_once(client.stream, accepted.stream).await;
}

#[tokio::test]
async fn the_first_common_alpn_of_the_server_is_taken() {
    let pair = pair().await;
    let destination = pair.destination().with_alpn([&b"http/1.1"[..], b"h2"]);
    let mut listener = pair
        .listen_with(|l| l.alpn([&b"h2"[..], b"http/1.1"]))
        .await;
    let destination = Destination::new(listener.local_addr(), destination.expected()[0].clone())
        .with_alpn(destination.alpn());
    let (client, accepted) = tokio::join!(pair.connector.connect(&destination), listener.accept());
    assert_eq!(client.unwrap().alpn, Some(Alpn::H2));
    assert_eq!(accepted.unwrap().alpn, Some(Alpn::H2));
}

#[tokio::test]
async fn another_service_that_answers_is_refused_before_it_learns_who_we_are() {
    let mut pair = pair().await;
    let destination = Destination::new(pair.address(), pair.ca.id("billing"));
    let (error, refused) = pair.fail(&destination).await;
    let ConnectFailure::Peer(InvalidPeer::WrongIdentity { expected, found }) = error.failure()
    else {
        panic!("{error}");
    };
    assert!(expected.ends_with("/svc/billing") && found.service().as_str() == "api");
    assert!(error.is_identity());
    assert!(matches!(refused, Refused::ByPeer { .. }), "{refused}");
}

#[tokio::test]
async fn a_member_of_another_mesh_is_refused_with_both_domains_named() {
    let mut pair = pair().await;
    let other = TestCa::new("other.consul");
    let (stranger, _pusher) = other.identity("web").await.unwrap();
    pair.connector = consul_connect::Connector::new(stranger);
    // The stranger expects a member of its own mesh, so it refuses first.
    let (error, _) = pair
        .fail(&Destination::new(pair.address(), other.id("api")))
        .await;
    let text = error.to_string();
    assert!(text.contains(TD) && text.contains("other.consul"), "{text}");
}

#[tokio::test]
async fn a_caller_of_another_mesh_is_refused_by_the_listener_with_both_domains_named() {
    let mut pair = pair().await;
    let other = TestCa::new("other.consul");
    let mut refused = pair.refusals();
    // A raw TLS client that trusts anybody and presents the stranger's leaf.
    raw_client(
        pair.address(),
        Some(other.material("web")),
        &mut pair.listener,
    )
    .await;
    let refused = refused.recv().await.unwrap();
    let Refused::Peer(InvalidPeer::ForeignTrustDomain { ours, theirs }) = &refused else {
        panic!("{refused}")
    };
    assert_eq!((ours.as_str(), theirs.as_str()), (TD, "other.consul"));
}

#[tokio::test]
async fn a_caller_without_a_certificate_is_refused() {
    let mut pair = pair().await;
    let mut refused = pair.refusals();
    raw_client(pair.address(), None, &mut pair.listener).await;
    let refused = refused.recv().await.unwrap();
    assert!(
        matches!(refused, Refused::Peer(InvalidPeer::NoCertificate)),
        "{refused}"
    );
}

#[tokio::test]
async fn plain_text_is_refused_and_the_next_caller_is_served() {
    let mut pair = pair().await;
    let mut refused = pair.refusals();
    let mut plain = tokio::net::TcpStream::connect(pair.address())
        .await
        .unwrap();
    plain
        .write_all(b"GET / HTTP/1.1\r\nHost: api\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    tokio::select! {
        _ = pair.listener.accept() => panic!("plain text was accepted"),
        refused = refused.recv() => assert!(matches!(refused, Some(Refused::Tls { .. }))),
    }
    let _ = plain.read_to_end(&mut answer).await;
    let (client, accepted) = pair.connect().await;
    echo_once(client.stream, accepted.stream).await;
}

#[tokio::test]
async fn a_silent_caller_does_not_hold_up_the_next_one() {
    let mut pair = pair().await;
    let _silent = tokio::net::TcpStream::connect(pair.address())
        .await
        .unwrap();
    let (client, accepted) = pair.connect().await;
    echo_once(client.stream, accepted.stream).await;
}

#[tokio::test]
async fn the_cap_on_connections_closes_the_one_above_it_and_frees_its_place() {
    let pair = pair().await;
    let mut listener = pair.listen_with(|l| l.max_connections(1)).await;
    let destination = Destination::new(listener.local_addr(), pair.ca.id("api"));
    let (first, accepted) = tokio::join!(pair.connector.connect(&destination), listener.accept());
    let (first, accepted) = (first.unwrap(), accepted.unwrap());
    let second = tokio::select! {
        result = pair.connector.connect(&destination) => result,
        _ = listener.accept() => panic!("accepted above the cap"),
    };
    assert!(matches!(
        second.unwrap_err().failure(),
        ConnectFailure::Handshake
    ));
    drop((first, accepted));
    let (third, accepted) = tokio::join!(pair.connector.connect(&destination), listener.accept());
    assert!(third.is_ok() && accepted.is_some());
    assert_eq!(listener.stats().accepted, 2);
    assert_eq!(listener.stats().refused, 1);
}

#[tokio::test]
async fn it_stops_accepting_and_says_so_once_no_handshake_is_left() {
    let mut pair = pair().await;
    let (client, accepted) = pair.connect().await;
    pair.listener.stop_accepting();
    assert!(pair.listener.accept().await.is_none());
    assert!(pair.connector.connect(&pair.destination()).await.is_err());
    echo_once(client.stream, accepted.stream).await;
}

#[tokio::test]
async fn a_silent_caller_does_not_keep_a_stopped_listener_from_ending() {
    let pair = pair().await;
    let short = std::time::Duration::from_millis(50);
    let mut listener = pair.listen_with(|l| l.handshake_timeout(short)).await;
    let _silent = tokio::net::TcpStream::connect(listener.local_addr())
        .await
        .unwrap();
    // Until the silent one is being shaken hands with.
    let accepting = tokio::time::timeout(short / 2, listener.accept()).await;
    assert!(accepting.is_err(), "nobody finished a handshake");
    listener.stop_accepting();
    assert!(listener.accept().await.is_none());
    assert_eq!(listener.stats().refused, 1);
}
