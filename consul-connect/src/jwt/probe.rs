//! The pure part, for whoever feeds it with anything: fuzzing, and tests of other crates.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::request::Parts;
use rustls_pki_types::UnixTime;

use super::{
    Providers, Requirement,
    key_set::KeySet,
    provider::Provider,
    source::KeySource,
    token::Token,
    tokens::{Entry, Known},
};
use crate::crypto_provider;

/// Whether a key of a JSON web key set has signed a token, whatever it says.
///
/// # Errors
/// Why not, as a sentence; also if this build has no cryptography.
pub fn verify_jwt(key_set: &[u8], token: &[u8]) -> Result<(), String> {
    let provider = crypto_provider().map_err(|error| error.to_string())?;
    // Both are read, whatever the other is.
    let keys = KeySet::parse(key_set, &provider).map_err(|error| error.to_string());
    let token = Token::parse(token).map_err(|error| error.to_string());
    let (keys, token) = (keys?, token?);
    let key_id = token.key_id.as_deref();
    keys.verify(
        token.algorithm,
        key_id,
        token.signed.as_bytes(),
        &token.signature,
    )
    .map_err(|error| error.to_string())
}

/// What becomes of a request at `now`, in seconds since the Unix epoch: of a `jwt-provider` entry with its keys in it and a
/// requirement, both as Consul's JSON, and the request's head. The answer is the head that the application sees.
///
/// # Errors
/// Why it is refused, as a sentence; also if any of it cannot be read.
pub fn require_jwt(
    entry: &str,
    requirement: &str,
    head: &Parts,
    now: u64,
) -> Result<Parts, String> {
    let cryptography = crypto_provider().map_err(|error| error.to_string())?;
    let entry: consul_api::config_entry::JwtProvider =
        serde_json::from_str(entry).map_err(|error| error.to_string())?;
    let requirement: consul_api::intention::JwtRequirement =
        serde_json::from_str(requirement).map_err(|error| error.to_string())?;
    let known = match Provider::compile(&entry) {
        Err(fault) => Known::Fault(fault.to_string().into()),
        Ok((provider, source)) => {
            let keys = match source {
                KeySource::Inline(set) => KeySet::parse(&set, &cryptography)
                    .map(Arc::new)
                    .map_err(|error| error.to_string().into()),
                KeySource::File(_) | KeySource::Remote(_) => Err("its keys are elsewhere".into()),
            };
            Known::Ready(Arc::new(provider), keys)
        }
    };
    let requirement = Requirement::compile(&requirement).map_err(|error| error.to_string())?;
    let known = Entry {
        known,
        payload_header: Provider::payload_header_of(&entry),
        unheard: false,
    };
    let providers = Providers::new(BTreeMap::from([(entry.name.as_str().into(), known)]));
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
    let tokens = providers.authenticate(head, now);
    requirement
        .is_met(&tokens)
        .map_err(|unmet| unmet.to_string())?;
    let mut head = head.clone();
    tokens.edits().apply(&mut head);
    Ok(head)
}
