use http::StatusCode;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy, split},
    time::Instant,
};

use super::*;

/// Takes any upgrade over and echoes.
fn echo()
-> impl Service<Request<Incoming>, Response = Reply, Error = Infallible, Future: Send + 'static>
+ Clone
+ Send
+ 'static {
    tower::service_fn(|mut request: Request<Incoming>| async move {
        let extended = request.extensions().get::<hyper::ext::Protocol>().is_some();
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let stream = TokioIo::new(upgrade.await.expect("an upgrade"));
            let (mut reader, mut writer) = split(stream);
            let _ = copy(&mut reader, &mut writer).await;
        });
        let mut response = reply("");
        if !extended {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let echo = http::HeaderValue::from_static("echo");
            response.headers_mut().insert("upgrade", echo);
        }
        Ok::<_, Infallible>(response)
    })
}

async fn upgraded(io: DuplexStream) -> TokioIo<hyper::upgrade::Upgraded> {
    let mut request = get("/");
    for (name, value) in [("connection", "upgrade"), ("upgrade", "echo")] {
        request
            .headers_mut()
            .insert(name, http::HeaderValue::from_static(value));
    }
    let response = h1(io)
        .await
        .send_request(request)
        .await
        .expect("a response");
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    TokioIo::new(hyper::upgrade::on(response).await.expect("an upgrade"))
}

async fn echoes(stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin)) {
    stream.write_all(b"ping").await.expect("written");
    let mut heard = [0; 4];
    stream.read_exact(&mut heard).await.expect("read");
    assert_eq!(&heard, b"ping");
}

#[tokio::test(start_paused = true)]
async fn an_upgraded_stream_counts_as_open_until_it_ends() {
    let (io, served) = serve(echo());
    let mut stream = upgraded(io).await;
    echoes(&mut stream).await;
    served.order(Order::Drain { within: None });
    echoes(&mut stream).await;
    assert!(!served.task.is_finished());
    drop(stream);
    served.ended().await;
}

#[tokio::test(start_paused = true)]
async fn an_upgraded_stream_is_cut_when_its_drain_is_over() {
    let (io, served) = serve(echo());
    let mut stream = upgraded(io).await;
    let began = Instant::now();
    served.order(Order::Drain {
        within: Some(Duration::from_secs(10)),
    });
    echoes(&mut stream).await;
    served.ended().await;
    assert_eq!(began.elapsed().as_secs(), 10);
    assert_eq!(stream.read(&mut [0; 4]).await.expect("an end"), 0);
}

#[tokio::test(start_paused = true)]
async fn an_upgraded_stream_is_cut_on_order() {
    let (io, served) = serve(echo());
    let mut stream = upgraded(io).await;
    served.order(Order::Cut);
    served.ended().await;
    assert_eq!(stream.read(&mut [0; 4]).await.expect("an end"), 0);
}

#[tokio::test(start_paused = true)]
async fn h2_carries_a_websocket_over_extended_connect() {
    let (io, served) = serve(echo());
    let mut client = h2(io).await;
    // The peer's settings say that extended CONNECT may be used; they come with the first answer.
    client.ready().await.expect("ready");
    tokio::task::yield_now().await;
    let mut request = get("/socket");
    *request.method_mut() = http::Method::CONNECT;
    request
        .extensions_mut()
        .insert(hyper::ext::Protocol::from_static("websocket"));
    let response = client.send_request(request).await.expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
    let mut stream = TokioIo::new(hyper::upgrade::on(response).await.expect("an upgrade"));
    echoes(&mut stream).await;

    served.order(Order::Drain {
        within: Some(Duration::from_secs(10)),
    });
    echoes(&mut stream).await;
    served.ended().await;
    assert!(
        stream
            .read(&mut [0; 4])
            .await
            .map_or(true, |read| read == 0),
        "ended"
    );
}
