//! The normalisation in force: published whole, read by every request.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use consul_api::{Error, config_entry::Mesh};

use super::{Following, RequestNormalization, SettingsOrigin};
use crate::Reason;

/// The word of the reason for whoever counts refusals.
const CODE: &str = "normalization";

/// What is done to the requests of one member before rules are asked. Cheap to clone; all clones are the same.
///
/// A change is in force on the next request, also on connections that are open.
#[derive(Clone)]
pub struct NormalizationPolicy {
    cell: Arc<NormalizationCell>,
    following: Option<Arc<Following>>,
}

pub(super) struct NormalizationCell(ArcSwap<Published>);

#[derive(PartialEq)]
struct Published {
    rules: Result<RequestNormalization, Arc<str>>,
    origin: SettingsOrigin,
    findings: Vec<String>,
}

/// Which normalisation is in force, and what is wrong with what was asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NormalizationStatus {
    /// Where it comes from.
    pub origin: SettingsOrigin,
    /// What is done; `None` if every request is refused.
    pub rules: Option<RequestNormalization>,
    /// Why every request is refused, if it is.
    pub refused: Option<String>,
    /// What the entry says beside it that is not known here.
    pub findings: Vec<String>,
    /// How long ago Consul was last known to agree with it: zero while requests succeed, because a change would be told at
    /// once. `None` if it was given, or before the first answer.
    pub age: Option<Duration>,
    /// For how long Consul has not answered about it, if the last request failed.
    pub failing_for: Option<Duration>,
    /// What the last request failed with, if it did.
    pub last_error: Option<Error>,
}

impl NormalizationPolicy {
    /// This, for ever.
    pub fn fixed(rules: RequestNormalization) -> Self {
        let cell = NormalizationCell::of(Published {
            rules: Ok(rules),
            origin: SettingsOrigin::Given,
            findings: Vec::new(),
        });
        Self {
            cell: Arc::new(cell),
            following: None,
        }
    }

    pub(super) fn following(cell: Arc<NormalizationCell>, following: Arc<Following>) -> Self {
        Self {
            cell,
            following: Some(following),
        }
    }

    /// What is to be done to a request now. Never waits, takes no lock and does not allocate.
    ///
    /// # Errors
    /// Why every request is to be refused: Consul has not told the entry yet, or it asks for something that is not known here.
    pub fn current(&self) -> Result<RequestNormalization, Reason> {
        let published = self.cell.0.load();
        let refused = |why: &Arc<str>| Reason::new(CODE, Arc::clone(why));
        published.rules.as_ref().copied().map_err(refused)
    }

    /// What is in force, and what is wrong with what was asked for.
    pub fn status(&self) -> NormalizationStatus {
        let published = self.cell.0.load();
        let following = self.following.as_ref();
        let health = following.map_or_else(Default::default, |following| following.health());
        NormalizationStatus {
            origin: published.origin,
            rules: published.rules.as_ref().ok().copied(),
            refused: published.rules.as_ref().err().map(ToString::to_string),
            findings: published.findings.clone(),
            age: health.age,
            failing_for: health.failing_for,
            last_error: health.last_error,
        }
    }
}

/// What Consul does where nobody says otherwise.
impl Default for NormalizationPolicy {
    fn default() -> Self {
        Self::fixed(RequestNormalization::default())
    }
}

impl NormalizationCell {
    fn of(published: Published) -> Self {
        Self(ArcSwap::from_pointee(published))
    }

    pub(super) fn unknown() -> Self {
        let origin = SettingsOrigin::Unknown;
        Self::of(Published {
            rules: Err(origin.to_string().into()),
            origin,
            findings: Vec::new(),
        })
    }

    pub(super) fn publish(&self, entry: Option<&Mesh>, origin: SettingsOrigin) {
        let incoming = entry
            .and_then(|entry| entry.http.as_ref())
            .and_then(|http| http.incoming.as_ref());
        let wire = incoming.and_then(|incoming| incoming.request_normalization.as_ref());
        let rules = wire.map_or_else(
            || Ok(RequestNormalization::default()),
            RequestNormalization::try_from,
        );
        let published = Published {
            rules: rules.map_err(|unknown| unknown.to_string().into()),
            origin,
            findings: wire
                .iter()
                .flat_map(|wire| wire.extra.keys())
                .map(|key| format!("`{key}` is not known here, and has no effect"))
                .collect(),
        };
        // Other settings live in the same entry.
        if **self.0.load() == published {
            return;
        }
        if let Err(why) = &published.rules {
            tracing::error!("every HTTP request is refused: {why}");
        }
        for finding in &published.findings {
            tracing::warn!("request normalization: {finding}");
        }
        self.0.store(Arc::new(published));
    }
}

impl fmt::Display for NormalizationStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.rules, &self.refused) {
            (Some(rules), _) => write!(f, "{rules}, {}", self.origin)?,
            (None, Some(why)) => write!(f, "ALL REFUSED ({why})")?,
            (None, None) => f.write_str("ALL REFUSED")?,
        }
        for finding in &self.findings {
            write!(f, "\n  note: {finding}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for NormalizationPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let published = self.cell.0.load();
        f.debug_struct("NormalizationPolicy")
            .field("rules", &published.rules)
            .field("origin", &published.origin)
            .finish_non_exhaustive()
    }
}
