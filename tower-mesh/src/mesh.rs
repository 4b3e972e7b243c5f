//! Being a member of the mesh: identity, intentions, servers and clients under one handle.

#[cfg(feature = "admin")]
mod admin;
mod advertise;
mod builder;
#[cfg(feature = "dev")]
mod dev;
mod environment;
mod explain;
mod inner;
mod join;
#[cfg(feature = "metrics")]
mod observe;
mod presence;
mod signals;
mod status;

pub use builder::MeshBuilder;
pub use environment::Platform;
pub use status::Status;

use std::{fmt, sync::Arc};

use bytes::Bytes;
use consul_api::Client as Consul;
use consul_connect::{
    Intentions, Layer, ServiceId, ServiceName, intention::Explanation, registration::Health,
};
use futures_core::Stream;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::{
    net::{TcpListener, ToSocketAddrs, lookup_host},
    sync::mpsc,
};
use tokio_util::task::AbortOnDropHandle;
use tower_service::Service;

use crate::{
    Client, Error, ErrorKind, UpstreamRef,
    error::BoxError,
    serve::{Server, ServerHandle, shutdown::conduct},
    tcp,
    upstream::connect_stream,
};
use inner::Inner;

/// A member of a Consul service mesh.
///
/// A cheap handle: clones share everything. The process is a member by its identity, which is
/// renewed as long as a `Mesh`, a [`Client`] or a server of it lives; its servers are in the catalog
/// while they run.
///
/// # Shutdown
///
/// [`serve`](Self::serve) leaves by itself on SIGTERM and SIGINT; [`shutdown`](Self::shutdown) makes
/// every server leave. In both cases in this order: the check turns critical; for a grace (5 s) the
/// server goes on accepting, because callers do not know yet; it stops accepting and finishes what
/// is open (HTTP/1.1 closes after the response, h2 sends GOAWAY) up to a deadline (10 s), after
/// which it cuts the rest; the instance is deregistered. A second signal cuts at once, and so does a
/// second call of `shutdown`; one of each is one wish. Dropping the future of a server instead is a
/// crash: callers learn of it when the check's time is up.
///
/// Readiness goes first: from the signal or the call on, [`status`](Self::status) says that the
/// process leaves, [`ready`](Self::ready) fails, and no further server is taken in. A server that ends
/// by the future of [`serve_with_shutdown`](Self::serve_with_shutdown) leaves alone: the process is
/// ready as long as another of its servers stays, on its way out with the last of them, and may serve
/// again. A signal ends only the servers of `serve`; `shutdown` ends the others.
///
/// What was called before goes on: a [`Client`] outlives its `Mesh`.
#[derive(Clone)]
pub struct Mesh(Arc<Inner>);

impl Mesh {
    /// Joins the mesh as `service`, through the Consul that the `CONSUL_*` variables name.
    ///
    /// # Errors
    ///
    /// As [`MeshBuilder::join`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn join(service: impl Into<String>) -> Result<Self, Error> {
        Self::builder(service).join().await
    }

    /// Joins in a way of one's own.
    pub fn builder(service: impl Into<String>) -> MeshBuilder {
        MeshBuilder::new(service.into())
    }

    /// Serves HTTP on `address` until the process is asked to end: SIGTERM, or SIGINT (Ctrl-C).
    ///
    /// `app` is any tower HTTP service: an axum `Router`, tonic's `Routes::into_axum_router()`, a
    /// `tower::service_fn`. What happens to each request is told in [`serve`](crate::serve). Once
    /// the port is known, the instance is registered, unless the platform does it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Listen`] if the address cannot be bound or the signals cannot be handled;
    /// [`ErrorKind::Shutdown`] if the mesh was left before.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is a crash, see [`Mesh`]. The signals stay handled: tokio installs their
    /// handlers for the rest of the process's life.
    pub async fn serve<S, B>(
        &self,
        address: impl ToSocketAddrs + fmt::Debug,
        app: S,
    ) -> Result<(), Error>
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let tcp = self.bind(address).await?;
        let signals = signals::asks().map_err(|error| {
            Error::with_source(ErrorKind::Listen, "listening for signals", error)
        })?;
        let signals = signals.inspect(|()| self.0.signal());
        self.run(tcp, app, signals).await
    }

    /// The same, until `shutdown` is ready. No signal is handled.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Listen`] if the address cannot be bound; [`ErrorKind::Shutdown`] if the mesh was
    /// left before.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is a crash, see [`Mesh`].
    pub async fn serve_with_shutdown<S, B>(
        &self,
        address: impl ToSocketAddrs + fmt::Debug,
        app: S,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), Error>
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let tcp = self.bind(address).await?;
        self.run(tcp, app, stream::once(shutdown)).await
    }

    /// The same on a socket that is already bound, until [`shutdown`](Self::shutdown). No signal is
    /// handled.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Listen`] if the socket has no address; [`ErrorKind::Shutdown`] if the mesh was
    /// left before.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is a crash, see [`Mesh`].
    pub async fn serve_on<S, B>(&self, listener: TcpListener, app: S) -> Result<(), Error>
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.run(listener, app, stream::pending()).await
    }

    /// Accepts byte streams on `address`: whatever is not HTTP. No ALPN is offered, and no signal is
    /// handled.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Listen`] if the address cannot be bound; [`ErrorKind::Shutdown`] if the mesh was
    /// left before.
    pub async fn listen(
        &self,
        address: impl ToSocketAddrs + fmt::Debug,
    ) -> Result<tcp::Listener, Error> {
        let tcp = self.bind(address).await?;
        let me = &self.0;
        let mut builder =
            consul_connect::Listener::builder(me.identity().clone(), Arc::clone(&me.authorize))
                .layer(Layer::Connection)
                .grace(me.serving.grace)
                .tls(me.tls.clone())
                .on_refused(me.on_refused());
        if let Some(limit) = me.serving.max_connections {
            builder = builder.max_connections(limit);
        }
        if let Some(cluster_peers) = me.cluster_peers() {
            builder = builder.cluster_peers(cluster_peers);
        }
        let listener = builder.from_tcp(tcp).map_err(|error| {
            Error::with_source(ErrorKind::Listen, "taking over a bound socket", error)
        })?;
        let local_addr = listener.local_addr();
        let (sender, accepted) = mpsc::channel(tcp::BACKLOG);
        let handle = ServerHandle::new();
        let acceptor = tcp::Acceptor {
            listener,
            handle: handle.clone(),
            accepted: sender,
            inbound: Arc::clone(&me.inbound),
        };
        let entry = me.enter(local_addr)?;
        let (timing, asks) = (me.timing(&entry), me.asks());
        let task = tokio::spawn(async move {
            conduct(acceptor.run(), handle, &entry, timing, asks).await;
        });
        Ok(tcp::Listener::new(
            accepted,
            local_addr,
            AbortOnDropHandle::new(task),
        ))
    }

    /// A client of another service. Cheap, so it may be made for one call: the 64 services that
    /// were asked for last, here or by [`connect`](Self::connect), are followed on when nobody holds
    /// a client of them any more, and their connections stay open for the next one.
    pub fn client(&self, upstream: impl Into<UpstreamRef>) -> Client {
        Client::of(self.0.upstream(&upstream.into()))
    }

    /// A byte stream to another service: whatever is not HTTP. Up to three of its instances are
    /// tried. What Consul says of the service is followed on, as of a [`client`](Self::client), so
    /// that the next stream to it does not wait.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoEndpoints`] if it has no instance; [`ErrorKind::Connect`],
    /// [`ErrorKind::Denied`] or [`ErrorKind::Identity`] of the last one tried;
    /// [`ErrorKind::Timeout`] or [`ErrorKind::Consul`] if where it is cannot be learnt.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was opened.
    pub async fn connect(&self, upstream: impl Into<UpstreamRef>) -> Result<tcp::Stream, Error> {
        let me = &self.0;
        let upstream = me.upstream(&upstream.into());
        let (connection, load, open) = connect_stream(&me.context, &upstream).await?;
        Ok(tcp::Stream::dialled(connection, load, open))
    }

    /// Who this process is.
    #[must_use]
    pub fn service(&self) -> &ServiceName {
        &self.0.service
    }

    /// The client of the Consul it joined through, with the same token.
    #[must_use]
    pub fn consul(&self) -> &Consul {
        &self.0.consul
    }

    /// Its live identity.
    #[must_use]
    pub fn identity(&self) -> &consul_connect::Identity {
        self.0.identity()
    }

    /// The intentions that decide who may call; `None` if another policy was given.
    #[must_use]
    pub fn intentions(&self) -> Option<&Intentions> {
        self.0.intentions.as_ref()
    }

    /// The handle by which the application says how it is. All servers of this process share it.
    #[must_use]
    pub fn health(&self) -> Health {
        self.0.health.clone()
    }

    /// Waits until a server of this process runs and every one that stays is in the catalog.
    ///
    /// A process that only calls is ready when it has joined, and must not wait here: no server of
    /// it ever runs.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Denied`] if Consul refuses to take an instance in;
    /// [`ErrorKind::Shutdown`] if the mesh is left meanwhile, or was before, or the last of the
    /// running servers leaves.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn ready(&self) -> Result<(), Error> {
        let registered = async {
            self.0.roster.inhabited().await;
            for presence in self.0.roster.staying() {
                presence.registered().await.map_err(|error| {
                    let context = format!("registering `{}`", self.0.service);
                    Error::with_source(ErrorKind::Denied, context, error)
                })?;
            }
            Ok(())
        };
        tokio::select! {
            biased;
            () = self.0.leaves() => Err(self.0.left()),
            registered = registered => registered,
        }
    }

    /// What is known now, how old it is, and what is wrong with it.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.status()
    }

    /// What would happen to a caller, or to this request of it, and everything that leads to it; `None`
    /// if another policy than the intentions was given.
    ///
    /// The request is normalised as a server of this member does it. `Display` of the answer is text
    /// for people. In [shadow mode](MeshBuilder::dangerously_shadow) it is what would happen without.
    ///
    /// ```no_run
    /// # fn show(mesh: tower_mesh::Mesh, web: consul_connect::ServiceId) -> Result<(), http::Error> {
    /// let request = http::Request::get("/orders/7").body(())?;
    /// if let Some(explanation) = mesh.explain(&web, Some(&request)) {
    ///     println!("{explanation}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn explain<B>(
        &self,
        caller: &ServiceId,
        request: Option<&Request<B>>,
    ) -> Option<Explanation> {
        let intentions = self.0.intentions.as_ref()?;
        Some(match request {
            None => intentions.explain(caller, None),
            Some(request) => explain::request(intentions, &self.0.normalization, caller, request),
        })
    }

    /// Where the [admin listener](MeshBuilder::admin) is, if there is one.
    #[cfg(feature = "admin")]
    #[must_use]
    pub fn admin_addr(&self) -> Option<std::net::SocketAddr> {
        self.0.admin
    }

    /// Leaves the mesh: every server in the order told on [`Mesh`], at the same time. Called again
    /// while that goes on, it cuts what is open.
    ///
    /// The identity stays, for the clients that go on calling; it is renewed until the last of them
    /// and the last `Mesh` are dropped.
    ///
    /// # Cancel safety
    ///
    /// The wish stays when the future is dropped; the servers leave as their own futures are polled.
    pub async fn shutdown(&self) {
        self.0.ask();
        self.0.roster.empty().await;
        if let Some(intentions) = &self.0.intentions {
            intentions.shutdown().await;
        }
    }

    async fn bind(&self, address: impl ToSocketAddrs + fmt::Debug) -> Result<TcpListener, Error> {
        let failed =
            |error| Error::with_source(ErrorKind::Listen, format!("binding {address:?}"), error);
        let found = lookup_host(&address).await.map_err(failed)?;
        let addresses = found
            .map(|found| self.0.bindable(found))
            .collect::<Result<Vec<_>, _>>()?;
        TcpListener::bind(&addresses[..]).await.map_err(failed)
    }

    async fn run<S, B>(
        &self,
        tcp: TcpListener,
        app: S,
        asks: impl Stream<Item = ()> + Send,
    ) -> Result<(), Error>
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let me = &self.0;
        let mut builder = Server::builder(me.identity().clone(), Arc::clone(&me.authorize))
            .measured(Arc::clone(&me.inbound))
            .tls(me.tls.clone())
            .normalization(me.normalization.clone())
            .limits(me.serving.limits.clone())
            .grace(me.serving.grace);
        if me.serving.tell_denials {
            builder = builder.tell_denials();
        }
        if let Some(limit) = me.serving.max_connections {
            builder = builder.max_connections(limit);
        }
        if let Some(alpn) = &me.serving.alpn {
            builder = builder.alpn(alpn.iter().cloned());
        }
        if let Some(cluster_peers) = me.cluster_peers() {
            builder = builder.cluster_peers(cluster_peers);
        }
        let server = builder.from_tcp(tcp)?;
        let (entry, handle) = (me.enter(server.local_addr())?, server.handle());
        // Beside the server and for as long: what it finds out is only for the log.
        let advice = me.advise().then(|()| std::future::pending());
        let served = async {
            tokio::select! {
                () = server.run(app) => {}
                () = advice => {}
            }
        };
        conduct(served, handle, &entry, me.timing(&entry), me.wishes(asks)).await;
        Ok(())
    }
}

impl fmt::Debug for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mesh")
            .field("service", &self.0.service)
            .field("consul", &self.0.consul_address)
            .finish_non_exhaustive()
    }
}
