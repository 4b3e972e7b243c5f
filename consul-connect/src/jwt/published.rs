//! What the tasks know, and what requests are held against.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use http::HeaderName;
use tokio::{sync::watch, time::Instant};

use super::{
    JwtProviderStatus, Providers,
    key_set::KeySet,
    provider::Provider,
    tokens::{Entry, Known},
};

/// What the tasks write and requests read.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) current: ArcSwap<Providers>,
    pub(super) changes: watch::Sender<u64>,
    /// Locked while it is changed, never by a request. Its waiters see every report, also those that change nothing.
    pub(super) states: watch::Sender<BTreeMap<Arc<str>, State>>,
}

/// What is known of one provider.
#[derive(Debug)]
pub(super) struct State {
    /// Which task knows it: one that has been stopped says nothing about its successor's.
    pub(super) id: u64,
    pub(super) known: Known,
    keys_since: Option<Instant>,
    last_error: Option<String>,
    /// Neither keys have come, nor a reason why there are none.
    awaited: bool,
    /// Whether Consul has not told of it so far.
    unheard: bool,
    /// What it forwards claims in, or did when that could last be read.
    payload_header: Option<HeaderName>,
}

impl State {
    /// Before Consul has said anything.
    pub(super) fn new(id: u64) -> Self {
        Self {
            id,
            known: Known::Fault("Consul has not told of it yet".into()),
            keys_since: None,
            last_error: None,
            awaited: true,
            unheard: true,
            payload_header: None,
        }
    }

    pub(super) fn is_awaited(&self) -> bool {
        self.awaited
    }

    fn entry(&self) -> Entry {
        Entry {
            known: self.known.clone(),
            payload_header: self.payload_header.clone(),
            unheard: self.unheard,
        }
    }

    fn status(&self, name: &str) -> JwtProviderStatus {
        let (fault, keys) = match &self.known {
            Known::Fault(why) | Known::Ready(_, Err(why)) => (Some(why.to_string()), None),
            Known::Ready(_, Ok(keys)) => (None, Some(keys)),
        };
        JwtProviderStatus {
            name: name.to_owned(),
            fault,
            keys: keys.map_or(0, |keys| keys.len()),
            keys_age: self.keys_since.map(|since| since.elapsed()),
            last_error: self.last_error.clone(),
            notes: keys
                .map(|keys| keys.unusable().collect())
                .unwrap_or_default(),
        }
    }
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            current: ArcSwap::default(),
            changes: watch::Sender::new(0),
            states: watch::Sender::new(BTreeMap::new()),
        }
    }

    /// Changes what is known; `change` says whether any of it decides.
    pub(super) fn update(&self, change: impl FnOnce(&mut BTreeMap<Arc<str>, State>) -> bool) {
        self.states.send_modify(|states| {
            if change(states) {
                let known = states
                    .iter()
                    .map(|(name, state)| (Arc::clone(name), state.entry()));
                // Store first, notify after: whoever wakes finds the new one. Under the lock, so that no older state is
                // stored over a newer one.
                self.current
                    .store(Arc::new(Providers::new(known.collect())));
                self.changes.send_modify(|generation| *generation += 1);
            }
        });
    }

    pub(super) fn statuses(&self) -> Vec<JwtProviderStatus> {
        let states = self.states.borrow();
        states
            .iter()
            .map(|(name, state)| state.status(name))
            .collect()
    }
}

/// What one task reports about its provider.
#[derive(Debug)]
pub(super) struct Reporter {
    pub(super) shared: Arc<Shared>,
    pub(super) name: Arc<str>,
    pub(super) id: u64,
}

impl Reporter {
    fn update(&self, change: impl FnOnce(&mut State) -> bool) {
        self.shared
            .update(|states| match states.get_mut(&self.name) {
                Some(state) if state.id == self.id => change(state),
                _ => false,
            });
    }

    /// No token is accepted. What was forwarded before in a header is still not the caller's to write there.
    pub(super) fn fault(&self, why: &str, payload_header: Option<HeaderName>) {
        tracing::warn!(provider = %self.name, "no token of this provider is accepted: {why}");
        self.update(|state| {
            state.awaited = false;
            state.unheard = false;
            state.payload_header = payload_header.or(state.payload_header.take());
            state.last_error = None;
            state.keys_since = None;
            state.known = Known::Fault(why.into());
            true
        });
    }

    /// Its entry, and the keys there are at once.
    pub(super) fn entry(&self, provider: Provider, keys: Result<Arc<KeySet>, String>) {
        self.update(|state| {
            state.awaited &= keys.is_err();
            state.unheard = false;
            state.payload_header.clone_from(&provider.payload_header);
            state.last_error = None;
            if let Known::Ready(known, had) = &state.known
                && **known == provider
                && same(had, &keys)
            {
                return false;
            }
            match &keys {
                Ok(keys) => self.tell(keys),
                Err(why) => {
                    tracing::info!(provider = %self.name, "no token of this provider is accepted: {why}");
                }
            }
            let had = match &state.known {
                Known::Ready(_, had) => same(had, &keys),
                Known::Fault(_) => false,
            };
            if !had {
                state.keys_since = keys.is_ok().then(Instant::now);
            }
            state.known = Known::Ready(Arc::new(provider), keys.map_err(Into::into));
            true
        });
    }

    /// Its keys, which may be those from before.
    pub(super) fn keys(&self, keys: Arc<KeySet>) {
        self.update(|state| {
            let Known::Ready(_, known) = &mut state.known else {
                return false;
            };
            state.awaited = false;
            state.last_error = None;
            state.keys_since = Some(Instant::now());
            if known.as_ref().is_ok_and(|known| Arc::ptr_eq(known, &keys)) {
                return false;
            }
            self.tell(&keys);
            *known = Ok(keys);
            true
        });
    }

    fn tell(&self, keys: &KeySet) {
        tracing::info!(provider = %self.name, keys = keys.len(), "a token provider's keys in force");
        for note in keys.unusable() {
            tracing::warn!(provider = %self.name, "{note}");
        }
    }

    /// An attempt that failed. What there was before stays in force; where there was nothing, this is why.
    pub(super) fn failed(&self, error: String) {
        self.update(|state| {
            state.awaited = false;
            if state.last_error.as_ref() == Some(&error) {
                tracing::debug!(provider = %self.name, "failed again: {error}");
                return false;
            }
            tracing::warn!(provider = %self.name, "{error}; what was known of this token provider stays in force");
            let reason = match &mut state.known {
                Known::Ready(_, Ok(_)) => None,
                Known::Ready(_, Err(why)) | Known::Fault(why) => Some(why),
            };
            let decides = reason.is_some();
            if let Some(why) = reason {
                *why = error.as_str().into();
            }
            state.last_error = Some(error);
            decides
        });
    }
}

fn same(had: &Result<Arc<KeySet>, Arc<str>>, have: &Result<Arc<KeySet>, String>) -> bool {
    match (had, have) {
        (Ok(had), Ok(have)) => Arc::ptr_eq(had, have),
        (Err(had), Err(have)) => **had == **have,
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
    }
}
