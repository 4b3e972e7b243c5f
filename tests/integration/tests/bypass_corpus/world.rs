//! A server, its application and a caller.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::Request,
    routing::{any, get},
};
use consul_api::{Config, config_entry::ConfigEntry};
use consul_connect::{
    Connector, Destination, RequestNormalization, authorize::dangerously_allow_all,
};
use consul_dev::ConsulDev;
use http::{HeaderMap, Method};
use mesh_tests::raw_http::RawPeer;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Mutex, task::JoinSet};
use tower_mesh::{Mesh, MeshBuilder, serve::Limits};

use crate::Spelling;

/// What is behind the server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Application {
    /// An axum router, which takes a path as it is, and a header by its name.
    Router,
    /// One that decodes a path, takes backslashes for slashes, resolves dot segments and overlooks empty ones, and takes
    /// underscores in the names of headers for hyphens.
    Lax,
}

/// How often which handler was reached.
#[derive(Default)]
struct Counts {
    denied: AtomicUsize,
    other: AtomicUsize,
}

impl Counts {
    fn count(&self, is_denied: bool) {
        let counter = if is_denied { &self.denied } else { &self.other };
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

pub(crate) struct World {
    counts: Arc<Counts>,
    peer: Mutex<RawPeer>,
    tasks: JoinSet<()>,
    _consul: ConsulDev,
}

impl World {
    /// With these intentions for `web`, or under a policy that lets everybody do all.
    pub(crate) async fn new(
        application: Application,
        rules: RequestNormalization,
        intentions: Option<&Value>,
    ) -> Self {
        let consul = ConsulDev::start().await.expect("a Consul");
        let web = member(&consul, "web").join().await.expect("joined");
        let mut api = member(&consul, "api").request_normalization(rules);
        match intentions {
            Some(permissions) => {
                for entry in [
                    json!({ "Kind": "service-defaults", "Name": "api", "Protocol": "http" }),
                    json!({ "Kind": "service-intentions", "Name": "api", "Sources": [
                        { "Name": "web", "Permissions": permissions },
                    ] }),
                ] {
                    let entry: ConfigEntry = serde_json::from_value(entry).expect("an entry");
                    let written = web.consul().config_entries().set(&entry).await;
                    written.expect("written");
                }
            }
            None => api = api.authorize(dangerously_allow_all()),
        }
        let api = api.join().await.expect("joined");
        if let Some(status) = api.status().intentions {
            assert!(status.count == 1 && status.findings.is_empty(), "{status}");
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let id = api.identity().current().id().clone();
        let destination = Destination::new(listener.local_addr().expect("an address"), id);
        let counts = Arc::<Counts>::default();
        let app = app(application, Arc::clone(&counts));
        let mut tasks = JoinSet::new();
        let server = api.clone();
        tasks.spawn(async move { server.serve_on(listener, app).await.expect("served") });
        api.ready().await.expect("ready");
        let connector = Connector::new(web.identity().clone());
        Self {
            counts,
            peer: Mutex::new(RawPeer::new(connector, destination)),
            tasks,
            _consul: consul,
        }
    }

    /// Ends its server.
    pub(crate) async fn end(mut self) {
        self.tasks.shutdown().await;
    }

    /// Sends it, and waits until the server has answered all of it or closed the connection.
    pub(crate) async fn send(&self, spelling: &Spelling) {
        let mut peer = self.peer.lock().await;
        match spelling {
            Spelling::H1(bytes) => drop(peer.h1_to_the_end(bytes).await),
            Spelling::H2(headers) => {
                let headers: Vec<_> = headers
                    .iter()
                    .map(|(name, value)| (&name[..], &value[..]))
                    .collect();
                drop(peer.h2(&headers).await);
            }
        }
    }

    /// How often what is denied was reached.
    pub(crate) fn reached(&self) -> usize {
        self.counts.denied.load(Ordering::SeqCst)
    }

    /// How often anything else was.
    pub(crate) fn served(&self) -> usize {
        self.counts.other.load(Ordering::SeqCst)
    }

    /// It still works.
    pub(crate) async fn is_served(&self) {
        let before = self.served();
        self.send(&Spelling::h1("GET", b"/public", "")).await;
        self.send(&Spelling::h2_path(b"/public")).await;
        assert_eq!(self.served(), before + 2);
    }
}

fn member(consul: &ConsulDev, service: &str) -> MeshBuilder {
    let grpc = consul.grpc_addr().parse().expect("an address");
    let config = Config::new(consul.http_addr()).expect("an address");
    let mut limits = Limits::default();
    // Some heads have no end.
    limits.head_timeout = Duration::from_millis(500);
    Mesh::builder(service)
        .consul(config.with_grpc_address(grpc))
        .limits(limits)
}

/// `/admin` and what is below, the header `x-role: admin` and the method `DELETE` are denied; anything else is allowed.
pub(crate) fn denying() -> Value {
    let contains = json!({ "Name": "x-role", "Contains": "admin", "IgnoreCase": true });
    json!([
        { "Action": "deny", "HTTP": { "PathPrefix": "/admin" } },
        { "Action": "deny", "HTTP": { "Header": [contains] } },
        { "Action": "deny", "HTTP": { "Methods": ["DELETE"] } },
        { "Action": "allow", "HTTP": { "PathPrefix": "/" } },
    ])
}

fn contains_admin(value: &[u8]) -> bool {
    value
        .to_ascii_lowercase()
        .windows(5)
        .any(|five| five == b"admin")
}

fn app(application: Application, counts: Arc<Counts>) -> Router {
    match application {
        Application::Router => {
            let role = |headers: &HeaderMap| {
                let mut values = headers.get_all("x-role").iter();
                values.any(|value| contains_admin(value.as_bytes()))
            };
            let handler = |is_denied: bool| {
                let counts = Arc::clone(&counts);
                async move |request: Request| {
                    counts.count(is_denied || role(request.headers()));
                }
            };
            Router::new()
                .route("/admin", any(handler(true)))
                .route("/admin/{*rest}", any(handler(true)))
                .route(
                    "/public",
                    get(handler(false))
                        .post(handler(false))
                        .delete(handler(true)),
                )
                .fallback(handler(false))
        }
        Application::Lax => Router::new().fallback(any(async move |request: Request| {
            counts.count(is_denied_to_the_lax(&request));
        })),
    }
}

fn is_denied_to_the_lax(request: &Request) -> bool {
    let path = percent_decode(request.uri().path().as_bytes());
    let mut segments = Vec::new();
    for segment in path.split(|byte| b"/\\".contains(byte)) {
        match segment {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let headers = request.headers().iter();
    let mut role = headers.filter(|(name, _)| name.as_str().replace('_', "-") == "x-role");
    segments.first() == Some(&b"admin".as_slice())
        || request.method() == Method::DELETE
        || role.any(|(_, value)| contains_admin(value.as_bytes()))
}

fn percent_decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let digits = digits.filter(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(escaped) if byte == b'%' => {
                decoded.push(escaped);
                rest = &after[2..];
            }
            _ => decoded.push(byte),
        }
    }
    decoded
}

/// A spelling for a person.
pub(crate) fn shown(spelling: &Spelling) -> String {
    match spelling {
        Spelling::H1(bytes) => format!("h1 {:?}", String::from_utf8_lossy(bytes)),
        Spelling::H2(headers) => {
            let headers = headers.iter().map(|(name, value)| {
                format!(
                    "{}: {}",
                    String::from_utf8_lossy(name),
                    String::from_utf8_lossy(value)
                )
            });
            format!("h2 {:?}", headers.collect::<Vec<_>>())
        }
    }
}
