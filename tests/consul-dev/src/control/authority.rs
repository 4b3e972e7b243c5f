//! Roots, leafs and bad leafs.

use std::time::Duration;

use crate::ca::{Authority, BadLeaf, CaError, KeyKind, Minted};
use crate::error::Error;
use crate::go;
use crate::server::ConsulDev;
use crate::state::{State, Topic};

impl State {
    pub(crate) fn active_key_kind(&self) -> KeyKind {
        self.ca
            .active()
            .map_or(KeyKind::EcP256, |root| root.key.kind)
    }

    pub(crate) fn rotate(&mut self, kind: KeyKind, cross_sign: bool) -> Result<String, CaError> {
        let index = self.index() + 1;
        let id = self.ca.rotate(kind, cross_sign, index)?;
        self.bump(&[Topic::Roots]);
        self.leafs.schedule_reissue();
        Ok(id)
    }
}

impl ConsulDev {
    /// The trust domain, such as `….dev.consul`.
    #[must_use]
    pub fn trust_domain(&self) -> String {
        self.shared.with(|state| state.ca.trust_domain.clone())
    }

    /// The SPIFFE URI of a service.
    #[must_use]
    pub fn service_uri(&self, service: &str) -> String {
        self.shared.with(|state| state.service_uri(service))
    }

    /// The id of the active root.
    #[must_use]
    pub fn active_root(&self) -> String {
        self.shared.with(|state| {
            state
                .ca
                .active()
                .map_or_else(|_| String::new(), |root| root.id.clone())
        })
    }

    /// The ids of all listed roots, oldest first.
    #[must_use]
    pub fn root_ids(&self) -> Vec<String> {
        self.shared
            .with(|state| state.ca.roots.iter().map(|root| root.id.clone()).collect())
    }

    /// A new active root of the same key type, cross-signed by the old one, which stays listed. Returns its id.
    ///
    /// # Errors
    /// The authority failed.
    pub fn rotate_root(&self) -> Result<String, Error> {
        Ok(self.shared.with(|state| {
            let kind = state.active_key_kind();
            state.rotate(kind, true)
        })?)
    }

    /// A new active root of another key type, cross-signed by the old one.
    ///
    /// # Errors
    /// The authority failed.
    pub fn rotate_root_to(&self, kind: KeyKind) -> Result<String, Error> {
        Ok(self.shared.with(|state| state.rotate(kind, true))?)
    }

    /// A new active root that only verifiers who know it will trust (`ForceWithoutCrossSigning`).
    ///
    /// # Errors
    /// The authority failed.
    pub fn rotate_root_without_cross_signing(&self) -> Result<String, Error> {
        Ok(self.shared.with(|state| {
            let kind = state.active_key_kind();
            state.rotate(kind, false)
        })?)
    }

    /// Removes a listed root that is not the active one, as the servers do long after a rotation.
    ///
    /// # Errors
    /// No such root, or it is the active one.
    pub fn remove_root(&self, id: &str) -> Result<(), Error> {
        Ok(self.shared.with(|state| {
            state.ca.remove(id)?;
            state.bump(&[Topic::Roots]);
            Ok::<(), CaError>(())
        })?)
    }

    /// Removes every root but the active one; returns how many.
    pub fn prune_inactive_roots(&self) -> usize {
        self.shared.with(|state| {
            let before = state.ca.roots.len();
            state.ca.roots.retain(|root| root.active);
            let removed = before - state.ca.roots.len();
            if removed > 0 {
                state.bump(&[Topic::Roots]);
            }
            removed
        })
    }

    /// Replaces the authority by a new one with a new trust domain, as a rebuilt cluster has. Returns the domain.
    /// Cached leafs are signed anew after the jitter.
    ///
    /// # Errors
    /// The authority failed.
    pub fn new_trust_domain(&self) -> Result<String, Error> {
        Ok(self.shared.with(|state| {
            let domain = format!("{}.dev.consul", go::uuid());
            let (kind, ttl) = (state.active_key_kind(), state.ca.leaf_ttl);
            let index = state.index() + 1;
            state.ca = Authority::new(domain.clone(), kind, ttl, index)?;
            state.bump(&[Topic::Roots]);
            state.leafs.schedule_reissue();
            Ok::<String, CaError>(domain)
        })?)
    }

    /// The lifetime of leafs signed from now on, counted from a minute before they are signed.
    pub fn set_leaf_ttl(&self, ttl: Duration) {
        self.shared.with(|state| state.ca.leaf_ttl = ttl);
    }

    /// The upper end of the random delay between a rotation and the agent's new leafs.
    pub fn set_leaf_jitter(&self, jitter: Duration) {
        self.shared.with(|state| state.leafs.jitter = jitter);
    }

    /// Signs every cached leaf anew, now and without jitter, as a renewal does.
    pub fn reissue_leafs(&self) {
        self.shared.with(|state| {
            let jitter = std::mem::take(&mut state.leafs.jitter);
            state.leafs.schedule_reissue();
            state.leafs.jitter = jitter;
        });
    }

    /// A leaf for `service` to be made wrong and then signed with [`mint`](Self::mint).
    #[must_use]
    pub fn bad_leaf(&self, service: &str) -> BadLeaf {
        BadLeaf::new(self.service_uri(service))
    }

    /// Signs a leaf as asked, right or wrong.
    ///
    /// # Errors
    /// A SAN is no ASCII, the root is unknown, or signing failed.
    pub fn mint(&self, leaf: &BadLeaf) -> Result<Minted, Error> {
        Ok(self.shared.with(|state| state.ca.mint(leaf))?)
    }
}
