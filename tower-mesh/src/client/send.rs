//! One call: an endpoint, a connection, the request, and what to do when one of them fails.
//!
//! It is written for what nearly always happens: the upstream is known, a connection is free, the
//! request is answered. That path makes one allocation for the call and one for what its body
//! holds, and moves the request as seldom as it can. What is rare is boxed where it begins, so
//! that its state is no part of every call's.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::{
    Limits,
    deadline::{Clock, Late, Limit, Phase, RequestTimeout},
    head::{self, Prepared},
    replay::{self, Fate},
};
use crate::{
    balance::random,
    body::{Body, Received, Sent, Terms},
    endpoint::{Endpoint, InFlight},
    error::{BoxError, Error, ErrorKind, grpc_failure},
    grpc,
    measure::Exchange,
    pool::{Lease, SendError, Sender},
    upstream::{Pick, Upstream},
};

/// Endpoints, or connections of one, that a request is offered to.
const TRIES: u8 = 3;

/// Begins a call. Nothing is sent before the future is polled.
pub(super) fn send<B>(
    upstream: Arc<Upstream>,
    limits: Limits,
    request: Request<B>,
) -> impl Future<Output = Result<Response<Body>, Error>> + Send + 'static
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let is_grpc = grpc::content_type(request.headers()).is_some();
    let began = Instant::now();
    let exchange = upstream.outbound().exchanges().begin(is_grpc, began);
    let mut exchange = Some(exchange);
    let mut call = Call::new(upstream, limits, request, is_grpc, began);
    // Captured and lent, not passed on: a call is too large to be moved about.
    async move {
        let result = match &mut call {
            Ok(Call {
                attempts,
                clock,
                phase,
            }) => {
                let late = clock.passing(attempts.began, phase);
                let answer = attempts.run(phase, &mut exchange);
                match (Race { answer, late }).await {
                    Ok(answer) => answer,
                    Err(late) => Err(attempts.late(late, clock.granted(), phase)),
                }
            }
            Err(error) => Err(error.clone()),
        };
        let error = match result {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        if let Some(exchange) = &mut exchange {
            exchange.failed(error.kind());
        }
        if !is_grpc {
            return Err(error);
        }
        // A generated client would call any error `Unknown`.
        let mut response = Response::new(Body::empty());
        *response.headers_mut() = grpc_failure(&error);
        response.extensions_mut().insert(error);
        Ok(response)
    }
}

struct Call {
    attempts: Attempts,
    clock: Clock,
    phase: Phase,
}

/// The request, and what each try to have it answered needs to know.
struct Attempts {
    upstream: Arc<Upstream>,
    /// Between two tries the request; during one a copy of it, if it may be sent again.
    request: Option<Request<Body>>,
    prepared: Prepared,
    terms: Terms,
    began: Instant,
}

impl Call {
    fn new<B>(
        upstream: Arc<Upstream>,
        limits: Limits,
        mut request: Request<B>,
        is_grpc: bool,
        began: Instant,
    ) -> Result<Self, Error>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let prepared = head::prepare(&mut request, is_grpc, upstream.name())?;
        let grpc_timeout = is_grpc.then(|| grpc::timeout(request.headers())).flatten();
        let own = request.extensions_mut().remove::<RequestTimeout>();
        let limit = Limit::new(own, grpc_timeout, limits.timeout, began);

        // Only these limits have to know how far a streaming body is.
        let pause = limits.idle.or(limit.of_head());
        let (sent, upload) = if pause.is_some() && !request.body().is_end_stream() {
            let (sent, upload) = Sent::channel();
            (Some(sent), Some(upload))
        } else {
            (None, None)
        };
        let (clock, phase) = Clock::new(limit, upload, pause);
        Ok(Self {
            clock,
            phase,
            attempts: Attempts {
                upstream,
                request: Some(request.map(|body| Body::outgoing(body, sent))),
                prepared,
                terms: Terms {
                    idle: limits.idle,
                    deadline: limit.of_body(),
                    grpc: is_grpc,
                },
                began,
            },
        })
    }
}

pin_project! {
    /// The answer, or how the call is late. `select!` would keep more beside the two, and a call is large enough.
    struct Race<A, L> {
        #[pin]
        answer: A,
        #[pin]
        late: L,
    }
}

impl<A: Future, L: Future> Future for Race<A, L> {
    type Output = Result<A::Output, L::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // First, so that what is answered at once arms no timer.
        match this.answer.poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Ok(answer)),
            Poll::Pending => this.late.poll(cx).map(Err),
        }
    }
}

/// Why a try was not answered.
enum Unanswered {
    /// Nothing was sent, or what was may be sent again: here is the request.
    Again(Box<Request<Body>>, Error),
    /// The endpoint refused us and acted on nothing. Another one may think differently of us; this one will not.
    Elsewhere(Box<Request<Body>>, Error),
    Final(Error),
}

impl Attempts {
    async fn run(
        &mut self,
        phase: &Phase,
        exchange: &mut Option<Exchange>,
    ) -> Result<Response<Body>, Error> {
        let mut tried: Vec<Arc<Endpoint>> = Vec::new();
        let mut last = None;
        for attempt in 0..TRIES {
            let now = if attempt == 0 {
                self.began
            } else {
                Instant::now()
            };
            let endpoint = match self.upstream.pick(random(), now, &tried) {
                Pick::Endpoint(endpoint) => endpoint,
                Pick::NoEndpoint(error) => return Err(last.unwrap_or(error)),
                Pick::Unknown => {
                    let snapshot = Box::pin(self.upstream.ready()).await?;
                    match snapshot.pick(random(), Instant::now(), &tried) {
                        Some(endpoint) => Arc::clone(endpoint),
                        None => return Err(last.unwrap_or_else(|| snapshot.no_endpoint())),
                    }
                }
            };
            phase.set(Phase::CONNECT);
            let mut load = InFlight::begin(endpoint, now);
            let mut lease = match load.endpoint().pool().checkout(self.prepared.want).await {
                Ok(lease) => lease,
                Err(error) => {
                    if error.kind() == ErrorKind::Protocol {
                        load.unsent();
                    } else {
                        load.failed();
                    }
                    tried.push(Arc::clone(load.endpoint()));
                    last = Some(error);
                    continue;
                }
            };

            phase.set(Phase::ANSWER);
            let request = self.shaped(&lease)?;
            // Here and in no function of its own: that would move the request about.
            let answer = match lease.sender() {
                Sender::H1(sender) => sender.try_send_request(request).await,
                Sender::H2(sender) => sender.try_send_request(request).await,
            };
            let unanswered = match answer {
                Ok(response) => {
                    load.answered();
                    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                        lease.upgraded();
                    }
                    let mut exchange = exchange.take();
                    if let Some(exchange) = &mut exchange {
                        exchange.answered(response.status(), response.headers());
                    }
                    let terms = self.terms;
                    return Ok(response
                        .map(|incoming| Received::body(incoming, lease, load, terms, exchange)));
                }
                Err(error) => {
                    let failed = lease.failed(error);
                    self.unanswered(failed, &mut load)
                }
            };
            drop(lease);
            let (again, error, elsewhere) = match unanswered {
                Unanswered::Final(error) => return Err(error),
                Unanswered::Again(again, error) => (again, error, false),
                Unanswered::Elsewhere(again, error) => (again, error, true),
            };
            self.request = Some(*again);
            last = Some(error);
            // Another endpoint if there is one; else the same with another connection.
            if elsewhere || self.upstream.endpoints() > tried.len() + 1 {
                tried.push(Arc::clone(load.endpoint()));
            }
        }
        Err(last.unwrap_or_else(|| Error::new(ErrorKind::NoEndpoints, "no endpoint was tried")))
    }

    /// The request for a connection. A copy is kept if a failure could permit to use it.
    fn shaped(&mut self, lease: &Lease) -> Result<Request<Body>, Error> {
        let Some(mut request) = self.request.take() else {
            unreachable!("each try that has failed has put the request back");
        };
        self.request = replay::copy(&request, lease);
        let authority = self.upstream.authority();
        head::shape(&mut request, &self.prepared, authority, lease.protocol())?;
        Ok(request)
    }

    fn unanswered(&mut self, failed: SendError, load: &mut InFlight) -> Unanswered {
        let copy = self.request.take();
        let name = self.upstream.name();
        match failed {
            SendError::NotSent(request, source) => {
                load.unsent();
                let context = format!(
                    "calling `{name}`: the connection closed before the request was written"
                );
                let error = Error::with_source(ErrorKind::NotSent, context, source);
                Unanswered::Again(request, error)
            }
            SendError::Denied(request, source) => {
                load.failed();
                let context = format!("calling `{name}`");
                let error = Error::with_source(ErrorKind::Denied, context, source);
                match request.or_else(|| copy.map(Box::new)) {
                    Some(again) => Unanswered::Elsewhere(again, error),
                    None => Unanswered::Final(error),
                }
            }
            SendError::Sent(source) => {
                load.failed();
                let fate = Fate::of(&source);
                let context = match fate {
                    Fate::Refused => "the peer refused the request unread",
                    Fate::Lost => "the connection was lost before the response began",
                    Fate::Unknown => "no response came",
                };
                let context = format!("calling `{name}`: {context}");
                let kind = match fate {
                    Fate::Refused => ErrorKind::NotSent,
                    Fate::Lost | Fate::Unknown => ErrorKind::Sent,
                };
                let error = Error::with_source(kind, context, source);
                match copy {
                    Some(copy) if fate.permits(self.prepared.is_idempotent) => {
                        Unanswered::Again(Box::new(copy), error)
                    }
                    _ => Unanswered::Final(error),
                }
            }
        }
    }

    fn late(&self, late: Late, granted: Duration, phase: &Phase) -> Error {
        let name = self.upstream.name();
        if let Late::Reading(pause) = late {
            let context =
                format!("calling `{name}`: nothing of the request's body was taken for {pause:?}");
            return Error::new(ErrorKind::Timeout, context);
        }
        let what = match phase.get() {
            Phase::RESOLVE => return self.upstream.unknown(granted),
            Phase::CONNECT => "no connection could be made",
            _ => "no response came",
        };
        let context = format!("calling `{name}`: {what} within {granted:?}");
        Error::new(ErrorKind::Timeout, context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_no_larger_than_what_an_allocator_keeps_at_hand() {
        fn size_of_call<O>(_send: impl FnOnce(Arc<Upstream>, Limits, Request<Body>) -> O) -> usize {
            size_of::<O>()
        }
        // glibc's limit for the lists each thread has to itself; above it each call would search for room.
        let size = size_of_call(send::<Body>);
        assert!(size <= 1032, "{size} bytes");
    }
}
