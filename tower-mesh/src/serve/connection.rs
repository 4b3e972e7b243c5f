//! One HTTP connection: settled, served, drained when it must end, cut when it did not.

use std::{
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_core::stream::BoxStream;
use http::{Request, Response};
use http_body::Body;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, Sleep, sleep, sleep_until},
};
use tower_service::Service;

use super::{
    dormant::Dormant,
    flood::Metered,
    limits::Limits,
    open,
    protocol::{Prefixed, Protocol},
    request::Requests,
    tether::{Tether, tether},
};
use crate::{
    error::BoxError,
    gather::{Gathering, gather},
    measure,
    time::later,
};

/// What is asked of a connection that must end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Order {
    /// Take no further request, finish what is open. It is cut when `within` has passed.
    Drain { within: Option<Duration> },
    /// End now.
    Cut,
}

/// Where a connection's orders come from, and what was ordered so far.
pub(crate) struct Control {
    // A connection is polled for every frame and must not queue at a shared lock each time.
    orders: Dormant<Order>,
    open: Arc<open::Requests>,
    /// Counts the connection as long as this is there.
    _counted: Option<Arc<measure::Open>>,
    draining: bool,
    /// Because of something in it.
    cutting: bool,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Control {
    pub(crate) fn new(
        orders: BoxStream<'static, Order>,
        open: Arc<open::Requests>,
        counted: Option<Arc<measure::Open>>,
    ) -> Self {
        Self {
            orders: Dormant::new(orders),
            open,
            _counted: counted,
            draining: false,
            cutting: false,
            deadline: None,
        }
    }

    /// Ready when the connection is to be cut. Until then `draining` says whether to drain.
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Poll::Ready(order) = self.orders.poll_next(cx) {
            match order {
                Order::Cut => return Poll::Ready(()),
                Order::Drain { within } => {
                    self.draining = true;
                    if let Some(within) = within {
                        self.tighten(later(Instant::now(), within));
                    }
                }
            }
        }
        if !self.cutting
            && let Poll::Ready(within) = self.open.poll_order(cx)
        {
            self.draining = true;
            if let Some(within) = within {
                self.cutting = true;
                self.tighten(later(Instant::now(), within));
            }
        }
        match &mut self.deadline {
            Some(deadline) => deadline.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    /// The earliest deadline holds: a later order never gives more time.
    fn tighten(&mut self, until: Instant) {
        if self
            .deadline
            .as_ref()
            .is_none_or(|deadline| until < deadline.deadline())
        {
            self.deadline = Some(Box::pin(sleep_until(until)));
        }
    }
}

/// Serves `io` until its peer, its orders or an error ends it. An upgraded stream counts until the
/// application drops it.
///
/// Whatever is large is in a box of its own, and gone when its part is over: an idle connection
/// pays for its protocol alone, and not for the one it does not speak or for having found out.
///
/// # Cancel safety
///
/// Dropping the future cuts the connection, also one that the application took over.
pub(crate) fn serve<I, S, B>(
    io: I,
    negotiated: Option<Protocol>,
    requests: Requests<S>,
    limits: Arc<Limits>,
    control: Control,
) -> impl Future<Output = ()> + Send
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (mut io, tether) = tether(io);
    let settling = Box::pin(async move {
        let settle = Protocol::settle(negotiated, &mut io, limits.head_timeout);
        let (protocol, prefix) = settle.await?;
        let io = Prefixed::new(prefix, io);
        Ok(spoken(protocol, io, requests, &limits))
    });
    run(settling, tether, control)
}

type Settling = Pin<Box<dyn Future<Output = io::Result<Spoken>> + Send>>;
type Spoken = Pin<Box<dyn Drain + Send>>;

async fn run(settling: Settling, tether: Tether, mut control: Control) {
    let ended = match settled(&mut control, settling).await {
        Some(Ok(conn)) => drive(conn, &mut control).await,
        Some(Err(error)) => return tracing::debug!(%error, "no HTTP was spoken"),
        None => return,
    };
    match ended {
        // Dropping the tether cuts what is left.
        Ended::Cut => return,
        Ended::Closed(Ok(())) => {}
        Ended::Closed(Err(error)) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "connection broke");
        }
    }
    upgraded(&tether, &mut control).await;
}

/// hyper's connection, of the protocol that is spoken.
fn spoken<I, S, B>(
    protocol: Protocol,
    io: Prefixed<I>,
    requests: Requests<S>,
    limits: &Limits,
) -> Spoken
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    match protocol {
        Protocol::Http1 => {
            let http1 = limits.http1();
            Box::pin(
                http1
                    .serve_connection(TokioIo::new(io), requests)
                    .with_upgrades(),
            )
        }
        Protocol::H2 => {
            let (io, writes) = gather(Metered::new(io, limits.max_empty_frames));
            let connection = limits.http2().serve_connection(TokioIo::new(io), requests);
            Box::pin(Gathering::new(connection, writes))
        }
    }
}

/// How long a connection that is drained may still take to say what it speaks: as long as a request
/// that was on its way needs to arrive.
const UNSETTLED: Duration = Duration::from_secs(1);

/// `settling`, or `None` if the connection is to be cut first, or is drained and says nothing.
async fn settled(control: &mut Control, mut settling: Settling) -> Option<io::Result<Spoken>> {
    let mut last_call: Option<Pin<Box<Sleep>>> = None;
    std::future::poll_fn(|cx| {
        if control.poll_cut(cx).is_ready() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(settled) = settling.as_mut().poll(cx) {
            return Poll::Ready(Some(settled));
        }
        if !control.draining {
            return Poll::Pending;
        }
        let last_call = last_call.get_or_insert_with(|| Box::pin(sleep(UNSETTLED)));
        last_call.as_mut().poll(cx).map(|()| None)
    })
    .await
}

/// Waits for the end of a stream that left hyper's hands. Nobody can ask it to finish, so an order
/// to drain only starts its clock.
async fn upgraded(tether: &Tether, control: &mut Control) {
    let open = Arc::clone(&control.open);
    // Who gives the order has been told whom to wake: `control` asks as well.
    let gone = std::future::poll_fn(|cx| match open.is_cut() {
        true => Poll::Ready(()),
        false => tether.poll_gone(cx),
    });
    // In each case the tether is dropped next, which cuts what is not gone.
    let _gone_or_cut = until_cut(control, gone).await;
}

/// `future`, or `None` if the connection is to be cut first.
async fn until_cut<F: Future>(control: &mut Control, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match control.poll_cut(cx) {
        Poll::Ready(()) => Poll::Ready(None),
        Poll::Pending => future.as_mut().poll(cx).map(Some),
    })
    .await
}

/// How [`drive`] ended.
enum Ended {
    Closed(hyper::Result<()>),
    Cut,
}

/// Polls the connection to its end, and hands it its orders on the way.
async fn drive(mut conn: Spoken, control: &mut Control) -> Ended {
    let mut told = false;
    std::future::poll_fn(|cx| {
        // First, because a busy connection is ready at every poll.
        if control.poll_cut(cx).is_ready() {
            return Poll::Ready(Ended::Cut);
        }
        if let Poll::Ready(ended) = conn.as_mut().poll(cx) {
            return Poll::Ready(Ended::Closed(ended));
        }
        // After the poll, so that a request whose bytes were already here is answered.
        if control.draining && !told {
            told = true;
            conn.as_mut().drain();
            return conn.as_mut().poll(cx).map(Ended::Closed);
        }
        Poll::Pending
    })
    .await
}

/// hyper's two server connections, as far as they are one.
trait Drain: Future<Output = hyper::Result<()>> {
    fn drain(self: Pin<&mut Self>);
}

impl<I, S, B> Drain for http1::UpgradeableConnection<I, Requests<S>>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    fn drain(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, W, S, B> Drain for Gathering<http2::Connection<I, Requests<S>, TokioExecutor>, W>
where
    W: AsyncWrite + Unpin,
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn drain(self: Pin<&mut Self>) {
        self.connection().graceful_shutdown();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        measure::{Inbound, Sink},
        serve::{
            callers::Callers,
            tests::{hello, web},
        },
    };
    use consul_connect::MeshStream;

    #[test]
    fn what_a_connection_does_not_need_now_is_not_in_its_task() {
        fn size_of_output<I, O>(_serve: impl FnOnce(I) -> O) -> usize {
            size_of::<O>()
        }
        let exchanges = Inbound::new(Sink::of("api")).caller(&web());
        let callers = Callers::One(web(), exchanges);
        let open = Arc::new(open::Requests::new(None, Duration::ZERO));
        let control = Control::new(
            Box::pin(futures_util::stream::pending()),
            Arc::clone(&open),
            None,
        );
        let requests = Requests::new(hello(), Arc::default(), callers, open);
        let size =
            size_of_output(|io: MeshStream| serve(io, None, requests, Arc::default(), control));
        assert!(size <= 512, "{size} bytes");
    }
}
