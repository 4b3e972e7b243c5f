//! `edge`: where the world comes in. Plain HTTP outside on 127.0.0.1:8080 (or `EDGE_ADDR`), the mesh
//! inside: it calls `orders` by name, and nobody in the mesh can call it.

use axum::{
    Router,
    extract::{Path, State},
    response::IntoResponse,
    routing::get,
};
use serde_json::json;
use tower_mesh::{Client, Error, Mesh};

async fn buy(
    State(orders): State<Client>,
    Path((item, quantity)): Path<(String, u32)>,
) -> Result<impl IntoResponse, Error> {
    let order = json!({ "item": item, "quantity": quantity });
    let response = orders.post("/orders").json(&order).send().await?;
    Ok((response.status(), response.text().await?))
}

async fn left(State(orders): State<Client>, Path(item): Path<String>) -> Result<String, Error> {
    orders
        .get(format!("/left/{item}"))
        .send()
        .await?
        .error_for_status()?
        .text()
        .await
}

async fn status(State(mesh): State<Mesh>) -> String {
    mesh.status().to_string()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt::init();
    let mesh = Mesh::join("edge").await?;
    let app = Router::new()
        .route("/buy/{item}/{quantity}", get(buy))
        .route("/left/{item}", get(left))
        .with_state(mesh.client("orders"))
        .merge(
            Router::new()
                .route("/status", get(status))
                .with_state(mesh.clone()),
        );
    let address = std::env::var("EDGE_ADDR").unwrap_or_else(|_| "127.0.0.1:8080".into());
    let listener = tokio::net::TcpListener::bind(&address).await?;
    let address = listener.local_addr()?;
    println!("try http://{address}/buy/apples/2 and http://{address}/status");
    axum::serve(listener, app).await?;
    Ok(())
}
