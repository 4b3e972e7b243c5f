//! The tokens of one request: looked for once, verified once, asked by every rule.

use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc};

use http::{HeaderName, request::Parts};
use rustls_pki_types::UnixTime;

use super::{
    InvalidToken, RequestEdits, claims::Claims, edits::Verified, key_set::KeySet, location::Place,
    provider::Provider,
};

/// How many tokens of one provider are looked at in one request. Each costs a signature.
const MAX_TOKENS: usize = 4;

/// Every provider the intentions name, with the keys there are. One published state, without time or connection.
#[derive(Debug, Default)]
pub(crate) struct Providers {
    by_name: BTreeMap<Arc<str>, Known>,
    /// The headers that providers forward claims in.
    reserved: Option<Arc<[HeaderName]>>,
    /// One of which nobody knows whether it does.
    unheard: Option<Arc<str>>,
}

/// What is known of a provider, and the header it forwards claims in, or did before it became faulty.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) known: Known,
    pub(super) payload_header: Option<HeaderName>,
    /// Whether Consul has never said what that header is.
    pub(super) unheard: bool,
}

/// What is known of a provider.
#[derive(Clone, Debug)]
pub(super) enum Known {
    /// It, and its keys or why there are none.
    Ready(Arc<Provider>, Result<Arc<KeySet>, Arc<str>>),
    /// Why no token of it is accepted.
    Fault(Arc<str>),
}

/// What a request has of each provider.
#[derive(Debug, Default)]
pub struct Tokens {
    by_provider: Vec<(Arc<str>, Result<Claims, NoToken>)>,
    edits: RequestEdits,
    unheard: Option<Arc<str>>,
}

/// Why there is no token to believe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoToken {
    #[error("there is no token in the request")]
    Missing,
    #[error("the token was refused: {0}")]
    Invalid(InvalidToken),
    #[error("one of several tokens was refused: {0}")]
    Several(InvalidToken),
    #[error("beside a good token there is something that could be taken for one")]
    Stray,
    #[error("there are more than {MAX_TOKENS} tokens in the request")]
    TooMany,
    #[error("nothing is known yet")]
    Unknown,
    #[error("no token is accepted: {0}")]
    Provider(Arc<str>),
}

impl Providers {
    pub(super) fn new(entries: BTreeMap<Arc<str>, Entry>) -> Self {
        let mut reserved: Vec<HeaderName> = Vec::new();
        for header in entries
            .values()
            .filter_map(|entry| entry.payload_header.as_ref())
        {
            if !reserved.contains(header) {
                reserved.push(header.clone());
            }
        }
        let mut unheard = entries.iter().filter(|(_, entry)| entry.unheard);
        Self {
            unheard: unheard.next().map(|(name, _)| Arc::clone(name)),
            reserved: (!reserved.is_empty()).then(|| reserved.into()),
            by_name: entries
                .into_iter()
                .map(|(name, entry)| (name, entry.known))
                .collect(),
        }
    }

    /// Looks for the tokens of every provider and verifies them, as the filter in front of an Envoy's rules does, whichever
    /// rule will decide. Without providers it does nothing.
    pub(crate) fn authenticate(&self, head: &Parts, now: UnixTime) -> Tokens {
        if self.by_name.is_empty() {
            return Tokens::default();
        }
        let mut verified = Vec::new();
        let by_provider = self
            .by_name
            .iter()
            .map(|(name, known)| {
                let outcome = self.settle(known, head, now, &mut verified);
                (Arc::clone(name), outcome)
            })
            .collect();
        Tokens {
            by_provider,
            unheard: self.unheard.clone(),
            edits: RequestEdits {
                reserved: self.reserved.clone(),
                verified: (!verified.is_empty()).then(|| verified.into()),
            },
        }
    }

    /// The first good token of a provider, if everything that stands where its tokens are is good. An application that looks
    /// elsewhere than we do must not find a token that nobody has verified.
    fn settle(
        &self,
        known: &Known,
        head: &Parts,
        now: UnixTime,
        edits: &mut Vec<Verified>,
    ) -> Result<Claims, NoToken> {
        let (provider, keys) = match known {
            Known::Ready(provider, keys) => (provider, keys),
            Known::Fault(why) => return Err(NoToken::Provider(Arc::clone(why))),
        };
        let found = self.find(&provider.places, head);
        if found.is_empty() {
            return Err(NoToken::Missing);
        }
        if found.len() > MAX_TOKENS {
            return Err(NoToken::TooMany);
        }
        let keys = keys
            .as_ref()
            .map_err(|why| NoToken::Provider(Arc::clone(why)))?;
        let (mut first, mut refused, mut taken) = (None, None, Vec::new());
        for (place, text) in &found {
            match provider.verify(keys, text, now) {
                Ok(token) => {
                    taken.extend((!provider.forward).then(|| (*place).clone()));
                    first.get_or_insert_with(|| (provider.payload(&token), token.claims));
                }
                Err(why) => {
                    refused.get_or_insert(why);
                }
            }
        }
        let (outcome, payload) = match (first, refused) {
            (Some((payload, claims)), None) => {
                match provider.places.iter().any(|place| place.has_stray(head)) {
                    true => (Err(NoToken::Stray), None),
                    false => (Ok(claims), payload),
                }
            }
            (Some(_), Some(why)) => (Err(NoToken::Several(why)), None),
            (None, Some(why)) => return Err(NoToken::Invalid(why)),
            (None, None) => return Err(NoToken::Missing),
        };
        edits.push(Verified { taken, payload });
        outcome
    }

    fn find<'a>(&self, places: &'a [Place], head: &'a Parts) -> Vec<(&'a Place, Cow<'a, [u8]>)> {
        let places = places.iter().filter(|place| !self.is_reserved(place));
        places
            .flat_map(|place| place.find(head).into_iter().map(move |text| (place, text)))
            .collect()
    }

    /// What is in a header that only we may write is no token, because it is removed before anybody looks.
    fn is_reserved(&self, place: &Place) -> bool {
        let Place::Header { name, .. } = place else {
            return false;
        };
        let mut reserved = self.reserved.iter().flat_map(|names| names.iter());
        reserved.any(|header| header == name)
    }
}

impl Tokens {
    /// The claims of the verified token of a provider.
    pub(super) fn of(&self, provider: &str) -> Result<&Claims, &NoToken> {
        let known = self
            .by_provider
            .iter()
            .find(|(name, _)| **name == *provider);
        known.map_or(Err(&NoToken::Unknown), |(_, outcome)| outcome.as_ref())
    }

    /// What is to be done to the request before any rule looks at it, and if it is let in.
    pub(crate) fn edits(&self) -> &RequestEdits {
        &self.edits
    }

    /// A provider of which Consul has never told: a header that is for us to write may be forged, and stay.
    pub(crate) fn unheard(&self) -> Option<&str> {
        self.unheard.as_deref()
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Claims(not shown)")
    }
}
