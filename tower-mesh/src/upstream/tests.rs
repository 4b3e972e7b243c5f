//! Upstreams of a development Consul, with services that really answer.

use std::{future::Future, net::SocketAddr, time::Duration};

use bytes::Bytes;
use consul_connect::{
    IdentityConfig, Layer, Listener, authorize::dangerously_allow_all,
    identity::source::AgentSource,
};
use consul_dev::{ConsulDev, Fault, FaultRule, Policy};
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use serde_json::json;
use tokio::{io::AsyncWriteExt as _, task::JoinSet, time::timeout};

use super::*;
use crate::Client;

const LONG: Duration = Duration::from_secs(10);

struct World {
    dev: ConsulDev,
    services: JoinSet<()>,
}

impl World {
    async fn new() -> Self {
        Self::with(ConsulDev::builder()).await
    }

    async fn with(builder: consul_dev::Builder) -> Self {
        let dev = builder.start().await.expect("a Consul");
        Self {
            dev,
            services: JoinSet::new(),
        }
    }

    fn consul(&self) -> consul_api::Client {
        self.consul_as(self.dev.management_token())
    }

    fn consul_as(&self, token: &str) -> consul_api::Client {
        let config = consul_api::Config::new(self.dev.http_addr()).expect("an address");
        let client = consul_api::Client::new(config).expect("a client");
        if token.is_empty() {
            client
        } else {
            client.with_token(consul_api::Token::new(token))
        }
    }

    async fn identity(&self, service: &str) -> consul_connect::Identity {
        let source = AgentSource::new(self.consul(), service.parse().expect("a name"));
        consul_connect::Identity::connect(source, IdentityConfig::default())
            .await
            .expect("an identity")
    }

    /// Serves HTTP as a service; each answer is `name` and the version it was asked in.
    async fn serve(&mut self, service: &str, name: &'static str) -> SocketAddr {
        let identity = self.identity(service).await;
        let mut listener = Listener::builder(identity, Arc::new(dangerously_allow_all()))
            .layer(Layer::Request)
            .alpn([&b"h2"[..], b"http/1.1"])
            .bind("127.0.0.1:0")
            .await
            .expect("a socket");
        let address = listener.local_addr();
        self.services.spawn(async move {
            let mut connections = JoinSet::new();
            while let Some(accepted) = listener.accept().await {
                connections.spawn(async move {
                    let answer = service_fn(move |_: Request<Incoming>| async move {
                        let body = Full::new(Bytes::from(name));
                        Ok::<_, std::convert::Infallible>(Response::new(body))
                    });
                    let io = TokioIo::new(accepted.stream);
                    let server = auto::Builder::new(TokioExecutor::new());
                    // However the client leaves is the test's business.
                    let _ = server.serve_connection(io, answer).await;
                });
            }
        });
        address
    }

    /// An instance on a node of its own.
    fn register(&self, service: &str, node: &str, address: SocketAddr) {
        let instance = json!({
            "Service": service,
            "ID": format!("{service}-{node}"),
            "Address": "",
            "Port": address.port(),
            "Connect": { "Native": true },
        });
        self.dev.register_on_node(node, "127.0.0.1", &instance);
    }

    async fn context(&self) -> Arc<Context> {
        self.context_as(self.consul()).await
    }

    async fn context_as(&self, consul: consul_api::Client) -> Arc<Context> {
        let connector = consul_connect::Connector::new(self.identity("web").await);
        let config = ContextConfig {
            node_grace: Duration::from_millis(400),
            ..Default::default()
        };
        Context::consul(consul, connector, config, crate::measure::Sink::of("web"))
    }
}

fn calling(context: &Arc<Context>, upstream: &UpstreamRef) -> Client {
    Client::of(context.upstream(upstream))
}

async fn ask(client: &Client) -> Result<String, Error> {
    client.get("/").send().await?.text().await
}

/// Asks until the answer is as wanted: changes take the time of a blocking query.
async fn until<F: Future<Output = bool>>(mut done: impl FnMut() -> F) {
    let wait = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, wait).await.expect("in time");
}

#[tokio::test]
async fn follows_registrations_and_checks() {
    let mut world = World::new().await;
    let one = world.serve("api", "one").await;
    world.register("api", "n1", one);
    let client = calling(&world.context().await, &"api".into());
    assert_eq!(ask(&client).await.expect("an answer"), "one");
    assert_eq!(client.status().target.as_deref(), Some("api in dc1"));

    let two = world.serve("api", "two").await;
    world.register("api", "n2", two);
    until(async || ask(&client).await.expect("an answer") == "two").await;

    world.dev.set_node_health("n1", "critical");
    until(async || client.status().usable.len() == 1).await;
    for _ in 0..20 {
        assert_eq!(ask(&client).await.expect("an answer"), "two");
    }
    let status = client.status();
    assert_eq!(status.known, 2);
    assert_eq!(status.out.len(), 1);
    assert!(status.out[0].1.contains("serfHealth"), "{status:?}");
}

#[tokio::test]
async fn instances_whose_nodes_all_fail_are_used_for_a_grace() {
    let mut world = World::new().await;
    let one = world.serve("api", "one").await;
    world.register("api", "n1", one);
    let client = calling(&world.context().await, &"api".into());
    ask(&client).await.expect("an answer");
    world.dev.set_node_health("n1", "critical");
    until(async || client.status().in_grace).await;
    ask(&client).await.expect("the service is not its agent");
    until(async || ask(&client).await.is_err()).await;
    let error = ask(&client).await.expect_err("the grace is over");
    assert_eq!(
        error.to_string(),
        "no endpoint of `api`: 1 known; 1 critical (check `serfHealth`)"
    );
}

#[tokio::test]
async fn a_service_nobody_registered_is_told_at_once() {
    let world = World::new().await;
    let client = calling(&world.context().await, &"ghost".into());
    let error = timeout(LONG, ask(&client))
        .await
        .expect("no waiting")
        .expect_err("nobody");
    assert_eq!(
        error.to_string(),
        "no endpoint of `ghost`: no instance of ghost in dc1 is known"
    );
}

#[tokio::test]
async fn with_consul_away_the_last_set_serves_and_the_status_says_so() {
    let mut world = World::new().await;
    let one = world.serve("api", "one").await;
    world.register("api", "n1", one);
    let client = calling(&world.context().await, &"api".into());
    ask(&client).await.expect("an answer");
    world.dev.down().await.expect("down");
    until(async || client.status().problem.is_some()).await;
    for _ in 0..20 {
        assert_eq!(ask(&client).await.expect("an answer"), "one");
    }
    world.dev.up().await.expect("up");
    until(async || client.status().problem.is_none()).await;
}

#[tokio::test]
async fn the_first_call_waits_for_a_consul_that_has_no_leader() {
    let mut world = World::new().await;
    let one = world.serve("api", "one").await;
    world.register("api", "n1", one);
    let context = world.context().await;
    world
        .dev
        .fault(FaultRule::new("/v1/health/*", Fault::no_leader()).times(2));
    let client = calling(&context, &"api".into());
    assert_eq!(ask(&client).await.expect("an answer"), "one");
}

#[tokio::test]
async fn a_token_that_may_not_ask_is_told_at_once() {
    let mut world = World::with(ConsulDev::builder().acl(true)).await;
    let one = world.serve("api", "one").await;
    world.register("api", "n1", one);
    let token = world.dev.create_token(Policy::new().service_write("web"));
    let context = world.context_as(world.consul_as(&token.secret_id)).await;
    let client = calling(&context, &"api".into());
    let error = timeout(LONG, ask(&client))
        .await
        .expect("no waiting")
        .expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Consul);
    let source = std::error::Error::source(&error).expect("a cause");
    let source = source
        .downcast_ref::<consul_api::Error>()
        .expect("Consul's");
    assert!(source.is_permission_denied());
}

#[tokio::test]
async fn an_answer_that_acls_emptied_keeps_the_last_set() {
    let mut world = World::with(ConsulDev::builder().acl(true)).await;
    let one = world.serve("api", "one").await;
    world.register("api", "n1", one);
    let sees = world
        .dev
        .create_token(Policy::new().service_read("api").node_prefix_read(""));
    let client = calling(
        &world.context_as(world.consul_as(&sees.secret_id)).await,
        &"api".into(),
    );
    assert_eq!(ask(&client).await.expect("an answer"), "one");

    let blind = world.dev.create_token(Policy::new().service_read("api"));
    let blind = world.context_as(world.consul_as(&blind.secret_id)).await;
    let client = calling(&blind, &"api".into());
    let error = timeout(LONG, ask(&client))
        .await
        .expect("no waiting")
        .expect_err("hidden");
    assert_eq!(error.kind(), ErrorKind::Consul);
    assert!(format!("{error:?}").contains("node:read"), "{error:?}");
}

#[tokio::test]
async fn the_protocol_comes_from_the_chain() {
    let mut world = World::new().await;
    let one = world.serve("api", "one").await;
    world.register("api", "n1", one);
    let client = calling(&world.context().await, &"api".into());
    ask(&client).await.expect("an answer");
    assert_eq!(client.status().protocol, "tcp");
    world.dev.set_protocol("api", "grpc").expect("set");
    until(async || client.status().protocol == "grpc").await;
    ask(&client).await.expect("an answer");
}

#[tokio::test]
async fn streams_reach_an_endpoint_that_lives() {
    let mut world = World::new().await;
    let one = world.serve("api", "one").await;
    world.register("api", "n1", one);
    let nowhere = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a socket");
    world.register("api", "n2", nowhere.local_addr().expect("an address"));
    drop(nowhere);
    let context = world.context().await;
    for _ in 0..10 {
        let (mut connection, _load, _open) =
            connect_stream(&context, &context.upstream(&"api".into()))
                .await
                .expect("a connection");
        assert_eq!(connection.peer.id().service().as_str(), "api");
        assert!(connection.alpn.is_none());
        connection.stream.shutdown().await.expect("closed");
    }
    let error = connect_stream(&context, &context.upstream(&"ghost".into()))
        .await
        .expect_err("nobody");
    assert!(error.is_no_endpoints());
}

#[tokio::test]
async fn clients_of_one_name_share_its_endpoints_and_the_last_ends_the_watches() {
    let mut world = World::new().await;
    let one = world.serve("api", "one").await;
    world.register("api", "n1", one);
    let context = world.context().await;
    let (first, second) = (
        calling(&context, &"api".into()),
        calling(&context, &"api".into()),
    );
    ask(&first).await.expect("an answer");
    assert_eq!(second.status().usable[0].connections, 1);
    assert_eq!(context.status().len(), 1);
    drop((first, second));
    assert!(context.status().is_empty());
    let after = world.dev.request_count("/v1/health/connect/api");
    world.register("api", "n2", one);
    tokio::task::yield_now().await;
    assert_eq!(world.dev.request_count("/v1/health/connect/api"), after);
}

#[tokio::test]
async fn a_name_no_service_can_have_is_an_error_of_the_call() {
    let world = World::new().await;
    let context = world.context().await;
    for name in ["", "a/b", "*"] {
        let error = ask(&calling(&context, &name.into()))
            .await
            .expect_err("no name");
        assert_eq!(error.kind(), ErrorKind::Config, "{name}");
    }
}

#[tokio::test]
async fn a_client_outlives_the_context_it_was_made_of() {
    let mut world = World::new().await;
    let one = world.serve("api", "one").await;
    world.register("api", "n1", one);
    let client = {
        let context = world.context().await;
        calling(&context, &"api".into())
    };
    ask(&client).await.expect("an answer");
}
