use std::{
    fmt, io,
    io::IoSlice,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::TlsStream;

use crate::{
    TlsVersion,
    live::Membership,
    tls::{identity_alert, name},
};

/// A byte stream between two verified members of the mesh.
///
/// When the connection loses its reason to exist (see [`ConnectionGuard`](crate::ConnectionGuard)) it is cut: every read and
/// write fails with [`ConnectionAborted`](io::ErrorKind::ConnectionAborted), and whoever waits on it is woken.
///
/// Under TLS 1.3 a client is done with its handshake before the server has looked at its certificate. A server that refuses
/// it then says so where its first bytes would be: reads and writes fail with
/// [`PermissionDenied`](io::ErrorKind::PermissionDenied), and [`RefusedByPeer`] is inside.
pub struct MeshStream {
    tls: TlsStream<Transport>,
    member: Membership,
    /// Whether the peer has sent anything. Who has let us in does not refuse us.
    heard: bool,
    /// Who waits for bytes and is known to be woken by a cut. It nearly always is the same task, which then need not say so again.
    reader: Option<Waker>,
}

/// The peer refused our certificate after its side of the handshake looked done to us. It did so before it sent a byte, so
/// nothing that was sent to it reached an application.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer refused our identity ({alert})")]
#[non_exhaustive]
pub struct RefusedByPeer {
    /// The TLS alert it sent.
    pub alert: String,
}

impl RefusedByPeer {
    /// The refusal inside an error of a [`MeshStream`], if it is one.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl MeshStream {
    pub(crate) fn new(tls: TlsStream<Transport>, member: Membership) -> Self {
        Self {
            tls,
            member,
            heard: false,
            reader: None,
        }
    }

    /// Whether it is cut. If it is not, a cut wakes the reader.
    fn is_cut_or_wakes(&mut self, reader: &Waker) -> bool {
        let live = self.member.live();
        match &self.reader {
            Some(known) if known.will_wake(reader) => live.is_cut(),
            _ => {
                self.reader = Some(reader.clone());
                live.is_cut_or_wake_reader(reader)
            }
        }
    }

    fn understood(heard: bool, error: io::Error) -> io::Error {
        match identity_alert(&error).filter(|_| !heard) {
            Some(alert) => io::Error::new(io::ErrorKind::PermissionDenied, RefusedByPeer { alert }),
            None => error,
        }
    }

    /// What TLS was agreed on.
    pub fn negotiated(&self) -> Negotiated {
        let (_, session) = self.tls.get_ref();
        let suite = session.negotiated_cipher_suite();
        Negotiated {
            version: match session.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_2) => TlsVersion::V1_2,
                // The handshake is over, and only these two are ever spoken.
                _ => TlsVersion::V1_3,
            },
            cipher_suite: suite.map_or("unknown", |suite| name(suite.suite())),
        }
    }

    fn aborted() -> io::Error {
        io::Error::new(
            io::ErrorKind::ConnectionAborted,
            "the mesh no longer permits this connection",
        )
    }
}

/// The TLS of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Negotiated {
    /// The version.
    pub version: TlsVersion,
    /// The cipher suite, by its IANA name.
    pub cipher_suite: &'static str,
}

impl fmt::Debug for MeshStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeshStream")
            .field("remote", &self.member.live().facts.remote)
            .finish_non_exhaustive()
    }
}

impl AsyncRead for MeshStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.member.live().is_cut() {
            return Poll::Ready(Err(Self::aborted()));
        }
        // The waker is needed only by those who wait, so a busy stream pays one load and no more.
        match Pin::new(&mut this.tls).poll_read(cx, buf) {
            Poll::Pending if this.is_cut_or_wakes(cx.waker()) => Poll::Ready(Err(Self::aborted())),
            Poll::Ready(Ok(())) => {
                this.heard = true;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(Self::understood(this.heard, error))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl MeshStream {
    fn write_with<T>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TlsStream<Transport>>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let this = self.get_mut();
        if this.member.live().is_cut() {
            return Poll::Ready(Err(Self::aborted()));
        }
        match write(Pin::new(&mut this.tls), cx) {
            Poll::Pending if this.member.live().is_cut_or_wake_writer(cx.waker()) => {
                Poll::Ready(Err(Self::aborted()))
            }
            // Who refuses us closes, so a write may fail before anybody has read why.
            Poll::Ready(Err(error)) if !this.heard => {
                let why = Pin::new(&mut this.tls).poll_fill_buf(cx);
                // That left our waker where the reader's was, who would wait for ever: it looks again, and says anew whom a cut
                // wakes.
                this.reader = None;
                this.member.live().wake_reader();
                match why {
                    Poll::Ready(Err(why)) if identity_alert(&why).is_some() => {
                        Poll::Ready(Err(Self::understood(false, why)))
                    }
                    _ => Poll::Ready(Err(error)),
                }
            }
            poll => poll,
        }
    }
}

impl AsyncWrite for MeshStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write_with(cx, |tls, cx| tls.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write_with(cx, |tls, cx| tls.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.tls.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write_with(cx, |tls, cx| tls.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write_with(cx, |tls, cx| tls.poll_shutdown(cx))
    }
}

/// Any ordered byte stream that TLS can run over.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// What every socket of the mesh has: small replies do not wait for more, and a host that went away without a word is noticed.
/// A byte stream may be silent for days, so nothing else would ever end what such a host left behind.
pub(crate) fn tune(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(SILENCE)
        .with_interval(SILENCE);
    SockRef::from(tcp).set_tcp_keepalive(&keepalive)
}

/// Go's habit, and so that of the other members of a mesh. With the system's number of probes, mostly nine, a silent host is
/// given up after two and a half minutes.
const SILENCE: Duration = Duration::from_secs(15);

/// What a mesh stream runs over. The usual one costs no indirection.
pub(crate) enum Transport {
    Tcp(TcpStream),
    Other(Box<dyn Io>),
}

macro_rules! each {
    ($self:expr, $io:ident => $call:expr) => {
        match $self.get_mut() {
            Transport::Tcp(tcp) => {
                let $io = Pin::new(tcp);
                $call
            }
            Transport::Other(other) => {
                let $io = Pin::new(&mut **other);
                $call
            }
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, io => io.poll_read(cx, buf))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, io => io.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, io => io.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(tcp) => tcp.is_write_vectored(),
            Self::Other(other) => other.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, io => io.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = ready!(each!(self, io => io.poll_shutdown(cx)));
        Poll::Ready(shut)
    }
}
