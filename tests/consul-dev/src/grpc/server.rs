//! The service itself: tonic's codec and streams over a plain hyper h2 connection.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_core::Stream;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tonic::body::Body;
use tonic::server::{Grpc, ServerStreamingService, UnaryService};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use super::messages::{
    CaRoot, SignRequest, SignResponse, Timestamp, WatchRootsRequest, WatchRootsResponse,
};
use super::sign;
use crate::faults::{Fault, Recorded};
use crate::http::listener::{Io, Reset, Serve};
use crate::state::{Shared, State};

const SIGN: &str = "/hashicorp.consul.connectca.ConnectCAService/Sign";
const WATCH_ROOTS: &str = "/hashicorp.consul.connectca.ConnectCAService/WatchRoots";

/// Serves h2c connections over the state.
pub(crate) fn grpc(shared: Arc<Shared>) -> Serve {
    Arc::new(move |io: Io| {
        let shared = Arc::clone(&shared);
        Box::pin(async move {
            let reset = io.reset();
            let service = service_fn(move |request| {
                let shared = Arc::clone(&shared);
                let reset = reset.clone();
                async move { answer(shared, &reset, request).await }
            });
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(io), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "gRPC connection ended");
            }
        })
    })
}

fn secret<T>(request: &Request<T>) -> String {
    request
        .headers()
        .get("x-consul-token")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned()
}

async fn answer(
    shared: Arc<Shared>,
    reset: &Reset,
    request: Request<Incoming>,
) -> Result<Response<Body>, io::Error> {
    let path = request.uri().path().to_owned();
    let secret = secret(&request);
    let fault = {
        let mut faults = shared.faults();
        faults.log.push(Recorded {
            method: request.method().to_string(),
            path: path.clone(),
            query: String::new(),
            authenticated: !secret.is_empty(),
            host: request
                .uri()
                .authority()
                .map(ToString::to_string)
                .unwrap_or_default(),
        });
        faults.take(request.method().as_str(), &path)
    };
    match fault {
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Reset) => {
            reset.mark();
            return Err(io::Error::new(
                io::ErrorKind::ConnectionReset,
                "a scripted fault",
            ));
        }
        Some(Fault::Status { status, text }) => {
            let code = match status {
                503 => Code::Unavailable,
                429 => Code::ResourceExhausted,
                403 => Code::PermissionDenied,
                _ => Code::Internal,
            };
            return Ok(Status::new(code, text).into_http());
        }
        Some(Fault::Garbage) => {
            let mut response = Response::new(Body::new(http_body_util::Full::new(
                bytes::Bytes::from_static(b"<html>"),
            )));
            response.headers_mut().insert(
                http::header::CONTENT_TYPE,
                http::HeaderValue::from_static("text/html"),
            );
            return Ok(response);
        }
        Some(Fault::Delay(delay)) => tokio::time::sleep(delay).await,
        _ => {}
    }
    Ok(match path.as_str() {
        SIGN => {
            let method = Sign { shared, secret };
            Grpc::new(ProstCodec::default())
                .unary(method, request)
                .await
        }
        WATCH_ROOTS => {
            let method = WatchRoots { shared, secret };
            Grpc::new(ProstCodec::default())
                .server_streaming(method, request)
                .await
        }
        other => {
            let service = other
                .trim_start_matches('/')
                .split('/')
                .next()
                .unwrap_or_default();
            Status::unimplemented(format!("unknown service {service}")).into_http()
        }
    })
}

struct Sign {
    shared: Arc<Shared>,
    secret: String,
}

type Answer<T> = Pin<Box<dyn Future<Output = Result<tonic::Response<T>, Status>> + Send>>;

impl UnaryService<SignRequest> for Sign {
    type Response = SignResponse;
    type Future = Answer<SignResponse>;

    fn call(&mut self, request: tonic::Request<SignRequest>) -> Self::Future {
        let csr = request.into_inner().csr;
        let signed = self
            .shared
            .with(|state| sign::sign(state, &self.secret, &csr));
        let response = signed.map(|cert_pem| tonic::Response::new(SignResponse { cert_pem }));
        Box::pin(std::future::ready(response))
    }
}

struct WatchRoots {
    shared: Arc<Shared>,
    secret: String,
}

impl ServerStreamingService<WatchRootsRequest> for WatchRoots {
    type Response = WatchRootsResponse;
    type ResponseStream = RootsStream;
    type Future = Answer<RootsStream>;

    fn call(&mut self, _request: tonic::Request<WatchRootsRequest>) -> Self::Future {
        let allowed = self.shared.with(|state| permitted(state, &self.secret));
        let response = allowed.map(|()| {
            tonic::Response::new(RootsStream::new(
                Arc::clone(&self.shared),
                self.secret.clone(),
            ))
        });
        Box::pin(std::future::ready(response))
    }
}

/// Any valid token will do; none at all will not when ACLs are on.
fn permitted(state: &State, secret: &str) -> Result<(), Status> {
    if state.facts.acl && secret.is_empty() {
        return Err(Status::unauthenticated(
            "An ACL token must be provided (via the `x-consul-token` metadata field) to call this endpoint",
        ));
    }
    state
        .authorizer(secret)
        .map(|_| ())
        .map_err(|_reason| Status::unauthenticated("ACL not found"))
}

fn current(state: &State) -> WatchRootsResponse {
    let roots = &state.ca.roots;
    let mut listed: Vec<CaRoot> = roots
        .iter()
        .map(|root| CaRoot {
            id: root.id.clone(),
            name: "Consul CA Primary Cert".to_owned(),
            serial_number: root.serial,
            signing_key_id: root.signing_key_id(),
            root_cert: root.pem.clone(),
            intermediate_certs: root.intermediates.clone(),
            active: root.active,
            rotated_out_at: Some(root.rotated_out.map_or(Timestamp::YEAR_ONE, timestamp)),
        })
        .collect();
    listed.sort_by(|a, b| a.id.cmp(&b.id));
    WatchRootsResponse {
        active_root_id: state
            .ca
            .active()
            .map_or_else(|_| String::new(), |root| root.id.clone()),
        trust_domain: state.ca.trust_domain.clone(),
        roots: listed,
    }
}

fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        seconds: since.as_secs() as i64,
        nanos: since.subsec_nanos() as i32,
    }
}

/// The current roots, then the new ones after each change.
struct RootsStream {
    shared: Arc<Shared>,
    secret: String,
    changed: tokio_stream::wrappers::WatchStream<u64>,
    last: Option<WatchRootsResponse>,
    ended: bool,
}

impl RootsStream {
    fn new(shared: Arc<Shared>, secret: String) -> Self {
        // `WatchStream::new` yields at once, which sends the first message.
        let changed = tokio_stream::wrappers::WatchStream::new(shared.subscribe());
        Self {
            shared,
            secret,
            changed,
            last: None,
            ended: false,
        }
    }
}

impl Stream for RootsStream {
    type Item = Result<WatchRootsResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        loop {
            match Pin::new(&mut self.changed).poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(_)) => {}
            }
            let (permitted, roots) = self
                .shared
                .with(|state| (permitted(state, &self.secret), current(state)));
            if let Err(status) = permitted {
                self.ended = true;
                return Poll::Ready(Some(Err(status)));
            }
            if self.last.as_ref() != Some(&roots) {
                self.last = Some(roots.clone());
                return Poll::Ready(Some(Ok(roots)));
            }
        }
    }
}
