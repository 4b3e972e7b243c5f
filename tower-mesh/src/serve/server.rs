use std::{fmt, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use consul_connect::{Accepted, Alpn, Closing, ConnectionGuard, Grace, Identity, Listener};
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::task::AbortOnDropHandle;
use tower_service::Service;

use super::{
    Limits, ServerBuilder, ServerHandle,
    admission::Admission,
    callers::Callers,
    connection::{self, Control, Order},
    open::OpenRequests,
    protocol::Protocol,
    request::Requests,
    stage::{self, Stage},
};
use crate::{
    authorize::Authorize,
    error::BoxError,
    measure::{Inbound, Open},
};

/// An HTTP server for verified members of the mesh. See the [module](crate::serve).
pub struct Server {
    listener: Listener,
    admission: Arc<Admission>,
    open: Arc<OpenRequests>,
    limits: Arc<Limits>,
    handle: ServerHandle,
    inbound: Arc<Inbound>,
}

impl Server {
    /// A server that presents `identity` and asks `authorize` about every request.
    pub fn builder(identity: Identity, authorize: Arc<dyn Authorize>) -> ServerBuilder {
        ServerBuilder::new(identity, authorize)
    }

    pub(super) fn new(
        listener: Listener,
        admission: Admission,
        grace: Grace,
        limits: Limits,
        inbound: Arc<Inbound>,
    ) -> Self {
        Self {
            open: OpenRequests::new(Arc::clone(&admission.authorize), grace),
            inbound,
            listener,
            admission: Arc::new(admission),
            limits: Arc::new(limits),
            handle: ServerHandle::new(),
        }
    }

    /// The address it is bound to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// What ends it.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Serves `app` until the [`handle`](Self::handle) drained or cut it and the last connection
    /// has ended, upgraded ones included.
    ///
    /// `app` is any tower HTTP service: an axum `Router`, tonic's `Routes::into_axum_router()`, a
    /// `tower::service_fn`. It is cloned for each request, and polled ready before it is called.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the socket and cuts every connection.
    pub async fn run<S, B>(mut self, app: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let following = tokio::spawn(Arc::clone(&self.open).follow());
        let _following = AbortOnDropHandle::new(following);
        let mut stages = self.handle.subscribe();
        let mut cut = self.handle.subscribe();
        let mut connections = JoinSet::new();
        let mut leaving = false;
        loop {
            tokio::select! {
                biased;
                () = stage::reached(Stage::Draining, &mut stages), if !leaving => {
                    leaving = true;
                    self.listener.stop_accepting();
                }
                // What has not finished its handshake by now ends with the listener.
                () = stage::reached(Stage::Cut, &mut cut) => break,
                Some(ended) = connections.join_next() => {
                    if let Err(error) = ended {
                        // Only a response body can get here: handlers are caught on their own.
                        tracing::error!(%error, "a connection ended in a panic");
                    }
                }
                accepted = self.listener.accept() => match accepted {
                    Some(accepted) => {
                        connections.spawn(self.connection(accepted, app.clone(), stages.clone()));
                    }
                    None => break,
                },
            }
        }
        // The listener stays until the last connection has ended: it holds them to the rules.
        while let Some(ended) = connections.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a connection ended in a panic");
            }
        }
    }

    fn connection<S, B>(
        &self,
        accepted: Accepted,
        app: S,
        stages: watch::Receiver<Stage>,
    ) -> impl Future<Output = ()> + Send + use<S, B>
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let limits = Arc::clone(&self.limits);
        let open = Arc::new(self.inbound.accepted());
        let callers = Callers::new(accepted.remote, &self.inbound);
        let kept = self.open.connection(&callers);
        let admission = Arc::clone(&self.admission);
        let requests = Requests::new(app, admission, callers, Arc::clone(&kept));
        let orders = Orders {
            guard: accepted.guard,
            open: Arc::clone(&open),
            stages,
            seen: Stage::Serving,
        };
        let control = Control::new(orders.stream(), kept, Some(open));
        let negotiated = match accepted.alpn {
            Some(Alpn::H2) => Some(Protocol::H2),
            Some(Alpn::Http11) => Some(Protocol::Http1),
            // Nothing else is offered, so nothing else was agreed on; the first bytes decide.
            _ => None,
        };
        connection::serve(accepted.stream, negotiated, requests, limits, control)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("listener", &self.listener)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// What a connection is asked, one after the other. The live set says why in the log itself.
struct Orders {
    guard: ConnectionGuard,
    open: Arc<Open>,
    stages: watch::Receiver<Stage>,
    seen: Stage,
}

impl Orders {
    fn stream(self) -> BoxStream<'static, Order> {
        stream::unfold(Some(self), |orders| async { orders?.next().await }).boxed()
    }

    /// The next, and where those after it come from, if there can be any.
    async fn next(mut self) -> Option<(Order, Option<Self>)> {
        tokio::select! {
            closing = self.guard.closing() => match closing {
                Closing::Drain { reason, within } => {
                    self.open.drained(&reason);
                    let within = Some(within);
                    return Some((Order::Drain { within }, Some(self)));
                }
                Closing::Cut { reason } => self.open.cut(&reason),
                // A later kind that this crate does not know cannot be a permission to stay.
                unknown => tracing::error!(?unknown, "cutting a connection"),
            },
            () = stage::passed(self.seen, &mut self.stages) => {
                self.seen = *self.stages.borrow_and_update();
                if self.seen < Stage::Cut {
                    return Some((Order::Drain { within: None }, Some(self)));
                }
            }
        }
        Some((Order::Cut, None))
    }
}
