//! Two services in one process, and what a mesh does for them while they talk.
//!
//! It brings its own development Consul. With `-- --consul` it uses the Consul of the environment
//! (`CONSUL_HTTP_ADDR`), writes its intention `web => api` and rotates its certificate authority.

use std::{sync::Arc, time::Duration};

use axum::{Router, routing::get};
use tokio::{net::TcpListener, time};
use tower_mesh::consul_api::{self, Json, intention::Intention};
use tower_mesh::{Client, ConsulDev, Mesh, MeshBuilder, Peer};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result<()> {
    // Who they are: a service joins by its name. (A large mesh renews its leafs over half a minute
    // when the root changes; two services need not.)
    let dev = match std::env::args().nth(1).as_deref() {
        Some("--consul") => None,
        _ => Some(Arc::new(ConsulDev::start().await?)),
    };
    let member = |service: &str| {
        let member = Mesh::builder(service).rotation_spread(Duration::from_millis(500));
        dev.iter().fold(member, MeshBuilder::dev).join()
    };
    let (api, web) = tokio::try_join!(member("api"), member("web"))?;
    let consul = api.consul();
    println!("api is {}", api.identity().current().id());
    println!("web is {}", web.identity().current().id());

    // `api` serves: it is registered, and its handler knows who calls.
    let app = Router::new().route("/", get(async |caller: Peer| format!("hello {caller}")));
    let (server, socket) = (api.clone(), TcpListener::bind("127.0.0.1:0").await?);
    let server = tokio::spawn(async move { server.serve_on(socket, app).await });
    api.ready().await?;

    // `web` calls it by name, as far as Consul allows: at once, also on connections that are open.
    let client = web.client("api");
    for (action, status) in [("allow", 200), ("deny", 403), ("allow", 200)] {
        let began = time::Instant::now();
        put_intention(consul, action).await?;
        let answer = answered(&client, status).await?;
        println!(
            "\nweb => api: {action}; {:?} later: {status} {answer}",
            began.elapsed()
        );
        if let Some(intentions) = api.intentions() {
            println!(
                "  {}",
                intentions.explain_service(web.service(), None).because
            );
        }
    }

    // A new root while requests run: both sides renew their leafs, and nobody notices.
    let serial = |mesh: &Mesh| mesh.identity().current().leaf().serial().to_owned();
    let (old_api, old_web, mut sent, mut failed) = (serial(&api), serial(&web), 0, 0);
    let load = async {
        loop {
            let answer = client.get("/").send().await;
            failed += u32::from(!answer.is_ok_and(|response| response.status() == 200));
            sent += 1;
        }
    };
    let renewal = async {
        rotate_root(consul).await?;
        while serial(&api) == old_api || serial(&web) == old_web {
            time::sleep(Duration::from_millis(10)).await;
        }
        time::sleep(Duration::from_millis(500)).await; // requests under the new leafs
        Result::Ok(())
    };
    tokio::select! { () = load => {} renewed = renewal => renewed? }
    println!("\nroot rotated under load: {sent} requests, {failed} failed");
    println!(
        "  leafs {old_api} and {old_web}, now {} and {}",
        serial(&api),
        serial(&web)
    );

    // Leaving: the catalog forgets the instance, and callers learn of it before it stops.
    api.shutdown().await;
    server.await??;
    println!("\napi has left: {:?}", client.get("/").send().await.err());
    if failed > 0 {
        return Err("requests failed during the rotation".into());
    }
    Ok(())
}

/// Calls until it is answered with `status`, and returns the words.
async fn answered(client: &Client, status: u16) -> Result<String> {
    let deadline = time::Instant::now() + Duration::from_secs(30);
    loop {
        match client.get("/").send().await {
            Ok(response) if response.status() == status => return Ok(response.text().await?),
            other if time::Instant::now() > deadline => return Err(format!("{other:?}").into()),
            _ => time::sleep(Duration::from_millis(1)).await,
        }
    }
}

async fn put_intention(consul: &consul_api::Client, action: &str) -> Result<()> {
    let mut intention = Intention::default();
    (intention.source_name, intention.destination_name) = ("web".into(), "api".into());
    intention.action = Some(action.into());
    consul.intentions().put(&intention).await?;
    Ok(())
}

/// Makes Consul's authority sign under a new root: one with a key of the other length.
async fn rotate_root(consul: &consul_api::Client) -> Result<()> {
    let mut authority = consul.connect_ca().configuration().await?.into_value();
    let config = &mut authority.config;
    let is_long = config.get("PrivateKeyBits").and_then(Json::as_u64) == Some(384);
    let bits = Json::Unsigned(if is_long { 256 } else { 384 });
    config.insert("PrivateKeyType".into(), Json::String("ec".into()));
    config.insert("PrivateKeyBits".into(), bits);
    consul.connect_ca().set_configuration(&authority).await?;
    Ok(())
}
