//! Byte streams between verified members of the mesh: whatever is not HTTP.
//!
//! Made by [`Mesh::listen`](crate::Mesh::listen) and [`Mesh::connect`](crate::Mesh::connect).
//!
//! ```no_run
//! # async fn run(mesh: tower_mesh::Mesh) -> Result<(), tower_mesh::Error> {
//! let mut listener = mesh.listen("0.0.0.0:9000").await?;
//! while let Some(mut stream) = listener.accept().await {
//!     tokio::spawn(async move {
//!         tracing::info!(peer = %stream.peer(), "an echo begins");
//!         let (mut reader, mut writer) = tokio::io::split(&mut stream);
//!         tokio::io::copy(&mut reader, &mut writer).await?;
//!         // An orderly end. Dropped without it, the stream looks cut to the other side.
//!         tokio::io::AsyncWriteExt::shutdown(&mut writer).await
//!     });
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A stream whose caller an intention begins to deny is cut at once: every read and write fails.

mod accept;
mod stream;

pub use accept::Listener;
pub use stream::Stream;

pub(crate) use accept::{Acceptor, BACKLOG};
