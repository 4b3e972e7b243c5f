//! A service behind Envoy and one of ours, which tell what they see, and a caller.

use axum::{Router, extract::Request};
use consul_connect::{
    Connector, Destination, EscapedSlashes, RequestNormalization, ServiceId, UnderscoreHeaders,
};
use mesh_lab::{Sidecar, Version};
use mesh_tests::{
    peers::{self, becomes},
    raw_http::RawPeer,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tower_mesh::Mesh;

/// Of each one.
#[derive(Debug)]
pub(crate) struct Both<T> {
    pub(crate) envoy: T,
    pub(crate) ours: T,
}

pub(crate) struct World {
    pub(crate) peers: Both<RawPeer>,
    sidecar: Sidecar,
    mesh: Mesh,
    _web: Mesh,
    _tasks: JoinSet<()>,
    world: peers::World,
}

impl World {
    /// `None` when something is not to be had here.
    pub(crate) async fn start() -> Option<Self> {
        let world = peers::World::start(Version::Newest).await?;
        let envoy = mesh_lab::envoy(&world.agent)?;
        for service in ["api", "native"] {
            world.protocol(service, "http").await;
            world.intention("web", service, true).await;
        }
        let mut tasks = JoinSet::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sidecar = envoy
            .sidecar("api")
            .application(listener.local_addr().unwrap());
        tasks.spawn(raw_application(listener));
        let token = world.token("api").await;
        let sidecar = sidecar.token(&token).start().await.unwrap();

        let mesh = world.join("native").await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let native = listener.local_addr().unwrap();
        let server = mesh.clone();
        let app = Router::new().fallback(async |request: Request| {
            let target = request
                .uri()
                .path_and_query()
                .map_or("", |target| target.as_str());
            let names = request.headers().keys().map(http::HeaderName::as_str);
            told(target, names)
        });
        tasks.spawn(async move { server.serve_on(listener, app).await.unwrap() });
        mesh.ready().await.unwrap();

        let web = world.join("web").await;
        let connector = Connector::new(web.identity().clone());
        let id = web.identity().current().id().clone();
        let peer = |address, service: &str| {
            let name = service.parse().unwrap();
            let id = ServiceId::new(id.trust_domain().clone(), id.datacenter(), name);
            RawPeer::new(connector.clone(), Destination::new(address, id))
        };
        let mut world = Self {
            peers: Both {
                envoy: peer(sidecar.public_addr(), "api"),
                ours: peer(native, "native"),
            },
            sidecar,
            mesh,
            _web: web,
            _tasks: tasks,
            world,
        };
        for peer in [&mut world.peers.envoy, &mut world.peers.ours] {
            becomes("allowed", async || {
                peer.hang_up();
                let answer = peer.h1(b"GET / HTTP/1.1\r\nhost: api\r\n\r\n").await;
                match answer.status {
                    200 => Ok(()),
                    _ => Err(format!("{answer:?}")),
                }
            })
            .await;
        }
        Some(world)
    }

    /// Writes the entry, and waits until both hold to it.
    pub(crate) async fn set(&mut self, rules: RequestNormalization) {
        let escaped = match rules.escaped_slashes {
            EscapedSlashes::KeepUnchanged => "KEEP_UNCHANGED",
            EscapedSlashes::Reject => "REJECT_REQUEST",
            EscapedSlashes::UnescapeAndRedirect => "UNESCAPE_AND_REDIRECT",
            EscapedSlashes::UnescapeAndForward => "UNESCAPE_AND_FORWARD",
            other => panic!("{other:?}"),
        };
        let underscores = match rules.underscore_headers {
            UnderscoreHeaders::Allow => "ALLOW",
            UnderscoreHeaders::Reject => "REJECT_REQUEST",
            UnderscoreHeaders::Drop => "DROP_HEADER",
            other => panic!("{other:?}"),
        };
        let entry = json!({ "Kind": "mesh", "HTTP": { "Incoming": { "RequestNormalization": {
            "InsecureDisablePathNormalization": rules.insecure_disable_path_normalization,
            "MergeSlashes": rules.merge_slashes,
            "PathWithEscapedSlashesAction": escaped,
            "HeadersWithUnderscoresAction": underscores,
        } } } });
        self.world.agent.write_config_entry(&entry).await.unwrap();
        becomes(&format!("{rules}"), async || {
            let status = self.mesh.status().normalization;
            let manager = connection_manager(&self.sidecar).await?;
            // The proto's defaults are not shown.
            let is = |pointer: &str, value: Value, default: Value| {
                manager.pointer(pointer).unwrap_or(&default) == &value
            };
            let seen = is(
                "/normalize_path",
                json!(!rules.insecure_disable_path_normalization),
                json!(false),
            ) && is("/merge_slashes", json!(rules.merge_slashes), json!(false))
                && is(
                    "/path_with_escaped_slashes_action",
                    json!(escaped),
                    json!("KEEP_UNCHANGED"),
                )
                && is(
                    "/common_http_protocol_options/headers_with_underscores_action",
                    json!(underscores),
                    json!("ALLOW"),
                );
            match seen && status.rules == Some(rules) {
                true => Ok(()),
                false => Err(format!("{status}, {manager}")),
            }
        })
        .await;
        self.peers.envoy.hang_up();
        self.peers.ours.hang_up();
    }
}

/// How Envoy's public listener that takes new connections reads HTTP.
async fn connection_manager(sidecar: &Sidecar) -> Result<Value, String> {
    let dump = sidecar
        .admin()
        .get("/config_dump?resource=dynamic_listeners")
        .await;
    let dump = dump.map_err(|error| error.to_string())?.json;
    let listeners = dump["configs"].as_array().cloned().unwrap_or_default();
    let public = listeners.iter().find(|listener| {
        listener["name"]
            .as_str()
            .is_some_and(|name| name.starts_with("public_listener"))
    });
    let public = public.ok_or_else(|| format!("no public listener: {dump}"))?;
    if !public["warming_state"].is_null() {
        return Err("it is warming".to_owned());
    }
    let filters = public.pointer("/active_state/listener/filter_chains/0/filters");
    let filters = filters
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let manager = filters
        .into_iter()
        .find(|filter| filter["name"] == "envoy.filters.network.http_connection_manager");
    manager
        .map(|mut manager| manager["typed_config"].take())
        .ok_or_else(|| format!("no connection manager: {public}"))
}

/// What an application tells of a request.
fn told<'a>(target: &str, names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<_> = names.filter(|name| name.contains('_')).collect();
    names.sort_unstable();
    format!("{target} {}", names.join(","))
}

/// An application that tells what it sees to the byte. No library reads the request for it.
async fn raw_application(listener: TcpListener) {
    let mut open = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        open.spawn(answer(stream));
    }
}

async fn answer(mut stream: TcpStream) {
    let mut received = Vec::new();
    loop {
        let end = received.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end else {
            match stream.read_buf(&mut received).await {
                Ok(1..) => continue,
                _ => return,
            }
        };
        let head: Vec<_> = received.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head);
        let mut lines = head.lines();
        let target = lines.next().and_then(|line| line.split(' ').nth(1));
        let names = lines.filter_map(|line| Some(line.split_once(':')?.0));
        let body = told(target.unwrap_or("?"), names);
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
