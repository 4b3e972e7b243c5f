//! The body of a response, and what ends with it.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    body::{Body, Content},
    endpoint::InFlight,
    error::{Error, ErrorKind, grpc_failure},
    measure::Exchange,
    pool::Lease,
    time::later,
};

/// What a response body is read under.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    /// Longest pause between two frames.
    pub(crate) idle: Option<Duration>,
    /// When the whole call must be over: gRPC's deadline, which covers its streams.
    pub(crate) deadline: Option<Instant>,
    /// Failures are told as gRPC trailers.
    pub(crate) grpc: bool,
}

/// A response body with its share of the connection.
pub(crate) struct Received {
    terms: Terms,
    timer: Option<Pin<Box<Sleep>>>,
    /// Until the end.
    open: Option<Open>,
}

/// Field order is drop order: the connection is given back after hyper has let go of the body.
struct Open {
    incoming: Incoming,
    _lease: Lease,
    load: InFlight,
    exchange: Option<Exchange>,
}

impl Received {
    /// The body of a response. The connection is free, and the request counted, when it ends.
    pub(crate) fn body(
        incoming: Incoming,
        lease: Lease,
        load: InFlight,
        terms: Terms,
        exchange: Option<Exchange>,
    ) -> Body {
        // An empty body is at its end before it is polled.
        if incoming.is_end_stream() {
            drop(incoming);
            return Body::empty();
        }
        Body(Some(Box::pin(Self {
            terms,
            timer: None,
            open: Some(Open {
                incoming,
                _lease: lease,
                load,
                exchange,
            }),
        })))
    }

    /// Whose response it is, for messages.
    fn upstream(&self) -> String {
        let exchange = self.open.as_ref().and_then(|open| open.exchange.as_ref());
        exchange.map_or_else(
            || "an upstream".to_owned(),
            |exchange| format!("`{}`", exchange.peer()),
        )
    }

    /// Armed only while a frame is awaited: most bodies have arrived when they are read.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.timer.is_none() {
            self.timer = self.terms.next_end().map(|at| Box::pin(sleep_until(at)));
        }
        let Some(timer) = self.timer.as_mut() else {
            return Poll::Pending;
        };
        std::task::ready!(timer.as_mut().poll(cx));
        self.late()
    }

    fn late(&mut self) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let upstream = self.upstream();
        let context = match self.terms.idle {
            Some(idle) if !self.terms.is_late() => {
                format!("reading a response of {upstream}: nothing came for {idle:?}")
            }
            _ => format!("reading a response of {upstream}: the deadline passed"),
        };
        self.fail(Error::new(ErrorKind::Timeout, context))
    }

    /// Lets go of the connection, after hyper has let go of the body.
    fn end(&mut self) {
        self.timer = None;
        self.open = None;
    }

    fn fail(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(open) = self.open.as_mut() {
            open.load.failed();
            if let Some(exchange) = open.exchange.as_mut() {
                exchange.failed(error.kind());
            }
        }
        self.end();
        if self.terms.grpc {
            // A generated client reads a status from trailers, and calls any other end `Unknown`.
            let mut trailers = grpc_failure(&error);
            trailers.remove(http::header::CONTENT_TYPE);
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Poll::Ready(Some(Err(error)))
    }
}

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let Some(open) = this.open.as_mut() else {
            return Poll::Ready(None);
        };
        match Pin::new(&mut open.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(exchange), Some(trailers)) =
                    (open.exchange.as_mut(), frame.trailers_ref())
                {
                    exchange.trailers(trailers);
                }
                if open.incoming.is_end_stream() {
                    this.end();
                } else if frame.is_data() && this.terms.is_late() {
                    // A peer that never pauses is as late as one that is silent.
                    return this.late();
                } else if let Some(timer) = this.timer.as_mut()
                    && let Some(at) = this.terms.next_end()
                {
                    timer.as_mut().reset(at);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                this.end();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                let context = format!("reading a response of {}", this.upstream());
                this.fail(Error::with_source(ErrorKind::Body, context, error))
            }
            Poll::Pending => this.poll_timer(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.open.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.open
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), |open| open.incoming.size_hint())
    }
}

impl Content for Received {
    fn kind(&self) -> &'static str {
        "Received"
    }
}

impl Terms {
    /// Whether the whole call should be over.
    fn is_late(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// When the body has failed if nothing comes from now on.
    fn next_end(&self) -> Option<Instant> {
        let idle = self.idle.map(|idle| later(Instant::now(), idle));
        match (idle, self.deadline) {
            (Some(idle), Some(deadline)) => Some(idle.min(deadline)),
            (idle, deadline) => idle.or(deadline),
        }
    }
}
