//! Requests of three kinds to one service, over many connections: HTTP/1.1, h2 and gRPC.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Router,
    extract::Path,
    routing::{get, post},
};
use bytes::Bytes;
use consul_connect::{Alpn, ConnectError, Connection, Connector, Destination, Peer, ServiceId};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use mesh_lab::load::{Load, Running};
use tower_mesh::{Client, Mesh};

use crate::{InventoryClient, InventoryServer, peers::chain};

/// HTTP/1.1 connections that are open from the start.
pub const CONNECTIONS: usize = 8;
/// How often an idempotent request is sent again that met a connection in the moment of its end, as every HTTP/1.1 client does.
const SENT_AGAIN: usize = 4;
/// How many failures are printed whole.
const TOLD: u64 = 5;

/// What [`Traffic`] calls: HTTP and gRPC.
pub fn answering(name: &str) -> Router {
    let name = name.to_owned();
    tonic::service::Routes::new(InventoryServer::default())
        .into_axum_router()
        .route(
            "/",
            get(async move |caller: Peer| format!("{} -> {name}", caller.id().service())),
        )
        .route(
            "/take/{milliseconds}",
            post(async move |Path(milliseconds): Path<u64>| {
                tokio::time::sleep(std::time::Duration::from_millis(milliseconds)).await;
                "taken"
            }),
        )
}

/// Calls one service as one member.
#[derive(Debug)]
#[non_exhaustive]
pub struct Traffic {
    /// The client of the mesh: h2, and gRPC.
    pub client: Client,
    connector: Connector,
    expected: ServiceId,
    idle: Mutex<VecDeque<SendRequest<Empty<Bytes>>>>,
    dialled: AtomicU64,
    again: AtomicU64,
    told: AtomicU64,
}

impl Traffic {
    /// Finds `service` and opens the HTTP/1.1 connections.
    pub async fn to(caller: &Mesh, service: &str) -> Arc<Self> {
        let client = caller.client(service);
        client.resolved().await.expect("the upstream is known");
        let here = caller.identity().current();
        let name = service.parse().expect("a service name");
        let traffic = Arc::new(Self {
            expected: ServiceId::new(here.trust_domain().clone(), here.id().datacenter(), name),
            connector: Connector::new(caller.identity().clone()),
            client,
            idle: Mutex::default(),
            dialled: AtomicU64::new(0),
            again: AtomicU64::new(0),
            told: AtomicU64::new(0),
        });
        for _ in 0..CONNECTIONS {
            let send = traffic.dial().await.expect("a connection");
            traffic.put_back(send);
        }
        traffic
    }

    /// Sends what `load` says, a third of each kind.
    pub fn start(self: &Arc<Self>, load: Load) -> Running {
        let me = Arc::clone(self);
        load.start(move |number| {
            let me = Arc::clone(&me);
            async move {
                match number % 3 {
                    0 => me.http1().await,
                    1 => me.http2().await,
                    _ => me.grpc().await,
                }
            }
        })
    }

    /// How many HTTP/1.1 connections were opened, and how many requests were sent again over another.
    #[must_use]
    pub fn http1_counts(&self) -> (u64, u64) {
        (
            self.dialled.load(Ordering::Relaxed),
            self.again.load(Ordering::Relaxed),
        )
    }

    /// A `GET` by the client of the mesh.
    ///
    /// # Errors
    /// The class of the failure.
    pub async fn http2(&self) -> Result<(), String> {
        let answer = async {
            let response = self.client.get("/").send().await?.error_for_status()?;
            response.text().await
        };
        answer.await.map(drop).map_err(|error| {
            self.tell(&chain(&error));
            format!("h2 {}", error.kind().code())
        })
    }

    /// A `POST` that takes so long, by the client of the mesh.
    ///
    /// # Errors
    /// The class of the failure.
    pub async fn post(&self, milliseconds: u64) -> Result<(), String> {
        let answer = async {
            let path = format!("/take/{milliseconds}");
            let response = self.client.post(path).send().await?.error_for_status()?;
            response.text().await
        };
        answer.await.map(drop).map_err(|error| {
            self.tell(&chain(&error));
            format!("post {}", error.kind().code())
        })
    }

    /// A gRPC call by the client of the mesh.
    ///
    /// # Errors
    /// The class of the failure.
    pub async fn grpc(&self) -> Result<(), String> {
        let mut inventory = InventoryClient::new(self.client.clone());
        inventory.count("lamp").await.map(drop).map_err(|status| {
            self.tell(&format!("{status:?}"));
            format!("grpc {:?}", status.code())
        })
    }

    /// A `GET` over one of the HTTP/1.1 connections.
    ///
    /// # Errors
    /// The class of the failure.
    pub async fn http1(&self) -> Result<(), String> {
        for attempt in 0.. {
            let reused = match attempt {
                SENT_AGAIN => None,
                _ => self.take().await,
            };
            let last = reused.is_none();
            let mut send = match reused {
                Some(send) => send,
                None if self.instances().is_empty() => return Err("h1 no_endpoints".to_owned()),
                None => self.dial().await.map_err(|error| {
                    self.tell(&chain(&error));
                    format!("h1 {}", error.failure().code())
                })?,
            };
            match exchange(&mut send).await {
                Ok(()) => {
                    self.put_back(send);
                    return Ok(());
                }
                Err(error) if last => {
                    self.tell(&error);
                    return Err("h1 exchange".to_owned());
                }
                Err(_) => {
                    self.again.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        unreachable!("an attempt is the last one")
    }

    /// A new connection to one of the instances, over which HTTP/1.1 is spoken.
    ///
    /// # Errors
    /// That of the last instance, when none can be reached.
    pub async fn dial(&self) -> Result<SendRequest<Empty<Bytes>>, ConnectError> {
        let connection = self.connect().await?;
        assert_eq!(connection.alpn, Some(Alpn::Http11));
        let (send, driver) = http1::handshake(TokioIo::new(connection.stream))
            .await
            .expect("nothing is sent yet");
        let guard = connection.guard;
        tokio::spawn(async move {
            let _open = guard;
            // How it ends is seen by who uses it.
            let _ = driver.await;
        });
        Ok(send)
    }

    async fn connect(&self) -> Result<Connection, ConnectError> {
        let number = self.dialled.fetch_add(1, Ordering::Relaxed);
        let mut last = None;
        let usable = self.instances();
        assert!(!usable.is_empty(), "{:?}", self.client.status());
        let first = usize::try_from(number).expect("few") % usable.len();
        for address in usable.iter().cycle().skip(first).take(usable.len()) {
            let destination =
                Destination::new(*address, self.expected.clone()).with_alpn(["http/1.1"]);
            match self.connector.connect(&destination).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = Some(error),
            }
        }
        Err(last.expect("there are instances"))
    }

    /// Where the usable instances are.
    #[must_use]
    pub fn instances(&self) -> Vec<SocketAddr> {
        let usable = self.client.status().usable.into_iter();
        usable
            .map(|one| {
                let address = one
                    .name
                    .split(' ')
                    .next()
                    .and_then(|text| text.parse().ok());
                address.expect("an address and a name")
            })
            .collect()
    }

    async fn take(&self) -> Option<SendRequest<Empty<Bytes>>> {
        loop {
            let mut send = self.lock().pop_front()?;
            if send.ready().await.is_ok() {
                return Some(send);
            }
        }
    }

    fn put_back(&self, send: SendRequest<Empty<Bytes>>) {
        if !send.is_closed() {
            self.lock().push_back(send);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<SendRequest<Empty<Bytes>>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, failure: &str) {
        if self.told.fetch_add(1, Ordering::Relaxed) < TOLD {
            println!("failed: {failure}");
        }
    }
}

async fn exchange(send: &mut SendRequest<Empty<Bytes>>) -> Result<(), String> {
    let request = Request::get("/")
        .header(header::HOST, "api")
        .body(Empty::new())
        .expect("a request");
    let response = send.send_request(request).await;
    let response = response.map_err(|error| chain(&error))?;
    let status = response.status();
    let body = response.into_body().collect().await;
    body.map_err(|error| chain(&error))?;
    (status == StatusCode::OK)
        .then_some(())
        .ok_or_else(|| status.to_string())
}
