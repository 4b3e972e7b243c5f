//! The body of a response as hyper sees it: a panic in it is an error of the one response, and so is a denial that comes
//! while it is on its way.
//!
//! hyper polls a body in the task of the connection (HTTP/1.1) or of the stream (h2). Either would take a panic with it: the
//! exchange would count as answered, and nothing but the panic hook would say why the caller got half of a response.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{open::OpenRequest, request::words};
use crate::{
    authorize::{Refusal, ResponseBody},
    error::BoxError,
};

pin_project! {
    pub(crate) struct Guarded<B> {
        #[pin]
        body: ResponseBody<B>,
        // Asked about again when the rules change, and whether it is gRPC.
        open: Option<(OpenRequest, bool)>,
    }
}

impl<B> Guarded<B> {
    pub(super) fn new(body: ResponseBody<B>, open: Option<(OpenRequest, bool)>) -> Self {
        Self { body, open }
    }
}

/// What hyper is told: it resets the stream, or closes an HTTP/1.1 connection before the end that the response promised.
#[derive(Debug, thiserror::Error)]
enum CutOff {
    #[error("the application panicked while it wrote a response body")]
    Panicked,
    #[error("the rules changed and deny what was being answered")]
    Denied,
}

impl<B> Body for Guarded<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        let mut body = this.body;
        // What is left of it may panic when it is dropped; nobody waits for that.
        let end = |body: Pin<&mut ResponseBody<B>>, trailers: Option<&HeaderMap>| {
            let _ = catch_unwind(AssertUnwindSafe(|| body.end(trailers)));
        };
        if let Some((open, is_grpc)) = this.open
            && open.poll_denied(cx).is_ready()
        {
            let trailers = is_grpc.then(|| Refusal::Denied.trailers());
            *this.open = None;
            end(body, trailers.as_ref());
            return Poll::Ready(Some(match trailers {
                Some(trailers) => Ok(Frame::trailers(trailers)),
                None => Err(CutOff::Denied.into()),
            }));
        }
        let polled = catch_unwind(AssertUnwindSafe(|| body.as_mut().poll_frame(cx)));
        polled.map_or_else(
            |panic| {
                tracing::error!(
                    panic = words(&*panic),
                    "the application panicked in a response body"
                );
                end(body, None);
                Poll::Ready(Some(Err(CutOff::Panicked.into())))
            },
            |polled| polled.map_err(Into::into),
        )
    }

    // Where one of these panics, hyper goes on and asks for a frame.

    fn is_end_stream(&self) -> bool {
        catch_unwind(AssertUnwindSafe(|| self.body.is_end_stream())).unwrap_or_default()
    }

    fn size_hint(&self) -> SizeHint {
        catch_unwind(AssertUnwindSafe(|| self.body.size_hint())).unwrap_or_default()
    }
}
