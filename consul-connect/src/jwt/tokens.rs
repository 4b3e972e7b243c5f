//! The tokens of one request: looked for once, verified once, asked by every rule.

use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc};

use http::{HeaderName, HeaderValue, request::Parts};
use rustls_pki_types::UnixTime;

use super::{
    InvalidToken, RequestEdits,
    claims::Claims,
    edits::Verified,
    key_set::KeySet,
    location::{Location, Place},
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
    #[error("there are more than {MAX_TOKENS} tokens in the request")]
    TooMany,
    #[error("nothing is known yet")]
    Unknown,
    #[error("no token is accepted: {0}")]
    Provider(Arc<str>),
}

impl Providers {
    pub(super) fn new(by_name: BTreeMap<Arc<str>, Known>) -> Self {
        let mut reserved: Vec<HeaderName> = Vec::new();
        for known in by_name.values() {
            if let Known::Ready(provider, _) = known
                && let Some(header) = &provider.payload_header
                && !reserved.contains(header)
            {
                reserved.push(header.clone());
            }
        }
        Self {
            by_name,
            reserved: (!reserved.is_empty()).then(|| reserved.into()),
        }
    }

    /// Looks for the tokens of every provider and verifies them, as the filter in front of an Envoy's rules does, whichever
    /// rule will decide. Without providers it does nothing.
    pub(crate) fn authenticate(&self, head: &Parts, now: UnixTime) -> Tokens {
        if self.by_name.is_empty() {
            return Tokens::default();
        }
        let looked: Vec<(&Arc<str>, Looked<'_>)> = self
            .by_name
            .iter()
            .map(|(name, known)| (name, self.look(known, head, now)))
            .collect();
        // What is not for one provider may be for another. What nobody has verified, nobody vouches for.
        let of_another = |found: &Found<'_>| {
            let all = looked.iter().flat_map(|(_, looked)| looked.found());
            all.filter(|other| other.verified.is_ok())
                .any(|other| other.place == found.place && other.text == found.text)
        };
        let orphans: Vec<Option<InvalidToken>> = looked
            .iter()
            .map(|(_, looked)| {
                let refused = looked.found().iter().filter(|found| !of_another(found));
                refused
                    .filter_map(|found| found.verified.as_ref().err())
                    .next()
                    .cloned()
            })
            .collect();
        let mut verified = Vec::new();
        let by_provider = looked
            .into_iter()
            .zip(orphans)
            .map(|((name, looked), orphan)| {
                (Arc::clone(name), looked.settle(orphan, &mut verified))
            })
            .collect();
        Tokens {
            by_provider,
            edits: RequestEdits {
                reserved: self.reserved.clone(),
                verified: (!verified.is_empty()).then(|| verified.into()),
            },
        }
    }

    fn look<'a>(&self, known: &'a Known, head: &'a Parts, now: UnixTime) -> Looked<'a> {
        let (provider, keys) = match known {
            Known::Ready(provider, keys) => (provider, keys),
            Known::Fault(why) => return Looked::Not(NoToken::Provider(Arc::clone(why))),
        };
        let mut texts = Vec::new();
        for Location { place, forward } in &provider.locations {
            if !self.is_reserved(place) {
                texts.extend(
                    place
                        .find(head)
                        .into_iter()
                        .map(|text| (place, *forward, text)),
                );
            }
        }
        match keys {
            _ if texts.is_empty() => Looked::Not(NoToken::Missing),
            _ if texts.len() > MAX_TOKENS => Looked::Not(NoToken::TooMany),
            Err(why) => Looked::Not(NoToken::Provider(Arc::clone(why))),
            Ok(keys) => Looked::Found(
                texts
                    .into_iter()
                    .map(|(place, forward, text)| {
                        let verified = provider.verify(keys, &text, now).map(|token| Good {
                            payload: provider.payload(&token),
                            claims: token.claims,
                        });
                        Found {
                            place,
                            forward,
                            text,
                            verified,
                        }
                    })
                    .collect(),
            ),
        }
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

/// What a look for the tokens of one provider brought.
enum Looked<'a> {
    Not(NoToken),
    Found(Vec<Found<'a>>),
}

/// A text where a token should be.
struct Found<'a> {
    place: &'a Place,
    forward: bool,
    text: Cow<'a, [u8]>,
    verified: Result<Good, InvalidToken>,
}

struct Good {
    claims: Claims,
    payload: Option<(HeaderName, HeaderValue)>,
}

impl<'a> Looked<'a> {
    fn found(&self) -> &[Found<'a>] {
        match self {
            Self::Not(_) => &[],
            Self::Found(found) => found,
        }
    }

    /// The outcome: the first good token, if nothing stands beside it that is not good. An application that looks elsewhere
    /// than we do must not find a token that nobody has verified.
    fn settle(
        self,
        orphan: Option<InvalidToken>,
        edits: &mut Vec<Verified>,
    ) -> Result<Claims, NoToken> {
        let found = match self {
            Self::Not(why) => return Err(why),
            Self::Found(found) => found,
        };
        let (mut first, mut refused, mut taken) = (None, None, Vec::new());
        for one in found {
            match one.verified {
                Ok(good) => {
                    first.get_or_insert(good);
                    if !one.forward {
                        taken.push(one.place.clone());
                    }
                }
                Err(why) => {
                    refused.get_or_insert(why);
                }
            }
        }
        let (outcome, payload) = match (first, orphan, refused) {
            (Some(good), None, _) => (Ok(good.claims), good.payload),
            (Some(_), Some(why), _) => (Err(NoToken::Several(why)), None),
            (None, _, Some(why)) => return Err(NoToken::Invalid(why)),
            (None, _, None) => return Err(NoToken::Missing),
        };
        edits.push(Verified { taken, payload });
        outcome
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

    /// What is to be done to the request if it is let in.
    pub(crate) fn edits(&self) -> RequestEdits {
        self.edits.clone()
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Claims(not shown)")
    }
}
