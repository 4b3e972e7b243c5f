//! One call: an endpoint, a connection, the request, and what to do when one of them fails.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tokio::time::Instant;

use super::{
    Limits,
    deadline::{Late, Limit, Phase, RequestTimeout},
    head,
    replay::{self, Fate},
};
use crate::{
    balance::random,
    body::{Body, Received, Sent, Terms},
    endpoint::{Endpoint, InFlight},
    error::{BoxError, Error, ErrorKind, grpc_failure},
    grpc,
    pool::{Lease, SendError, Want},
    upstream::Upstream,
};

/// Endpoints, or connections of one, that a request is offered to.
const TRIES: usize = 3;

pub(super) async fn send<B>(
    upstream: &Arc<Upstream>,
    limits: Limits,
    request: Request<B>,
) -> Result<Response<Body>, Error>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let is_grpc = grpc::content_type(request.headers()).is_some();
    let mut exchange = upstream.outbound().exchanges().begin(is_grpc);
    let result = bounded(upstream, limits, request, is_grpc).await;
    match &result {
        Ok(response) => exchange.answered(response.status(), response.headers()),
        Err(error) => exchange.failed(error.kind()),
    }
    match result {
        Err(error) if is_grpc => {
            // A generated client would call any error `Unknown`.
            let mut response = Response::new(Body::empty());
            *response.headers_mut() = grpc_failure(&error);
            response.extensions_mut().insert(error);
            Ok(response)
        }
        result => result.map(|response| response.map(|body| body.measured(exchange))),
    }
}

async fn bounded<B>(
    upstream: &Arc<Upstream>,
    limits: Limits,
    mut request: Request<B>,
    is_grpc: bool,
) -> Result<Response<Body>, Error>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let want = head::prepare(&mut request, upstream.name(), upstream.authority())?;
    let grpc_timeout = is_grpc.then(|| grpc::timeout(request.headers())).flatten();
    let own = request.extensions_mut().remove::<RequestTimeout>();
    let limit = Limit::new(own, grpc_timeout, limits.timeout);

    // Only these limits have to know how far a streaming body is.
    let pause = limits.idle.or(limit.of_head());
    let (sent, upload) = if pause.is_some() && !request.body().is_end_stream() {
        let (sent, upload) = Sent::channel();
        (Some(sent), Some(upload))
    } else {
        (None, None)
    };
    let call = Call {
        upstream,
        want,
        phase: &Phase::new(upload.as_ref()),
        terms: || Terms {
            upstream: Arc::clone(upstream.name()),
            idle: limits.idle,
            deadline: limit.of_body(),
            grpc: is_grpc,
        },
    };
    let request = request.map(|body| Body::outgoing(body, sent));
    tokio::select! {
        biased;
        result = call.run(request) => result,
        late = limit.passed(upload, pause, call.phase) => Err(call.late(late, limit)),
    }
}

struct Call<'a, T> {
    upstream: &'a Arc<Upstream>,
    want: Want,
    phase: &'a Phase,
    terms: T,
}

/// Why a try was not answered.
enum Unanswered {
    /// Nothing was sent, or what was may be sent again: here is the request.
    Again(Box<Request<Body>>, Error),
    /// The endpoint refused us and acted on nothing. Another one may think differently of us; this one will not.
    Elsewhere(Box<Request<Body>>, Error),
    Final(Error),
}

impl<T: Fn() -> Terms> Call<'_, T> {
    async fn run(&self, mut request: Request<Body>) -> Result<Response<Body>, Error> {
        let mut snapshot = match self.upstream.now() {
            Some(snapshot) => snapshot,
            None => self.upstream.ready().await?,
        };
        let mut tried: Vec<Arc<Endpoint>> = Vec::new();
        let mut last = None;
        for attempt in 0..TRIES {
            self.phase.set(Phase::CONNECT);
            // Who could not be reached may have been replaced meanwhile.
            if attempt > 0
                && let Some(newer) = self.upstream.now()
            {
                snapshot = newer;
            }
            let now = Instant::now();
            let Some(endpoint) = snapshot.pick(random(), now, &tried) else {
                break;
            };
            let mut load = endpoint.begin(now);
            let lease = match endpoint.pool().checkout(self.want).await {
                Ok(lease) => lease,
                Err(error) => {
                    if error.kind() == ErrorKind::Protocol {
                        load.unsent();
                    } else {
                        load.failed();
                    }
                    tried.push(Arc::clone(endpoint));
                    last = Some(error);
                    continue;
                }
            };
            let mut elsewhere = false;
            match self.exchange(request, lease, load).await {
                Ok(response) => return Ok(response),
                Err(Unanswered::Final(error)) => return Err(error),
                Err(Unanswered::Again(again, error)) => {
                    last = Some(error);
                    request = *again;
                }
                Err(Unanswered::Elsewhere(again, error)) => {
                    last = Some(error);
                    request = *again;
                    elsewhere = true;
                }
            }
            head::unshape(
                &mut request,
                self.upstream.name(),
                self.upstream.authority(),
            )?;
            // Another endpoint if there is one; else the same with another connection.
            if elsewhere || snapshot.endpoints().len() > tried.len() + 1 {
                tried.push(Arc::clone(endpoint));
            }
        }
        Err(last.unwrap_or_else(|| snapshot.no_endpoint()))
    }

    async fn exchange(
        &self,
        mut request: Request<Body>,
        mut lease: Lease,
        mut load: InFlight,
    ) -> Result<Response<Body>, Unanswered> {
        head::shape(&mut request, lease.protocol());
        let copy = replay::copy(&request, &lease);
        let method = request.method().clone();
        self.phase.set(Phase::ANSWER);
        match lease.send(request).await {
            Ok(response) => {
                load.answered();
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    lease.upgraded();
                }
                let terms = (self.terms)();
                Ok(response
                    .map(|incoming| Body::received(Received::new(incoming, lease, load, terms))))
            }
            Err(SendError::NotSent(request, source)) => {
                load.unsent();
                let context = format!(
                    "calling `{}`: the connection closed before the request was written",
                    self.upstream.name()
                );
                let error = Error::with_source(ErrorKind::NotSent, context, source);
                Err(Unanswered::Again(request, error))
            }
            Err(SendError::Denied(request, source)) => {
                load.failed();
                let context = format!("calling `{}`", self.upstream.name());
                let error = Error::with_source(ErrorKind::Denied, context, source);
                Err(match request.or(copy.map(Box::new)) {
                    Some(again) => Unanswered::Elsewhere(again, error),
                    None => Unanswered::Final(error),
                })
            }
            Err(SendError::Sent(source)) => {
                load.failed();
                let fate = Fate::of(&source);
                let context = match fate {
                    Fate::Refused => "the peer refused the request unread",
                    Fate::Lost => "the connection was lost before the response began",
                    Fate::Unknown => "no response came",
                };
                let context = format!("calling `{}`: {context}", self.upstream.name());
                let kind = match fate {
                    Fate::Refused => ErrorKind::NotSent,
                    Fate::Lost | Fate::Unknown => ErrorKind::Sent,
                };
                let error = Error::with_source(kind, context, source);
                Err(match copy {
                    Some(copy) if fate.permits(&method) => Unanswered::Again(Box::new(copy), error),
                    _ => Unanswered::Final(error),
                })
            }
        }
    }

    fn late(&self, late: Late, limit: Limit) -> Error {
        if let Late::Reading(pause) = late {
            let context = format!(
                "calling `{}`: nothing of the request's body was taken for {pause:?}",
                self.upstream.name()
            );
            return Error::new(ErrorKind::Timeout, context);
        }
        let granted = limit.granted();
        let what = match self.phase.get() {
            Phase::RESOLVE => return self.upstream.unknown(granted),
            Phase::CONNECT => "no connection could be made",
            _ => "no response came",
        };
        let context = format!(
            "calling `{}`: {what} within {granted:?}",
            self.upstream.name()
        );
        Error::new(ErrorKind::Timeout, context)
    }
}
