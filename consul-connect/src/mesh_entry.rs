//! The `mesh` config entry: watched once, read by every handshake and every request.
//!
//! The entry holds settings of several kinds. Each has a handle that is read without a lock ([`TlsPolicy`],
//! [`NormalizationPolicy`]); the watch behind them is one.

mod following;
mod normalization;
mod origin;
mod policy;

pub(crate) use following::Following;
pub use normalization::{
    EscapedSlashes, RequestNormalization, UnderscoreHeaders, UnknownNormalization,
};
pub use origin::SettingsOrigin;
pub use policy::{NormalizationPolicy, NormalizationStatus};

use std::sync::Arc;

use consul_api::{Client, Error, Watch, config_entry::Mesh};
use futures_util::StreamExt;

use crate::{Identity, TlsPolicy, task::Task, tls::TlsCell};
use following::Answers;
use policy::NormalizationCell;

/// What the `mesh` config entry says, as it says it now. Cheap to clone; all clones are the same.
///
/// Until [`ready`](Self::ready) every handshake and every request is refused. Without an entry the defaults are in force, and
/// also if the token may not read it; after that an error changes nothing.
///
/// # Shutdown
/// The task behind it ends with the last clone and the last of its policies. What was received stays in force.
#[derive(Clone, Debug)]
pub struct MeshEntry {
    tls: TlsPolicy,
    normalization: NormalizationPolicy,
    following: Arc<Following>,
}

impl MeshEntry {
    /// Begins to follow the entry. The cryptography of the TLS policy is that of `identity`.
    ///
    /// Must be called within a Tokio runtime.
    pub fn watch(client: &Client, identity: &Identity) -> Self {
        let settings = Settings {
            tls: Arc::new(TlsCell::unknown(identity)),
            normalization: Arc::new(NormalizationCell::unknown()),
            answers: Arc::default(),
        };
        let (tls, normalization) = (settings.tls.clone(), settings.normalization.clone());
        let answers = Arc::clone(&settings.answers);
        let watch = client.config_entries().mesh().watch();
        let monitor = watch.monitor();
        let task = Task::spawn(follow(watch, settings));
        let following = Arc::new(Following::new(answers, monitor, task));
        Self {
            tls: TlsPolicy::following(tls, Arc::clone(&following)),
            normalization: NormalizationPolicy::following(normalization, Arc::clone(&following)),
            following,
        }
    }

    /// Waits until it is known what the entry says. Has no deadline of its own.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn ready(&self) {
        self.following.ready().await;
    }

    /// Which TLS connections speak.
    #[must_use]
    pub fn tls(&self) -> TlsPolicy {
        self.tls.clone()
    }

    /// What is done to requests before rules are asked.
    #[must_use]
    pub fn normalization(&self) -> NormalizationPolicy {
        self.normalization.clone()
    }
}

/// What is published, each kind in one piece.
struct Settings {
    tls: Arc<TlsCell>,
    normalization: Arc<NormalizationCell>,
    answers: Arc<Answers>,
}

impl Settings {
    fn publish(&self, entry: Option<&Mesh>, origin: SettingsOrigin) {
        self.tls.publish(entry, origin);
        self.normalization.publish(entry, origin);
        self.answers.answered();
    }

    fn refused(&self, error: Error) {
        if !self.answers.is_answered() {
            tracing::warn!(%error, "the token may not read the `mesh` entry: its settings are as by default");
            self.publish(None, SettingsOrigin::NotPermitted);
        }
        self.answers.refused(Some(error));
    }
}

/// Follows the entry, for ever; the owner stops it by dropping the task.
async fn follow(mut watch: Watch<Option<Mesh>>, settings: Settings) {
    while let Some(item) = watch.next().await {
        match item {
            Ok(update) => {
                settings.answers.refused(None);
                let entry = Option::as_ref(&update.value);
                let origin = match entry {
                    Some(_) => SettingsOrigin::MeshEntry,
                    None => SettingsOrigin::NoMeshEntry,
                };
                settings.publish(entry, origin);
            }
            Err(error) if error.is_permission_denied() || error.is_unknown_token() => {
                settings.refused(error);
            }
            Err(_) => {}
        }
    }
}
