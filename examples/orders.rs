//! `orders`: an HTTP service in the mesh, by axum, that calls `inventory` over gRPC.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use shop::{ReserveRequest, WatchRequest, inventory_client::InventoryClient};
use tower_mesh::{Client, Error, Mesh, Peer};

#[path = "shop.rs"]
mod shop;

#[derive(Deserialize)]
struct Order {
    item: String,
    quantity: u32,
}

#[derive(Serialize)]
struct Confirmation {
    ordered_by: String,
    left: u32,
}

/// What a gRPC service refused, as HTTP.
struct Refused(tonic::Status);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match self.0.code() {
            tonic::Code::NotFound => StatusCode::NOT_FOUND,
            tonic::Code::FailedPrecondition => StatusCode::CONFLICT,
            tonic::Code::PermissionDenied | tonic::Code::Unavailable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => StatusCode::BAD_GATEWAY,
        };
        (status, self.0.message().to_owned()).into_response()
    }
}

async fn order(
    caller: Peer,
    State(mut inventory): State<InventoryClient<Client>>,
    Json(Order { item, quantity }): Json<Order>,
) -> Result<Json<Confirmation>, Refused> {
    let reserved = inventory
        .reserve(ReserveRequest { item, quantity })
        .await
        .map_err(Refused)?;
    let ordered_by = caller.id().service().to_string();
    Ok(Json(Confirmation {
        ordered_by,
        left: reserved.into_inner().left,
    }))
}

async fn left(
    State(mut inventory): State<InventoryClient<Client>>,
    Path(item): Path<String>,
) -> Result<String, Refused> {
    let levels = inventory
        .watch(WatchRequest { item })
        .await
        .map_err(Refused)?;
    let now = levels.into_inner().message().await.map_err(Refused)?;
    Ok(now.map_or_else(String::new, |level| level.left.to_string()))
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing_subscriber::fmt::init();
    let mesh = Mesh::join("orders").await?;
    // A generated tonic client takes the mesh's client as it is.
    let inventory = InventoryClient::new(mesh.client("inventory"));
    let app = Router::new()
        .route("/orders", post(order))
        .route("/left/{item}", get(left))
        .with_state(inventory);
    mesh.serve("127.0.0.1:0", app).await
}
