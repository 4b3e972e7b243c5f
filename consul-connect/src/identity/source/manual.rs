//! Sources for material that somebody else takes care of.

use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use super::{IdentitySource, SourceError};
use crate::Material;

/// A source that delivers one material and ends: what was read once and is never renewed.
pub fn fixed(material: Material) -> impl IdentitySource {
    Fixed(material)
}

struct Fixed(Material);

impl IdentitySource for Fixed {
    fn materials(self: Box<Self>) -> BoxStream<'static, Result<Material, SourceError>> {
        stream::iter([Ok(self.0)]).boxed()
    }

    fn describe(&self) -> String {
        "fixed material".into()
    }
}

/// A source that delivers what is pushed into it, and ends when the [`Pusher`] is dropped.
pub fn channel() -> (Pusher, impl IdentitySource) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Pusher(sender), Channel(receiver))
}

/// The writing side of [`channel`].
#[derive(Clone, Debug)]
pub struct Pusher(mpsc::UnboundedSender<Result<Material, SourceError>>);

impl Pusher {
    /// Delivers material, or a failed attempt. Returns `false` if nobody follows the source any more.
    pub fn push(&self, item: Result<Material, SourceError>) -> bool {
        self.0.send(item).is_ok()
    }
}

struct Channel(mpsc::UnboundedReceiver<Result<Material, SourceError>>);

impl IdentitySource for Channel {
    fn materials(self: Box<Self>) -> BoxStream<'static, Result<Material, SourceError>> {
        stream::unfold(self.0, async |mut receiver| {
            receiver.recv().await.map(|item| (item, receiver))
        })
        .boxed()
    }

    fn describe(&self) -> String {
        "pushed material".into()
    }
}
