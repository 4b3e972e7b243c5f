use std::fmt;

use rustls_pki_types::UnixTime;

use crate::{Identity, Reason, ServiceId, TrustDomain, identity::Snapshot};

/// Which trust domain is ours: always the same one, or that of an [`Identity`], followed as it changes.
#[derive(Clone)]
pub struct OwnTrustDomain(Own);

#[derive(Clone)]
enum Own {
    Fixed(TrustDomain),
    Live(Identity),
}

impl From<TrustDomain> for OwnTrustDomain {
    fn from(trust_domain: TrustDomain) -> Self {
        Self(Own::Fixed(trust_domain))
    }
}

impl From<Identity> for OwnTrustDomain {
    fn from(identity: Identity) -> Self {
        Self(Own::Live(identity))
    }
}

impl From<&Identity> for OwnTrustDomain {
    fn from(identity: &Identity) -> Self {
        Self(Own::Live(identity.clone()))
    }
}

impl OwnTrustDomain {
    pub(super) fn name(&self) -> TrustDomain {
        match &self.0 {
            Own::Fixed(trust_domain) => trust_domain.clone(),
            Own::Live(identity) => identity.current().trust_domain().clone(),
        }
    }

    /// Why this caller is none of ours, if it is none. Read on every decision rather than copied into the published set,
    /// so that the two can never be of different times.
    pub(super) fn refuses(&self, caller: &ServiceId) -> Option<Reason> {
        let ours = match &self.0 {
            Own::Fixed(ours) if ours == caller.trust_domain() => return None,
            Own::Fixed(ours) => ours.clone(),
            Own::Live(identity) => {
                let is_ours = |current: &Snapshot| current.trust_domain() == caller.trust_domain();
                if identity.peek(is_ours) {
                    return None;
                }
                identity.current().trust_domain().clone()
            }
        };
        let text = format!(
            "the caller belongs to trust domain {}, ours is {ours}",
            caller.trust_domain()
        );
        Some(Reason::new("foreign_trust_domain", text))
    }

    /// The present, by the clock that our own leaf is held against.
    pub(super) fn now(&self) -> UnixTime {
        match &self.0 {
            Own::Fixed(_) => UnixTime::now(),
            Own::Live(identity) => identity.peek(Snapshot::now),
        }
    }

    /// The datacenter of our own identity, where it is known.
    pub(super) fn datacenter(&self) -> String {
        match &self.0 {
            Own::Fixed(_) => "dc1".to_owned(),
            Own::Live(identity) => identity.current().id().datacenter().to_owned(),
        }
    }
}

impl fmt::Debug for OwnTrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}
