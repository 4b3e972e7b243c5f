//! A caller's streaming body on its way out.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::{sync::oneshot, time::Instant};

use super::Content;
use crate::error::{BoxError, Error, ErrorKind};

/// Dropped when a streaming request body has been read to its end, or is given up; until then it
/// notes who is waited for.
///
/// The deadline of a response counts from its end: a caller that streams for an hour is not late. A
/// peer that does not take what it was given is.
pub(crate) struct Sent {
    turn: Arc<Turn>,
    _sent: oneshot::Sender<Infallible>,
}

/// The other end of [`Sent`].
pub(crate) struct Upload {
    pub(crate) turn: Arc<Turn>,
    /// Resolves when the body is over.
    pub(crate) over: oneshot::Receiver<Infallible>,
}

impl Sent {
    /// The token to put into the body, and what it tells.
    pub(crate) fn channel() -> (Self, Upload) {
        let (sent, over) = oneshot::channel();
        let turn = Arc::new(Turn::new());
        let upload = Upload {
            turn: Arc::clone(&turn),
            over,
        };
        (Self { turn, _sent: sent }, upload)
    }
}

/// Who has to do something next: the caller, who gives a body piece by piece, or the others, who
/// take it.
pub(crate) struct Turn {
    epoch: Instant,
    /// In nanoseconds since the epoch; the greatest number while the caller is waited for.
    since: AtomicU64,
}

impl Turn {
    const CALLERS: u64 = u64::MAX;

    fn new() -> Self {
        Self {
            epoch: Instant::now(),
            since: AtomicU64::new(0),
        }
    }

    /// From now on the others are waited for.
    pub(crate) fn passes(&self) {
        let since = self.epoch.elapsed().as_nanos() as u64;
        self.since.store(since, Ordering::Relaxed);
    }

    fn is_callers(&self) {
        self.since.store(Self::CALLERS, Ordering::Relaxed);
    }

    /// Since when the others are waited for; `None` while it is the caller's turn.
    pub(crate) fn since(&self) -> Option<Instant> {
        match self.since.load(Ordering::Relaxed) {
            Self::CALLERS => None,
            since => Some(self.epoch + Duration::from_nanos(since)),
        }
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
        let polled = this.body.as_mut().poll_frame(cx);
        if let Some(sent) = this.sent.as_ref() {
            if polled.is_pending() {
                sent.turn.is_callers();
            } else {
                sent.turn.passes();
            }
        }
        let frame = std::task::ready!(polled);
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

impl<B> Content for Outgoing<B>
where
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    fn kind(&self) -> &'static str {
        "Stream"
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
        let (sent, mut upload) = Sent::channel();
        let mut body = Body::outgoing(StreamBody::new(Box::pin(stream)), Some(sent));
        let frame = Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"x")));
        frames.send(frame).expect("a receiver");
        body.frame().await.expect("a frame").expect("no error");
        assert!((&mut upload.over).now_or_never().is_none());
        drop(frames);
        assert!(body.frame().await.is_none());
        assert!((&mut upload.over).now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn the_turn_is_the_callers_only_while_it_has_nothing_to_give() {
        let (frames, stream) = tokio::sync::mpsc::unbounded_channel();
        let stream = futures_util::stream::unfold(stream, async |mut stream| {
            stream.recv().await.map(|frame| (frame, stream))
        });
        let (sent, upload) = Sent::channel();
        let began = Instant::now();
        let mut body = Body::outgoing(StreamBody::new(Box::pin(stream)), Some(sent));
        assert_eq!(upload.turn.since(), Some(began), "nobody asked for a piece");

        assert!(body.frame().now_or_never().is_none());
        assert_eq!(upload.turn.since(), None, "there is no piece");

        tokio::time::advance(Duration::from_secs(5)).await;
        let piece = Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"x")));
        frames.send(piece).expect("a receiver");
        body.frame().await.expect("a frame").expect("no error");
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(upload.turn.since(), Some(began + Duration::from_secs(5)));
    }
}
