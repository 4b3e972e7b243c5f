//! One request, from its head off the wire to the application and back.
//!
//! The order is fixed, because each step relies on the one before: what a caller must not claim is
//! removed, the request gets its one spelling, then the policy sees the head, then the application
//! sees the head the policy saw, without what the policy takes out of it.

use std::{
    any::Any,
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, request::Parts};
use http_body::Body;
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep};
use tower_service::Service;

use super::{
    admission::{Admission, Admitted, Instead},
    callers::{Callers, XFCC},
    guarded::Guarded,
    open::{self, OpenRequest},
};
use crate::{
    authorize::{Dialect, Refusal, ResponseBody},
    error::BoxError,
    grpc,
    measure::Exchange,
};

/// The requests of one connection: hyper's side of the application.
pub(crate) struct Requests<S> {
    app: S,
    admission: Arc<Admission>,
    callers: Callers,
    open: Arc<open::Requests>,
}

impl<S> Requests<S> {
    pub(crate) fn new(
        app: S,
        admission: Arc<Admission>,
        callers: Callers,
        open: Arc<open::Requests>,
    ) -> Self {
        Self {
            app,
            admission,
            callers,
            open,
        }
    }

    /// Those that are open.
    #[cfg(test)]
    pub(crate) fn open(&self) -> &Arc<open::Requests> {
        &self.open
    }
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Requests<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
{
    type Response = Response<Guarded<B>>;
    type Error = Infallible;
    type Future = Answer<S>;

    fn call(&self, request: Request<Incoming>) -> Answer<S> {
        let (mut head, body) = request.into_parts();
        let found = self.callers.of(&head.headers);
        purify(&mut head);
        let dialect = Dialect::of(&head);
        let is_connect = head.method == Method::CONNECT;
        let exchange = found.exchanges.begin(dialect.is_grpc(), Instant::now());
        let (state, deadline, open) = match self.admission.admit(found, &self.open, &mut head) {
            Ok(Admitted {
                caller,
                permit,
                open,
            }) => {
                let deadline = match dialect {
                    Dialect::Grpc(_) => grpc::timeout(&head.headers).map(|d| Box::pin(sleep(d))),
                    Dialect::Http | Dialect::Head => None,
                };
                head.extensions.insert(caller.into_owned());
                head.extensions.insert(permit);
                let request = Some(Request::from_parts(head, body));
                let app = self.app.clone();
                (State::Ready { app, request }, deadline, Some(open))
            }
            Err(instead) => {
                let instead = Some(instead);
                (State::Refused { instead }, None, None)
            }
        };
        Answer {
            state,
            dialect,
            deadline,
            open,
            exchange: Some(exchange),
            told: self.admission.tell_denials,
            is_connect,
        }
    }
}

/// Makes a head fit to be judged: the policy and the application see what this leaves, and both the
/// same.
fn purify(head: &mut Parts) {
    // Looking at the few names there are is cheaper than hashing one that is hardly ever there.
    if head.headers.keys().any(|name| *name == XFCC) {
        head.headers.remove(XFCC);
    }
}

pin_project! {
    /// The answer to one request.
    pub(crate) struct Answer<S: Service<Request<Incoming>>> {
        #[pin]
        state: State<S, S::Future>,
        dialect: Dialect,
        deadline: Option<Pin<Box<Sleep>>>,
        open: Option<OpenRequest>,
        exchange: Option<Exchange>,
        told: bool,
        is_connect: bool,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, F> {
        Ready { app: S, request: Option<Request<Incoming>> },
        Running { #[pin] call: F },
        Refused { instead: Option<Instead> },
    }
}

impl<S, B> Future for Answer<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
{
    type Output = Result<Response<Guarded<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let StateProj::Refused { instead } = this.state.as_mut().project() {
            let denied = Instead::Refusal(Refusal::Denied);
            let response = instead
                .take()
                .unwrap_or(denied)
                .response(this.dialect.clone());
            return Poll::Ready(Ok(measured(this.exchange, response, None)));
        }
        if let Some(open) = this.open
            && let Poll::Ready(denied) = open.poll_denied(cx)
        {
            // Drops the call.
            this.state.set(State::Refused { instead: None });
            let response = denied.answer(this.dialect.clone(), *this.told);
            return Poll::Ready(Ok(measured(this.exchange, response, None)));
        }

        // A panic is the handler's fault, not its neighbours': the connection goes on.
        let polled = catch_unwind(AssertUnwindSafe(|| poll_app(this.state.as_mut(), cx)));
        let refusal = match polled {
            Ok(Poll::Ready(Ok(response))) => {
                let deadline = this.deadline.take();
                let response = response.map(|body| match deadline {
                    Some(deadline) => ResponseBody::timed(body, deadline),
                    None => ResponseBody::app(body),
                });
                let open = this.open.take().and_then(|open| {
                    match takes_over(*this.is_connect, &response) {
                        true => {
                            open.upgraded();
                            None
                        }
                        false => Some((open, this.dialect.is_grpc())),
                    }
                });
                return Poll::Ready(Ok(measured(this.exchange, response, open)));
            }
            Ok(Poll::Ready(Err(error))) => {
                let error = error.into();
                tracing::error!(
                    error = &*error as &dyn std::error::Error,
                    "the application failed"
                );
                Refusal::Failed
            }
            Ok(Poll::Pending) => {
                match this.deadline.as_mut() {
                    Some(deadline) => ready!(deadline.as_mut().poll(cx)),
                    None => return Poll::Pending,
                }
                Refusal::Deadline
            }
            Err(panic) => {
                tracing::error!(panic = words(&*panic), "the application panicked");
                Refusal::Failed
            }
        };
        // Drops the call, so that an application out of time stops working for nobody.
        this.state.set(State::Refused { instead: None });
        let response = refusal.answer(this.dialect.clone());
        Poll::Ready(Ok(measured(this.exchange, response, None)))
    }
}

/// Whether the application has what is left of the stream after this response (RFC 9110, 7.8 and 9.3.6).
fn takes_over<B>(is_connect: bool, response: &Response<B>) -> bool {
    let status = response.status();
    status == StatusCode::SWITCHING_PROTOCOLS || is_connect && status.is_success()
}

/// Hands the exchange on to the body, with whose end it ends.
fn measured<B>(
    exchange: &mut Option<Exchange>,
    response: Response<ResponseBody<B>>,
    open: Option<(OpenRequest, bool)>,
) -> Response<Guarded<B>> {
    let Some(mut exchange) = exchange.take() else {
        return response.map(|body| Guarded::new(body, open));
    };
    exchange.answered(response.status(), response.headers());
    response.map(|body| Guarded::new(body.measured(exchange), open))
}

/// Waits until the application is ready, hands it the request, and drives its answer.
fn poll_app<S>(
    mut state: Pin<&mut State<S, S::Future>>,
    cx: &mut Context<'_>,
) -> Poll<Result<S::Response, S::Error>>
where
    S: Service<Request<Incoming>>,
{
    loop {
        match state.as_mut().project() {
            StateProj::Ready { app, request } => {
                ready!(app.poll_ready(cx))?;
                let request = request.take().expect("a request is handed over once");
                let call = app.call(request);
                state.set(State::Running { call });
            }
            StateProj::Running { call } => return call.poll(cx),
            StateProj::Refused { .. } => unreachable!("a refused request reaches no application"),
        }
    }
}

/// What a panic said, as far as it used words.
pub(super) fn words(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("not in words")
}
