//! The agent's leaf cache: one leaf per service name, whoever asked first, as the real agent keeps it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use rand::Rng as _;
use tokio::time::Instant;

use super::State;
use crate::ca::{CaError, Issued, LeafKey};

/// Between two leafs of one service, however short they live.
const SHORTEST: Duration = Duration::from_millis(100);
/// How soon signing is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// A cached leaf with its key.
#[derive(Debug)]
pub(crate) struct CachedLeaf {
    pub(crate) issued: Issued,
    pub(crate) key_pem: String,
    pub(crate) index: u64,
    /// When it is signed anew: after a rotation, or towards the end of its life.
    due: Option<Instant>,
}

/// All cached leafs.
#[derive(Debug)]
pub(crate) struct Leafs {
    pub(crate) cache: BTreeMap<String, CachedLeaf>,
    /// The upper end of the random delay between a rotation and the new leaf; 30 s in the real one.
    pub(crate) jitter: Duration,
}

impl Leafs {
    pub(crate) fn new(jitter: Duration) -> Self {
        Self {
            cache: BTreeMap::new(),
            jitter,
        }
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.cache.values().filter_map(|leaf| leaf.due).min()
    }

    /// The active root changed: each leaf is signed anew after its own delay.
    pub(crate) fn schedule_reissue(&mut self) {
        let now = Instant::now();
        let mut rng = rand::rng();
        for leaf in self.cache.values_mut() {
            let delay = self.jitter.mul_f64(rng.random_range(0.0..1.0));
            leaf.due = Some(now + delay);
        }
    }
}

impl State {
    /// Where a service's identity is written in a certificate.
    pub(crate) fn service_uri(&self, service: &str) -> String {
        format!(
            "spiffe://{}/ns/default/dc/{}/svc/{service}",
            self.ca.trust_domain, self.facts.datacenter
        )
    }

    /// The cached leaf of a service, signed now if there is none.
    pub(crate) fn leaf(&mut self, service: &str) -> Result<&CachedLeaf, CaError> {
        if !self.leafs.cache.contains_key(service) {
            self.issue_leaf(service)?;
        }
        self.leafs
            .cache
            .get(service)
            .ok_or_else(|| CaError::Certificate("the leaf was not kept".to_owned()))
    }

    fn issue_leaf(&mut self, service: &str) -> Result<(), CaError> {
        let key = LeafKey::generate()?;
        let uri = self.service_uri(service);
        let issued = self.ca.issue(&uri, Vec::new(), Vec::new(), key.public())?;
        let index = self.bump(&[]);
        // The real agent renews at a random instant between 60 % and 90 % of the lifetime. Leafs are dated back by a minute,
        // which does not matter for those of an hour that are the shortest there; here it is what is left that counts.
        let left = issued.not_after.duration_since(SystemTime::now());
        let renewal = left.ok().map(|left| {
            let share = rand::rng().random_range(0.6..0.9);
            left.mul_f64(share).max(SHORTEST)
        });
        self.leafs.cache.insert(
            service.to_owned(),
            CachedLeaf {
                issued,
                key_pem: key.sec1_pem,
                index,
                // One that is signed after its end is what was asked for.
                due: renewal.map(|renewal| Instant::now() + renewal),
            },
        );
        Ok(())
    }

    pub(super) fn reissue_leafs(&mut self, now: Instant) {
        let due: Vec<String> = self
            .leafs
            .cache
            .iter()
            .filter(|(_, leaf)| leaf.due.is_some_and(|at| at <= now))
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            if let Err(error) = self.issue_leaf(&name) {
                tracing::warn!(service = name, %error, "re-issuing a leaf failed");
                if let Some(leaf) = self.leafs.cache.get_mut(&name) {
                    leaf.due = Some(now + AGAIN);
                }
            }
        }
    }
}
