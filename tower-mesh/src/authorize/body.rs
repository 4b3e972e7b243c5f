use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};

use super::Refusal;
use crate::{ErrorKind, measure::Exchange};

pin_project! {
    /// The application's response body, or the few words of a refusal.
    ///
    /// The body of a gRPC call that came with a `grpc-timeout` ends when that is over, with
    /// `grpc-status: 4` in its trailers.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        state: State<B>,
        exchange: Option<Exchange>,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<B> {
        App { #[pin] body: B },
        // The deadline has a box of its own so that bodies without one stay small.
        Timed { #[pin] body: B, deadline: Pin<Box<Sleep>> },
        Text { text: Option<Bytes> },
    }
}

impl<B> ResponseBody<B> {
    fn new(state: State<B>) -> Self {
        Self {
            state,
            exchange: None,
        }
    }

    /// The request ends with this body.
    pub(crate) fn measured(mut self, exchange: Exchange) -> Self {
        self.exchange = Some(exchange);
        self
    }

    /// The application's body, as it is.
    pub(crate) fn app(body: B) -> Self {
        Self::new(State::App { body })
    }

    /// The application's body, up to `deadline`.
    pub(crate) fn timed(body: B, deadline: Pin<Box<Sleep>>) -> Self {
        Self::new(State::Timed { body, deadline })
    }

    pub(crate) fn text(text: Bytes) -> Self {
        Self::new(State::Text { text: Some(text) })
    }

    pub(crate) fn empty() -> Self {
        Self::new(State::Text { text: None })
    }
}

impl<B> ResponseBody<B> {
    /// It ends in the middle: with these trailers, or broken off.
    pub(crate) fn end(self: Pin<&mut Self>, trailers: Option<&HeaderMap>) {
        let mut this = self.project();
        if let Some(mut exchange) = this.exchange.take() {
            match trailers {
                Some(trailers) => exchange.trailers(trailers),
                None => exchange.failed(ErrorKind::Body),
            }
        }
        this.state.set(State::Text { text: None });
    }
}

impl<B: Default> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::app(B::default())
    }
}

impl<B: Body<Data = Bytes>> State<B> {
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.as_mut().project() {
            StateProj::App { body } => return body.poll_frame(cx),
            StateProj::Text { text } => return Poll::Ready(text.take().map(Frame::data).map(Ok)),
            StateProj::Timed { body, deadline } => {
                // By the clock: a body that always has data would never let the timer be asked.
                if Instant::now() < deadline.deadline() {
                    match body.poll_frame(cx) {
                        Poll::Ready(frame) => return Poll::Ready(frame),
                        Poll::Pending => ready!(deadline.as_mut().poll(cx)),
                    }
                }
            }
        }
        // Replacing the body drops it, and with it whatever the handler still does for it.
        self.set(Self::Text { text: None });
        Poll::Ready(Some(Ok(Frame::trailers(Refusal::Deadline.trailers()))))
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.state.poll_frame(cx));
        if let Some(exchange) = this.exchange {
            match &frame {
                Some(Ok(frame)) => {
                    if let Some(trailers) = frame.trailers_ref() {
                        exchange.trailers(trailers);
                    }
                }
                Some(Err(_)) => exchange.failed(ErrorKind::Body),
                None => *this.exchange = None,
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.state {
            State::App { body } | State::Timed { body, .. } => body.is_end_stream(),
            State::Text { text } => text.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            State::App { body } => body.size_hint(),
            // It may end early: an exact length would be a promise it cannot keep.
            State::Timed { .. } => SizeHint::default(),
            State::Text { text } => {
                SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64))
            }
        }
    }
}
