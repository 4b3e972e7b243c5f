//! From a connection to a route and back, through the scripted faults.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::call::Call;
use super::listener::{Io, Reset, Serve};
use super::reply::{JSON, Reply};
use super::router;
use crate::faults::{Fault, Recorded};
use crate::state::Shared;

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Larger bodies are refused; the real limits are lower and per endpoint.
const MAX_BODY: usize = 8 * 1024 * 1024;

/// Serves HTTP/1.1 connections over the state.
pub(crate) fn http(shared: Arc<Shared>) -> Serve {
    Arc::new(move |io: Io| {
        let shared = Arc::clone(&shared);
        Box::pin(async move {
            let reset = io.reset();
            let service = service_fn(move |request| {
                let shared = Arc::clone(&shared);
                let reset = reset.clone();
                async move { answer(&shared, &reset, request).await }
            });
            let connection = http1::Builder::new()
                .title_case_headers(true)
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(io), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
        })
    })
}

/// Ends the connection without an answer.
fn hang_up() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "a scripted fault")
}

async fn answer(
    shared: &Shared,
    reset: &Reset,
    request: Request<Incoming>,
) -> Result<Response<Body>, io::Error> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        let reply = Reply::text(StatusCode::PAYLOAD_TOO_LARGE, "Request body too large");
        return Ok(respond(shared, reply, None));
    };
    let call = Call::new(parts.method, &path, &query, parts.headers, body.to_bytes());
    let fault = {
        let mut faults = shared.faults();
        faults.log.push(Recorded {
            method: call.method.to_string(),
            path: path.clone(),
            query: blank_token(&query),
            authenticated: !call.secret().is_empty(),
            host: host(&call),
        });
        faults.take(call.method.as_str(), &path)
    };
    match &fault {
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Reset) => {
            reset.mark();
            return Err(hang_up());
        }
        Some(Fault::Status { status, text }) => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return Ok(respond(shared, Reply::text(status, text.clone()), None));
        }
        Some(Fault::Garbage) => {
            let reply = Reply::text(StatusCode::OK, "{\"Roots\": [<html>").content_type(Some(JSON));
            return Ok(respond(shared, reply, None));
        }
        Some(Fault::Delay(delay)) => tokio::time::sleep(*delay).await,
        _ => {}
    }
    let mut reply = router::route(shared, call).await;
    if let Some(Fault::Index(index)) = &fault {
        reply.headers.retain(|(name, _)| *name != "X-Consul-Index");
        if let Some(index) = index {
            reply = reply.with("X-Consul-Index", index.clone());
        }
    }
    Ok(respond(shared, reply, fault.as_ref()))
}

fn host(call: &Call) -> String {
    call.headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned()
}

fn blank_token(query: &str) -> String {
    query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some(("token", _)) => "token=…",
            _ => pair,
        })
        .collect::<Vec<_>>()
        .join("&")
}

fn respond(shared: &Shared, reply: Reply, fault: Option<&Fault>) -> Response<Body> {
    let acl_default = shared.with(|state| {
        if state.facts.acl {
            state.facts.acl_default
        } else {
            "allow"
        }
    });
    let length = reply.body.len();
    let mut response = Response::new(body(reply.body, fault));
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    if let Some(content_type) = reply.content_type {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    if !reply.bare {
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        headers.insert(
            HeaderName::from_static("x-consul-default-acl-policy"),
            HeaderValue::from_static(acl_default),
        );
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    for (name, value) in reply.headers {
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(&value),
        ) {
            headers.insert(name, value);
        }
    }
    response
}

fn body(bytes: Bytes, fault: Option<&Fault>) -> Body {
    let frame = |piece: Bytes| Ok::<_, io::Error>(Frame::data(piece));
    match fault {
        Some(Fault::Truncate) => {
            let half = bytes.slice(..bytes.len() / 2);
            let parts = [frame(half), Err(hang_up())];
            BodyExt::boxed_unsync(StreamBody::new(stream::iter(parts)))
        }
        Some(Fault::SlowBody { chunk, pause }) => {
            let pieces = pieces(&bytes, *chunk);
            let pause: Duration = *pause;
            let slow = stream::iter(pieces).then(move |piece| async move {
                tokio::time::sleep(pause).await;
                frame(piece)
            });
            BodyExt::boxed_unsync(StreamBody::new(slow))
        }
        _ => Full::new(bytes)
            .map_err(|never: Infallible| match never {})
            .boxed_unsync(),
    }
}

fn pieces(bytes: &Bytes, size: usize) -> Vec<Bytes> {
    let size = size.max(1);
    (0..bytes.len())
        .step_by(size)
        .map(|start| bytes.slice(start..bytes.len().min(start + size)))
        .collect()
}
