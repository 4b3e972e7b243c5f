//! The test that `docs/testing.md` shows, run as it stands there.

use axum::{Router, routing::get};
use tower_mesh::Peer;

fn app() -> Router {
    let hello = async |caller: Peer| format!("hello {}", caller.id().service());
    Router::new().route("/", get(hello))
}

// The document shows the code between these two lines.
// begin
use std::sync::Arc;

use consul_dev::ConsulDev;
use tower_mesh::Mesh;

#[tokio::test]
async fn web_may_call_orders_and_nobody_else() -> Result<(), Box<dyn std::error::Error>> {
    let consul = Arc::new(ConsulDev::start().await?);
    consul.set_intention("web", "orders", true)?;
    consul.set_intention("*", "orders", false)?;
    let orders = Mesh::builder("orders").dev(&consul).join().await?;
    let server = orders.clone();
    tokio::spawn(async move { server.serve("127.0.0.1:0", app()).await });
    orders.ready().await?; // registered
    let web = Mesh::builder("web").dev(&consul).join().await?;
    let hello = web.client("orders").get("/").send().await?;
    assert_eq!(hello.text().await?, "hello web");
    let other = Mesh::builder("other").dev(&consul).join().await?;
    let refused = other.client("orders").get("/").send().await?;
    assert_eq!(refused.status(), 403);
    Ok(())
}
// end

#[test]
fn the_document_shows_this_very_code() {
    let shown = include_str!("../../../docs/testing.md");
    let code = include_str!("docs_testing.rs");
    let (_, code) = code.split_once("// begin\n").expect("a beginning");
    let (code, _) = code.split_once("// end\n").expect("an end");
    assert!(shown.contains(code), "docs/testing.md shows other code");
}
