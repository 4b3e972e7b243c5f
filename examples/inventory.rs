//! `inventory`: a gRPC service in the mesh, by tonic. Start it first; the README has the commands.

use std::{collections::HashMap, sync::Arc};

use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use shop::inventory_server::{Inventory, InventoryServer};
use shop::{Level, ReserveReply, ReserveRequest, WatchRequest};
use tokio::sync::watch;
use tonic::{Request, Response, Status, service::Routes};
use tower_mesh::{Error, Mesh, Peer};

#[path = "shop.rs"]
mod shop;

#[derive(Clone)]
struct Shelf(Arc<HashMap<&'static str, watch::Sender<u32>>>);

impl Shelf {
    fn level(&self, item: &str) -> Result<&watch::Sender<u32>, Status> {
        self.0
            .get(item)
            .ok_or_else(|| Status::not_found(format!("there never were any {item}")))
    }
}

#[tonic::async_trait]
impl Inventory for Shelf {
    async fn reserve(
        &self,
        request: Request<ReserveRequest>,
    ) -> Result<Response<ReserveReply>, Status> {
        let caller = request.extensions().get::<Peer>().cloned();
        let caller = caller.ok_or_else(|| Status::permission_denied("not called in the mesh"))?;
        let ReserveRequest { item, quantity } = request.into_inner();
        let level = self.level(&item)?;
        let enough = level.send_if_modified(|left| {
            let rest = left.checked_sub(quantity);
            *left = rest.unwrap_or(*left);
            rest.is_some()
        });
        let left = *level.borrow();
        println!("{caller} asks for {quantity} {item}: {left} left");
        match enough {
            true => Ok(Response::new(ReserveReply { left })),
            false => Err(Status::failed_precondition(format!(
                "only {left} {item} left"
            ))),
        }
    }

    type WatchStream = BoxStream<'static, Result<Level, Status>>;

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let mut level = self.level(&request.get_ref().item)?.subscribe();
        level.mark_changed(); // so that it begins with what there is now
        let levels = stream::unfold(level, |mut level| async {
            level.changed().await.ok()?;
            let left = *level.borrow_and_update();
            Some((Ok(Level { left }), level))
        });
        Ok(Response::new(levels.boxed()))
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing_subscriber::fmt::init();
    let stock = [("apples", 100), ("pears", 3)];
    let shelf = Shelf(Arc::new(
        stock.map(|(item, n)| (item, watch::Sender::new(n))).into(),
    ));
    let app = Routes::new(InventoryServer::new(shelf)).into_axum_router();
    Mesh::join("inventory")
        .await?
        .serve("127.0.0.1:0", app)
        .await
}
