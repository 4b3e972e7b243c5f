//! The body of requests and responses.

mod outgoing;
mod received;

use std::{
    any::Any,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use outgoing::Outgoing;
pub(crate) use outgoing::{Sent, Turn, Upload};
pub(crate) use received::{Received, Terms};

use crate::error::{BoxError, Error};

/// A body of a request to or a response from an upstream: bytes, then perhaps trailers.
///
/// As the body of a response it holds its share of the connection, which is free again when the
/// body has been read to its end or is dropped. Dropped early, it closes an HTTP/1.1 connection
/// unless the rest had already arrived, and resets an h2 stream; both tell the peer to stop.
///
/// Bodies made of bytes can be sent a second time when the first was lost; streams cannot.
// No larger than a reference to what it is made of: requests are moved about often on their way, and all of a request with it.
#[derive(Default)]
pub struct Body(Option<Pin<Box<dyn Content>>>);

/// What a body is made of, unless it is empty.
trait Content: http_body::Body<Data = Bytes, Error = Error> + Send {
    /// All that there is of it, if that is here already.
    fn whole(&self) -> Option<&Bytes> {
        None
    }

    /// For messages.
    fn kind(&self) -> &'static str;
}

impl Body {
    /// A body without content.
    #[must_use]
    pub fn empty() -> Self {
        Self(None)
    }

    /// A body that streams. One that is over already, and the plain bodies of `http-body-util`, are
    /// kept as bytes.
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self::outgoing(body, None)
    }

    /// [`new`](Self::new), and word of its end to whoever counts a deadline from there.
    pub(crate) fn outgoing<B>(body: B, sent: Option<Sent>) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut body = Some(body);
        let any = &mut body as &mut dyn Any;
        if let Some(plain) = any.downcast_mut::<Option<http_body_util::Full<Bytes>>>() {
            return plain.take().map(Self::from_full).unwrap_or_default();
        }
        if let Some(own) = any.downcast_mut::<Option<Self>>() {
            return match own.take().unwrap_or_default() {
                // A response's body that is sent on is a stream like any other.
                Self(Some(stream)) if sent.is_some() && stream.whole().is_none() => {
                    Self(Some(Box::pin(Outgoing::new(stream, sent))))
                }
                other => other,
            };
        }
        match body {
            Some(body) if !body.is_end_stream() => Self(Some(Box::pin(Outgoing::new(body, sent)))),
            _ => Self::empty(),
        }
    }

    fn from_full(full: http_body_util::Full<Bytes>) -> Self {
        let mut full = full;
        // `Full` gives its bytes at the first poll, whoever asks.
        let mut nobody = Context::from_waker(std::task::Waker::noop());
        match http_body::Body::poll_frame(Pin::new(&mut full), &mut nobody) {
            Poll::Ready(Some(Ok(frame))) => frame.into_data().map(Self::from).unwrap_or_default(),
            _ => Self::empty(),
        }
    }

    /// The same body again, if it can be sent more than once.
    pub(crate) fn replay(&self) -> Option<Self> {
        match &self.0 {
            Some(content) if !content.is_end_stream() => content.whole().cloned().map(Self::from),
            _ => Some(Self::empty()),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut self.0 {
            None => Poll::Ready(None),
            Some(content) => content.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|content| content.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), |content| content.size_hint())
    }
}

/// Bytes, until they are given.
struct Whole(Option<Bytes>);

impl http_body::Body for Whole {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

impl Content for Whole {
    fn whole(&self) -> Option<&Bytes> {
        self.0.as_ref()
    }

    fn kind(&self) -> &'static str {
        "Full"
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Self::empty()
        } else {
            Self(Some(Box::pin(Whole(Some(bytes)))))
        }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.0.as_ref().map_or("Empty", |content| content.kind());
        f.debug_tuple("Body").field(&kind).finish()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Empty, Full, StreamBody};

    use super::*;

    #[tokio::test]
    async fn keeps_plain_bodies_as_bytes_that_can_be_sent_again() {
        let body = Body::new(Full::new(Bytes::from_static(b"again")));
        for copy in [body.replay().expect("bytes"), body] {
            assert_eq!(copy.collect().await.expect("bytes").to_bytes(), "again");
        }
        assert!(Body::new(Empty::<Bytes>::new()).replay().is_some());
        let mut read = Body::from("x");
        read.frame().await.expect("a frame").expect("bytes");
        let rest = read.replay().expect("nothing is left").collect().await;
        assert_eq!(rest.expect("nothing").to_bytes(), "");
        assert!(Body::new(Body::from("x")).replay().is_some());
    }

    #[tokio::test]
    async fn a_stream_keeps_its_trailers_and_cannot_be_sent_again() {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().expect("a value"));
        let frames = [
            Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from_static(b"one"))),
            Ok(Frame::trailers(trailers.clone())),
        ];
        let body = Body::new(StreamBody::new(futures_util::stream::iter(frames)));
        assert!(body.replay().is_none());
        let whole = body.collect().await.expect("a whole body");
        assert_eq!(whole.trailers(), Some(&trailers));
        assert_eq!(whole.to_bytes(), "one");
    }

    #[tokio::test]
    async fn an_error_of_the_callers_stream_is_its_source() {
        let frames = [Err::<Frame<Bytes>, _>(std::io::Error::other("disk"))];
        let body = Body::new(StreamBody::new(futures_util::stream::iter(frames)));
        let error = body.collect().await.expect_err("a failing body");
        assert_eq!(error.kind(), crate::ErrorKind::Body);
        assert_eq!(
            std::error::Error::source(&error)
                .expect("a cause")
                .to_string(),
            "disk"
        );
    }

    #[test]
    fn a_body_is_empty_by_default() {
        assert!(http_body::Body::is_end_stream(&Body::default()));
    }
}
