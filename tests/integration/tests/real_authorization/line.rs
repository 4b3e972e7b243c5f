//! One caller's connection to one server, opened when it is needed and again when it is gone.

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Uri,
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use super::{
    application::PROBE,
    callers::{Callers, Protocol},
    http1,
    requests::Request,
};

/// Far above what any answer takes; a refused byte stream may stay silent.
const SILENCE: Duration = Duration::from_secs(20);

/// What came back over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Status(u16),
    /// The bytes came back.
    Echo,
    /// The connection ended, or nothing came.
    Closed,
}

pub(crate) struct Line<'a> {
    callers: &'a Callers,
    caller: &'static str,
    protocol: Protocol,
    address: SocketAddr,
    open: Option<Open>,
}

enum Open {
    Http1(Box<TlsStream<TcpStream>>),
    /// With what drives it.
    Http2(SendRequest<Empty<Bytes>>, JoinSet<()>),
}

impl<'a> Line<'a> {
    pub(crate) fn new(
        callers: &'a Callers,
        caller: &'static str,
        protocol: Protocol,
        address: SocketAddr,
    ) -> Self {
        Self {
            callers,
            caller,
            protocol,
            address,
            open: None,
        }
    }

    /// The answer to one request; to a byte stream the request is a few bytes.
    pub(crate) async fn call(&mut self, request: &Request, probe: u64) -> Answer {
        let answer = match self.protocol {
            Protocol::Tcp => timeout(SILENCE, self.echo()).await,
            Protocol::Http1 => timeout(SILENCE, self.http1(request, probe)).await,
            Protocol::Http2 => timeout(SILENCE, self.http2(request, probe)).await,
        };
        match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => {
                self.open = None;
                Answer::Closed
            }
        }
    }

    async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        self.callers
            .connect(self.caller, self.protocol, self.address)
            .await
    }

    async fn echo(&self) -> io::Result<Answer> {
        let mut stream = self.connect().await?;
        stream.write_all(b"hello").await?;
        stream.flush().await?;
        let mut back = [0; 5];
        stream.read_exact(&mut back).await?;
        assert_eq!(&back, b"hello");
        Ok(Answer::Echo)
    }

    async fn http1(&mut self, request: &Request, probe: u64) -> io::Result<Answer> {
        let mut stream = match self.open.take() {
            Some(Open::Http1(stream)) => stream,
            _ => Box::new(self.connect().await?),
        };
        let reply = http1::exchange(&mut stream, request, probe).await?;
        if reply.reusable {
            self.open = Some(Open::Http1(stream));
        }
        Ok(Answer::Status(reply.status))
    }

    async fn http2(&mut self, request: &Request, probe: u64) -> io::Result<Answer> {
        let mut open = match self.open.take() {
            Some(Open::Http2(sender, tasks)) if !sender.is_closed() => (sender, tasks),
            _ => {
                let io = TokioIo::new(self.connect().await?);
                let handshake = http2::handshake(TokioExecutor::new(), io).await;
                let (sender, connection) = handshake.map_err(io::Error::other)?;
                let mut tasks = JoinSet::new();
                tasks.spawn(async move { drop(connection.await) });
                (sender, tasks)
            }
        };
        let response = open.0.send_request(to_http2(request, probe)).await;
        let response = response.map_err(io::Error::other)?;
        let status = response.status().as_u16();
        response
            .into_body()
            .collect()
            .await
            .map_err(io::Error::other)?;
        self.open = Some(Open::Http2(open.0, open.1));
        Ok(Answer::Status(status))
    }
}

/// Whether the HTTP/2 library can write this request; it can write most.
pub(crate) fn fits_http2(request: &Request) -> bool {
    request.target.starts_with('/') && request.target.parse::<PathAndQuery>().is_ok()
}

pub(crate) fn to_http2(request: &Request, probe: u64) -> http::Request<Empty<Bytes>> {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTPS);
    parts.authority = Some(Authority::from_static("lab"));
    parts.path_and_query = Some(request.target.parse().expect("a path that fits"));
    let mut message = http::Request::new(Empty::new());
    *message.method_mut() = request.method.parse::<Method>().expect("a method");
    *message.uri_mut() = Uri::from_parts(parts).expect("a URI");
    message.headers_mut().insert(PROBE, probe.into());
    for (name, value) in &request.headers {
        let name: HeaderName = name.parse().expect("a header name");
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header value");
        message.headers_mut().append(name, value);
    }
    message
}
