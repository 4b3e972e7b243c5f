//! The seam between the pool and whatever makes byte streams.

use std::{future::Future, pin::Pin};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::Error;

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A byte stream of any kind. One indirect call per read or write is far below what either costs.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

pub(crate) type BoxIo = Box<dyn Io>;

/// What to say in the handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Offer {
    Both,
    H2,
    Http11,
}

/// What the peer chose of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    H2,
    Http11,
    /// The peer did not answer the offer at all.
    Silent,
}

/// Makes connections to one endpoint.
pub(crate) trait Open: Send + Sync + 'static {
    /// Dials and, where there is one, shakes hands. Its errors name the endpoint.
    fn open(&self, offer: Offer) -> BoxFuture<'static, Result<Opened, Error>>;

    /// The generation of our identity that a connection opened now would carry.
    fn generation(&self) -> u64;

    /// The endpoint and its upstream, for messages.
    fn name(&self) -> &str;
}

/// A connection before HTTP.
pub(crate) struct Opened {
    pub(crate) io: BoxIo,
    pub(crate) answer: Answer,
    pub(crate) generation: u64,
    pub(crate) guard: Box<dyn Guard>,
}

/// Says when a connection must go.
pub(crate) trait Guard: Send {
    /// Pends while the connection may stay. Cancel safe; may be called again after a drain.
    fn closing(&mut self) -> BoxFuture<'_, Closing>;
}

/// How a connection goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Closing {
    /// No new requests; what runs may finish. Whoever says so cuts it when that takes too long.
    Drain,
    /// At once, whatever runs on it.
    Cut,
}
