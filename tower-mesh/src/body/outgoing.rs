//! A caller's streaming body on its way out.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::sync::oneshot;

use crate::error::{BoxError, Error, ErrorKind};

/// Dropped when a streaming request body has been read to its end, or is given up.
///
/// The deadline of a response counts from there: a caller that streams for an hour is not late.
pub(crate) struct Sent {
    _sent: oneshot::Sender<std::convert::Infallible>,
}

impl Sent {
    /// The token to put into the body, and what resolves when it is dropped.
    pub(crate) fn channel() -> (Self, oneshot::Receiver<std::convert::Infallible>) {
        let (sent, over) = oneshot::channel();
        (Self { _sent: sent }, over)
    }
}

pin_project! {
    pub(super) struct Outgoing<B> {
        #[pin]
        body: B,
        sent: Option<Sent>,
    }
}

impl<B> Outgoing<B> {
    pub(super) fn new(body: B, sent: Option<Sent>) -> Self {
        Self { body, sent }
    }
}

impl<B> http_body::Body for Outgoing<B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut this = self.project();
        let frame = std::task::ready!(this.body.as_mut().poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) || this.body.is_end_stream() {
            *this.sent = None;
        }
        Poll::Ready(frame.map(|frame| {
            frame.map_err(|error| {
                Error::with_source(ErrorKind::Body, "reading the body of a request", error)
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;
    use crate::body::Body;

    #[tokio::test]
    async fn tells_when_the_last_frame_has_been_read() {
        let (frames, stream) = tokio::sync::mpsc::unbounded_channel();
        let stream = futures_util::stream::unfold(stream, async |mut stream| {
            stream.recv().await.map(|frame| (frame, stream))
        });
        let (sent, mut over) = Sent::channel();
        let mut body = Body::outgoing(StreamBody::new(Box::pin(stream)), Some(sent));
        let frame = Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"x")));
        frames.send(frame).expect("a receiver");
        body.frame().await.expect("a frame").expect("no error");
        assert!((&mut over).now_or_never().is_none());
        drop(frames);
        assert!(body.frame().await.is_none());
        assert!((&mut over).now_or_never().is_some());
    }
}
