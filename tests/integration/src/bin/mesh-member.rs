//! A member of the mesh in a process of its own: `mesh-member SERVICE`, with the Consul of the environment.
//!
//! It serves HTTP and gRPC on a port of its own, says `listening ADDRESS` and, once it is in the catalog, `ready`. It leaves on
//! SIGTERM and says `left`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::Path, routing::get};
use mesh_tests::traffic::answering;
use tower_mesh::{Error, Mesh};

fn app(name: String) -> Router {
    let begun = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&begun);
    answering(&name)
        .route(
            "/slow/{milliseconds}",
            get(async move |Path(milliseconds): Path<u64>| {
                begun.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                "done"
            }),
        )
        .route(
            "/begun",
            get(async move || seen.load(Ordering::Relaxed).to_string()),
        )
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing_subscriber::fmt::init();
    let service = std::env::args().nth(1).unwrap_or_else(|| "api".to_owned());
    let mesh = Mesh::builder(&service)
        .drain_grace(Duration::from_secs(2))
        .drain_deadline(Duration::from_secs(20))
        .join()
        .await?;
    let announce = async {
        mesh.ready().await?;
        println!("ready");
        Ok::<_, Error>(())
    };
    let name = format!("{service} {}", std::process::id());
    let serve = mesh.serve("127.0.0.1:0", app(name));
    tokio::try_join!(serve, announce)?;
    println!("left");
    Ok(())
}
