//! The keys of a provider: a JSON Web Key Set (RFC 7517 section 5).

use rustls::crypto::CryptoProvider;
use serde::Deserialize;

use super::{
    InvalidToken,
    algorithm::Algorithm,
    key::{Key, UnusableKey},
};

/// Larger sets are not read. The largest public ones have some tens of kilobytes.
pub(super) const MAX_LENGTH: usize = 1024 * 1024;

/// Keys ready to verify with.
#[derive(Debug)]
pub(super) struct KeySet {
    keys: Vec<Key>,
    unusable: Vec<(usize, UnusableKey)>,
}

/// Why there are no keys in what should be a key set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidKeySet {
    #[error("the key set is longer than {MAX_LENGTH} bytes")]
    TooLong,
    #[error("it is no JSON web key set: {0}")]
    Json(String),
    #[error("the key set is empty")]
    Empty,
    #[error("none of the {count} keys can be used; the first: {first}")]
    Unusable { count: usize, first: UnusableKey },
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// Keys that cannot be used are left out and listed in [`unusable`](Self::unusable): a set may serve other purposes too,
    /// and a newer kind of key must not take the older ones with it.
    ///
    /// # Errors
    /// If it is no key set, or not one key can be used.
    pub(super) fn parse(json: &[u8], provider: &CryptoProvider) -> Result<Self, InvalidKeySet> {
        if json.len() > MAX_LENGTH {
            return Err(InvalidKeySet::TooLong);
        }
        // An array of its values would do for serde.
        if !json.trim_ascii_start().starts_with(b"{") {
            return Err(InvalidKeySet::Json("it is no object".to_owned()));
        }
        let set: Jwks =
            serde_json::from_slice(json).map_err(|error| InvalidKeySet::Json(error.to_string()))?;
        let count = set.keys.len();
        let (mut keys, mut unusable) = (Vec::with_capacity(count), Vec::new());
        for (position, json) in set.keys.into_iter().enumerate() {
            match Key::parse(json, provider) {
                Ok(key) => keys.push(key),
                Err(why) => unusable.push((position, why)),
            }
        }
        match unusable.first() {
            _ if !keys.is_empty() => Ok(Self { keys, unusable }),
            None => Err(InvalidKeySet::Empty),
            Some((_, first)) => Err(InvalidKeySet::Unusable {
                count,
                first: first.clone(),
            }),
        }
    }

    /// How many keys can be used.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// What is wrong with the others, as sentences.
    pub(super) fn unusable(&self) -> impl Iterator<Item = String> {
        self.unusable
            .iter()
            .map(|(position, why)| format!("key {position} of the set is not used: {why}"))
    }

    /// Whether one of the keys that fit key id and algorithm has signed the message.
    ///
    /// # Errors
    /// [`InvalidToken::UnknownKey`], [`InvalidToken::Signature`].
    pub(super) fn verify(
        &self,
        algorithm: Algorithm,
        key_id: Option<&str>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidToken> {
        let mut why = InvalidToken::UnknownKey;
        for key in &self.keys {
            let Some(verifier) = key.verifier(key_id, algorithm) else {
                continue;
            };
            if key.made(verifier, message, signature) {
                return Ok(());
            }
            why = InvalidToken::Signature;
        }
        Err(why)
    }
}
