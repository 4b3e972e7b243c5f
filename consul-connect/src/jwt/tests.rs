//! What the pure part promises; in `live` the rest.

mod edits;
mod live;
mod places;
mod providers;
mod requirements;
mod signer;
mod vectors;
mod verify;

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::request::Parts;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::UnixTime;
use serde_json::{Value, json};

use self::signer::Signer;
use super::{
    Providers, Tokens,
    algorithm::Algorithm,
    key_set::KeySet,
    provider::{InvalidProvider, Provider},
    source::KeySource,
    tokens::{Entry, Known},
};

/// When everything happens.
const NOW: u64 = 1_800_000_000;

fn now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(NOW))
}

fn cryptography() -> Arc<CryptoProvider> {
    crate::crypto_provider().expect("a feature of these tests")
}

/// Claims that the provider of [`entry`] accepts.
fn claims() -> Value {
    json!({ "iss": "https://issuer", "aud": "orders", "exp": NOW + 300, "role": "admin" })
}

/// [`claims`] with some of them changed; `null` takes one away.
fn claims_with(changes: &Value) -> Value {
    let mut claims = claims();
    let object = claims.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object") {
        if value.is_null() {
            object.remove(name);
        } else {
            object.insert(name.clone(), value.clone());
        }
    }
    claims
}

/// A `jwt-provider` entry with these keys, as Consul's JSON.
fn entry(name: &str, keys: &[Value]) -> Value {
    let set = json!({ "keys": keys }).to_string();
    json!({
        "Kind": "jwt-provider", "Name": name, "Issuer": "https://issuer", "Audiences": ["orders"],
        "JSONWebKeySet": { "Local": { "JWKS": STANDARD.encode(set) } },
    })
}

fn with(mut entry: Value, key: &str, value: Value) -> Value {
    entry[key] = value;
    entry
}

fn compile(entry: &Value) -> Result<(Provider, KeySource), InvalidProvider> {
    let mut entry = entry.clone();
    entry.as_object_mut().expect("an object").remove("Kind");
    Provider::compile(&serde_json::from_value(entry).expect("an entry"))
}

fn compiled(entry: &Value) -> (Provider, KeySet) {
    match compile(entry) {
        Ok((provider, KeySource::Inline(set))) => {
            let keys = KeySet::parse(&set, &cryptography()).expect("keys");
            (provider, keys)
        }
        other => panic!("{other:?}"),
    }
}

fn providers(entries: &[Value]) -> Providers {
    let ready = |entry: &Value| {
        let (provider, keys) = compiled(entry);
        let name: Arc<str> = entry["Name"].as_str().expect("a name").into();
        (name, Known::Ready(Arc::new(provider), Ok(Arc::new(keys))))
    };
    of(entries.iter().map(ready))
}

/// Those of which this is known.
fn of(known: impl IntoIterator<Item = (Arc<str>, Known)>) -> Providers {
    let heard = |(name, known): (Arc<str>, Known)| {
        let payload_header = match &known {
            Known::Ready(provider, _) => provider.payload_header.clone(),
            Known::Fault(_) => None,
        };
        let entry = Entry {
            known,
            payload_header,
            unheard: false,
        };
        (name, entry)
    };
    Providers::new(known.into_iter().map(heard).collect())
}

fn request(uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = http::Request::builder().uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

fn bearer(token: &str) -> Parts {
    request("/", &[("authorization", &format!("Bearer {token}"))])
}

/// Why a request has no token of a provider; `None`: it has one.
fn refused(tokens: &Tokens, provider: &str) -> Option<String> {
    tokens.of(provider).err().map(ToString::to_string)
}
