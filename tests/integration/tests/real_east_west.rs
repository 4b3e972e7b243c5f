//! Services call each other by name through a real Consul: no sidecar, no certificate file, no peer's URL.

use std::sync::Arc;

use axum::{
    Router,
    extract::{
        Path, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    routing::get,
};
use consul_connect::{Connector, Destination, Listener, authorize};
use futures_util::{SinkExt, StreamExt};
use http::{Request, StatusCode, Version as Http, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use mesh_lab::{Agent, DefaultPolicy, Version};
use mesh_tests::{
    InventoryClient, InventoryServer,
    real::{client, eventually},
    real_mesh::{Source, echoing, member, serving},
};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message as Frame, protocol::Role},
};
use tower_mesh::{Body, Client, ErrorKind, Mesh, Peer};

/// Whether Consul has been told what the services speak.
#[derive(Clone, Copy, PartialEq)]
enum Protocols {
    Unset,
    Set,
}

fn orders(inventory: Client) -> Router {
    Router::new()
        .route(
            "/orders/{item}",
            get(async move |caller: Peer, Path(item): Path<String>| {
                let stock = InventoryClient::new(inventory.clone())
                    .count(&item)
                    .await
                    .map_err(|e| e.to_string())?;
                Ok::<_, String>(format!(
                    "{} -> {}: {}",
                    caller.id().service(),
                    stock.caller,
                    stock.count
                ))
            }),
        )
        .route(
            "/chat",
            get(async |caller: Peer, upgrade: WebSocketUpgrade| {
                upgrade.on_upgrade(async move |mut socket: WebSocket| {
                    while let Some(Ok(Message::Text(text))) = socket.recv().await {
                        let answer = format!("{} said {text}", caller.id().service());
                        if socket.send(Message::Text(answer.into())).await.is_err() {
                            return;
                        }
                    }
                })
            }),
        )
}

fn edge(orders: Client) -> Router {
    Router::new().route(
        "/",
        get(async move |caller: Peer| {
            let answer = orders
                .get("/orders/book")
                .send()
                .await?
                .error_for_status()?
                .text()
                .await?;
            Ok::<_, tower_mesh::Error>(format!("{} -> {answer}", caller.id().service()))
        }),
    )
}

async fn set_protocols(agent: &Agent) {
    for (service, protocol) in [
        ("edge", "http"),
        ("orders", "http"),
        ("inventory", "grpc"),
        ("db", "tcp"),
    ] {
        let entry = json!({ "Kind": "service-defaults", "Name": service, "Protocol": protocol });
        agent.write_config_entry(&entry).await.unwrap();
    }
}

async fn east_west(version: Version, source: Source, protocols: Protocols) {
    let Some(consul) = mesh_lab::consul(version) else {
        return;
    };
    let agent = consul.start().await.unwrap();
    if protocols == Protocols::Set {
        set_protocols(&agent).await;
    }
    let join = async |service: &str| member(&agent, service, source, None).join().await.unwrap();
    let inventory = join("inventory").await;
    let routes = tonic::service::Routes::new(InventoryServer::default()).into_axum_router();
    let inventory_served = serving(&inventory, routes).await;
    let orders_mesh = join("orders").await;
    let orders_served = serving(&orders_mesh, orders(orders_mesh.client("inventory"))).await;
    let edge_mesh = join("edge").await;
    let edge_served = serving(&edge_mesh, edge(edge_mesh.client("orders"))).await;
    let db = join("db").await;
    let db_served = echoing(&db).await;
    let caller = join("tester").await;

    // Three services, two protocols, one call.
    let response = caller.client("edge").get("/").send().await.unwrap();
    let version = response.version();
    assert_eq!(
        response.text().await.unwrap(),
        "tester -> edge -> orders: 4"
    );
    println!("edge was called over {version:?}");

    http1(&caller, &agent).await;
    http2(&caller).await;
    grpc(&caller).await;
    web_socket(&caller).await;
    byte_stream(&caller).await;

    // They are in the catalog while they run, and not after.
    let listed = async |service: &str| {
        let entries = client(&agent, None)
            .health()
            .connect(service)
            .await
            .unwrap()
            .value;
        entries.iter().filter(|e| e.service.connect.native).count()
    };
    assert_eq!(listed("orders").await, 1);
    for (mesh, served) in [
        (edge_mesh, edge_served),
        (orders_mesh, orders_served),
        (inventory, inventory_served),
    ] {
        mesh.shutdown().await;
        served.await.unwrap().unwrap();
    }
    db.shutdown().await;
    db_served.await.unwrap();
    for service in ["edge", "orders", "inventory", "db"] {
        eventually("deregistered", async || {
            (listed(service).await == 0).then_some(())
        })
        .await;
    }
    let gone = caller.client("edge").get("/").send().await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NoEndpoints, "{gone}");
}

/// An HTTP/1.1 connection of our own, to the address the catalog gives.
async fn http1(caller: &Mesh, agent: &Agent) {
    let entries = client(agent, None)
        .health()
        .connect("orders")
        .await
        .unwrap()
        .value;
    let entry = entries.first().unwrap();
    let address = format!("{}:{}", entry.service.address, entry.service.port);
    let expected = consul_connect::ServiceId::new(
        caller.identity().current().trust_domain().clone(),
        "dc1",
        "orders".parse().unwrap(),
    );
    let destination = Destination::new(address.parse::<std::net::SocketAddr>().unwrap(), expected)
        .with_alpn(["http/1.1"]);
    let connection = Connector::new(caller.identity().clone())
        .connect(&destination)
        .await
        .unwrap();
    assert_eq!(connection.alpn, Some(consul_connect::Alpn::Http11));
    let (mut send, driver) = hyper::client::conn::http1::handshake(TokioIo::new(connection.stream))
        .await
        .unwrap();
    let driver = tokio::spawn(driver);
    for _ in 0..2 {
        let request = Request::get("/orders/pen")
            .header(header::HOST, "orders")
            .body(Empty::<bytes::Bytes>::new());
        let response = send.send_request(request.unwrap()).await.unwrap();
        assert_eq!(
            (response.status(), response.version()),
            (StatusCode::OK, Http::HTTP_11)
        );
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "tester -> orders: 3");
    }
    drop(send);
    driver.await.unwrap().unwrap();
}

async fn http2(caller: &Mesh) {
    let request = Request::get("/orders/pencil")
        .version(Http::HTTP_2)
        .body(Body::default())
        .unwrap();
    let response = caller.client("orders").send(request).await.unwrap();
    assert_eq!(
        (response.status(), response.version()),
        (StatusCode::OK, Http::HTTP_2)
    );
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "tester -> orders: 6");
}

async fn grpc(caller: &Mesh) {
    let mut inventory = InventoryClient::new(caller.client("inventory"));
    let stock = inventory.count("lamp").await.unwrap();
    assert_eq!((stock.count, stock.caller.as_str()), (4, "tester"));
    let counts: Vec<_> = inventory
        .count_up("lamp")
        .await
        .unwrap()
        .iter()
        .map(|s| s.count)
        .collect();
    assert_eq!(counts, [1, 2, 3, 4]);
}

async fn web_socket(caller: &Mesh) {
    let request = Request::get("/chat")
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
        .body(Body::default())
        .unwrap();
    let response = caller.client("orders").send(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let upgraded = hyper::upgrade::on(response).await.unwrap();
    let mut socket =
        WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None).await;
    for _ in 0..2 {
        socket.send(Frame::text("hello")).await.unwrap();
        assert_eq!(
            socket.next().await.unwrap().unwrap(),
            Frame::text("tester said hello")
        );
    }
    socket.close(None).await.unwrap();
}

async fn byte_stream(caller: &Mesh) {
    let mut stream = caller.connect("db").await.unwrap();
    assert_eq!(stream.peer().id().service().as_str(), "db");
    let mut heard = [0; 5];
    stream.write_all(b"hello").await.unwrap();
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"hello");
}

#[tokio::test]
async fn keys_of_our_own_without_one_config_entry() {
    east_west(Version::Newest, Source::Grpc, Protocols::Unset).await;
}

#[tokio::test]
async fn keys_of_our_own_with_protocols_set() {
    east_west(Version::Newest, Source::Grpc, Protocols::Set).await;
}

#[tokio::test]
async fn leafs_of_the_agent_without_one_config_entry() {
    east_west(Version::Newest, Source::Agent, Protocols::Unset).await;
}

#[tokio::test]
async fn leafs_of_the_agent_with_protocols_set() {
    east_west(Version::Newest, Source::Agent, Protocols::Set).await;
}

#[tokio::test]
async fn the_oldest_consul_with_keys_of_our_own() {
    east_west(Version::Oldest, Source::Grpc, Protocols::Set).await;
}

#[tokio::test]
async fn the_oldest_consul_with_leafs_of_the_agent() {
    east_west(Version::Oldest, Source::Agent, Protocols::Unset).await;
}

#[tokio::test]
async fn an_instance_under_the_name_of_another_service_gets_no_request() {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return;
    };
    let consul = consul
        .acl(DefaultPolicy::Deny)
        .default_intention_policy("allow");
    let agent = consul.start().await.unwrap();
    // A member in good standing, with a token and an identity of its own: `billing`.
    let token = agent.service_token("billing").await.unwrap();
    let billing = member(&agent, "billing", Source::Agent, Some(&token))
        .without_registration()
        .join()
        .await
        .unwrap();
    let mut impostor = Listener::builder(
        billing.identity().clone(),
        Arc::new(authorize::dangerously_allow_all()),
    )
    .bind("127.0.0.1:0")
    .await
    .unwrap();
    // Somebody who may, put it into the catalog as `orders`.
    let port = impostor.local_addr().port();
    let definition = json!({ "Name": "orders", "Address": "127.0.0.1", "Port": port, "Connect": { "Native": true } });
    agent
        .http()
        .put("/v1/agent/service/register", &definition)
        .await
        .unwrap()
        .ok()
        .unwrap();

    let token = agent.service_token("tester").await.unwrap();
    let caller = member(&agent, "tester", Source::Grpc, Some(&token))
        .join()
        .await
        .unwrap();
    let request = async { caller.client("orders").get("/").send().await };
    let error = tokio::select! {
        result = request => result.unwrap_err(),
        accepted = impostor.accept() => panic!("it learnt who we are: {accepted:?}"),
    };
    assert_eq!(error.kind(), ErrorKind::Identity, "{error:?}");
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(e) = cause {
        text.push_str(&format!(": {e}"));
        cause = e.source();
    }
    println!("{text}");
    assert!(
        text.contains("/svc/billing") && text.contains("/svc/orders"),
        "{text}"
    );
}
