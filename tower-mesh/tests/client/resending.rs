//! What goes a second time, and what must not.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use consul_connect::MeshStream;
use http::Method;
use http_body_util::StreamBody;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower_mesh::{Body, Client, ErrorKind};

use crate::world::{BOTH, HTTP11, World};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const GOAWAY: u8 = 7;
/// NO_ERROR, INTERNAL_ERROR and ENHANCE_YOUR_CALM.
const REASONS: [u32; 3] = [0, 2, 11];
const END_HEADERS_AND_STREAM: u8 = 5;
/// `:status: 200`, by its index in HPACK's static table.
const STATUS_200: &[u8] = &[0x88];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The h2 side of a server up to the head of the first request; returns its stream.
async fn h2_request(io: &mut MeshStream) -> u32 {
    let mut preface = [0; PREFACE.len()];
    io.read_exact(&mut preface).await.expect("a preface");
    io.write_all(&frame(4, 0, 0, &[])).await.expect("settings");
    loop {
        let mut head = [0; 9];
        io.read_exact(&mut head).await.expect("a frame");
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        io.read_exact(&mut payload).await.expect("a payload");
        if head[3] == HEADERS {
            return u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        }
    }
}

/// Reads until the client goes away.
async fn drained(io: &mut MeshStream) {
    let mut rest = Vec::new();
    let _ended_somehow = io.read_to_end(&mut rest).await;
}

/// An h2 service that gives up its first connection with a GOAWAY at the first request, and answers
/// on the others. `looked_at` is whether the GOAWAY says that it looked at that request.
async fn giving_up(world: &mut World, looked_at: bool, reason: u32) -> (Client, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let address = world
        .speak("api", BOTH, move |number, mut io| {
            let seen = Arc::clone(&counted);
            async move {
                let stream = h2_request(&mut io).await;
                seen.fetch_add(1, Ordering::SeqCst);
                if number > 0 {
                    let answer = frame(HEADERS, END_HEADERS_AND_STREAM, stream, STATUS_200);
                    io.write_all(&answer).await.expect("an answer");
                    return drained(&mut io).await;
                }
                let last: u32 = if looked_at { stream } else { 0 };
                let payload = [last.to_be_bytes(), reason.to_be_bytes()].concat();
                let goaway = frame(GOAWAY, 0, 0, &payload);
                io.write_all(&goaway).await.expect("a GOAWAY");
                io.shutdown().await.expect("an end");
                drained(&mut io).await;
            }
        })
        .await;
    (world.client([address]), seen)
}

#[tokio::test]
async fn what_a_goaway_left_out_goes_again_whatever_it_is() {
    let mut world = World::new().await;
    for method in [Method::POST, Method::GET] {
        for reason in REASONS {
            let (client, seen) = giving_up(&mut world, false, reason).await;
            let request = client.request(method.clone(), "/").body("once");
            let response = request.send().await.expect("a response");
            assert_eq!(response.status(), 200, "{method}, {reason}");
            assert_eq!(seen.load(Ordering::SeqCst), 2);
        }
    }
}

#[tokio::test]
async fn what_a_goaway_did_not_leave_out_goes_again_only_if_twice_is_as_good_as_once() {
    let mut world = World::new().await;
    for reason in REASONS {
        let (client, seen) = giving_up(&mut world, true, reason).await;
        let request = client.post("/").body("once");
        let error = request.send().await.expect_err("nobody knows");
        assert_eq!(error.kind(), ErrorKind::Sent, "{reason}: {error:?}");
        assert_eq!(seen.load(Ordering::SeqCst), 1, "not sent again");

        let (client, seen) = giving_up(&mut world, true, reason).await;
        let response = client.put("/").body("often").send().await;
        assert_eq!(response.expect("a response").status(), 200);
        assert_eq!(seen.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test]
async fn a_stream_that_a_goaway_left_out_is_told_as_unsent() {
    let mut world = World::new().await;
    let (client, seen) = giving_up(&mut world, false, 0).await;
    let pieces = futures_util::stream::pending::<Result<http_body::Frame<Bytes>, Infallible>>();
    let body = Body::new(StreamBody::new(pieces));
    let error = client.post("/").body(body).send().await;
    let error = error.expect_err("a stream cannot be sent again");
    assert_eq!(error.kind(), ErrorKind::NotSent, "{error:?}");
    assert!(error.is_unsent());
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

/// The HTTP/1.1 side of a server: reads one request without a body.
async fn h1_request(io: &mut MeshStream) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match io.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_closed) => return false,
        }
    }
    true
}

/// An HTTP/1.1 service whose first connection answers once, and closes when the next request comes:
/// what a client sees that sends as its idle connection is closed.
async fn closing_when_idle(world: &mut World) -> (Client, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let address = world
        .speak("api", HTTP11, move |number, mut io| {
            let seen = Arc::clone(&counted);
            async move {
                let mut answered = false;
                while h1_request(&mut io).await {
                    seen.fetch_add(1, Ordering::SeqCst);
                    if number == 0 && answered {
                        return;
                    }
                    answered = true;
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    io.write_all(answer).await.expect("an answer");
                }
            }
        })
        .await;
    (world.client([address]), seen)
}

#[tokio::test]
async fn a_request_that_meets_the_close_of_an_idle_connection_goes_again_if_it_may() {
    let mut world = World::new().await;
    let (client, seen) = closing_when_idle(&mut world).await;
    for _ in 0..2 {
        let response = client.get("/").send().await.expect("a response");
        assert_eq!(response.status(), 200);
        response.bytes().await.expect("its end");
    }
    assert_eq!(seen.load(Ordering::SeqCst), 3);

    let (client, seen) = closing_when_idle(&mut world).await;
    let first = client.post("/").send().await.expect("a response");
    first.bytes().await.expect("its end");
    let error = client.post("/").send().await.expect_err("nobody knows");
    assert_eq!(error.kind(), ErrorKind::Sent, "{error:?}");
    assert!(!error.is_unsent());
    assert_eq!(seen.load(Ordering::SeqCst), 2, "not sent again");
    client
        .post("/")
        .send()
        .await
        .expect("the next one is answered");
}

#[tokio::test]
async fn a_first_request_whose_connection_breaks_is_no_idle_race() {
    let mut world = World::new().await;
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let address = world
        .speak("api", HTTP11, move |_, mut io| {
            let seen = Arc::clone(&counted);
            async move {
                if h1_request(&mut io).await {
                    seen.fetch_add(1, Ordering::SeqCst);
                }
            }
        })
        .await;
    let error = world.client([address]).get("/").send().await;
    assert_eq!(error.expect_err("broken").kind(), ErrorKind::Sent);
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}
