//! Who issues tokens, and tokens good and bad.

use std::{
    collections::HashMap,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding,
    },
};
use base64::{Engine as _, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// A `jwt-provider` entry, as far as a caller must know it.
pub(crate) struct Provider {
    pub(crate) name: &'static str,
    pub(crate) issuer: &'static str,
    pub(crate) audiences: &'static [&'static str],
    pub(crate) locations: &'static [Location],
    /// The rest of the entry.
    further: fn() -> Value,
    /// The algorithms of its keys; the name of a key is the provider's and the algorithm's.
    algorithms: &'static [&'static str],
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Location {
    /// A header and what stands before the token.
    Header(&'static str, &'static str),
    Query(&'static str),
    Cookie(&'static str),
}

/// Where tokens are looked for when an entry does not say.
const USUAL: &[Location] = &[
    Location::Header("authorization", "Bearer "),
    Location::Query("access_token"),
];

pub(crate) const PROVIDERS: [Provider; 5] = [
    Provider {
        name: "plain",
        issuer: "https://plain.example",
        audiences: &["mesh", "other"],
        locations: USUAL,
        further: || json!({}),
        algorithms: &["ES256"],
    },
    Provider {
        name: "many-keys",
        issuer: "https://many.example",
        audiences: &[],
        locations: USUAL,
        further: || json!({ "Forwarding": { "HeaderName": "x-many-payload" } }),
        algorithms: &["RS256", "PS256", "ES384", "EdDSA"],
    },
    Provider {
        name: "elsewhere",
        issuer: "https://elsewhere.example",
        audiences: &["mesh"],
        locations: &[
            Location::Header("x-token", ""),
            Location::Cookie("session"),
            Location::Query("jwt"),
        ],
        further: || {
            json!({
                "Locations": [
                    { "Header": { "Name": "X-Token" } },
                    { "Cookie": { "Name": "session" } },
                    { "QueryParam": { "Name": "jwt" } },
                ],
                "Forwarding": { "HeaderName": "X-Payload", "PadForwardPayloadHeader": true },
            })
        },
        algorithms: &["ES256"],
    },
    Provider {
        name: "forwards",
        issuer: "https://forwards.example",
        audiences: &[],
        locations: &[Location::Header("authorization", "Bearer ")],
        further: || {
            json!({
                "Locations": [
                    { "Header": { "Name": "Authorization", "ValuePrefix": "Bearer ", "Forward": true } },
                ],
                "Forwarding": { "HeaderName": "x-forwards-payload" },
            })
        },
        algorithms: &["ES256"],
    },
    Provider {
        name: "short-skew",
        issuer: "https://skew.example",
        audiences: &[],
        locations: USUAL,
        further: || json!({ "ClockSkewSeconds": 10 }),
        algorithms: &["RS256"],
    },
];

pub(crate) fn provider(name: &str) -> &'static Provider {
    let mut all = PROVIDERS.iter();
    let found = all.find(|provider| provider.name == name);
    found.expect("a provider of ours")
}

enum Key {
    Ecdsa(EcdsaKeyPair, &'static str),
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    Ed25519(Ed25519KeyPair),
}

/// The keys of all providers; new ones each time.
pub(crate) struct Keys(HashMap<String, Key>);

impl Keys {
    pub(crate) fn generate() -> Self {
        let providers = PROVIDERS.iter().flat_map(|provider| {
            let algorithms = provider.algorithms.iter();
            algorithms.map(|algorithm| (key_id(provider.name, algorithm), Key::generate(algorithm)))
        });
        // In no key set.
        let strangers = ["ES256", "RS256"]
            .map(|algorithm| (key_id("stranger", algorithm), Key::generate(algorithm)));
        Self(providers.chain(strangers).collect())
    }

    /// The entry of this provider, with its public keys.
    pub(crate) fn entry(&self, provider: &Provider) -> Value {
        let keys = provider.algorithms.iter().map(|algorithm| {
            let id = key_id(provider.name, algorithm);
            let mut key = self.0[&id].public();
            key["kid"] = json!(id);
            key["alg"] = json!(algorithm);
            key
        });
        let set = json!({ "keys": keys.collect::<Vec<_>>() }).to_string();
        let mut entry = json!({
            "Kind": "jwt-provider",
            "Name": provider.name,
            "Issuer": provider.issuer,
            "Audiences": provider.audiences,
            "JSONWebKeySet": { "Local": { "JWKS": BASE64_STANDARD.encode(set) } },
        });
        if let Value::Object(further) = (provider.further)() {
            entry.as_object_mut().expect("an object").extend(further);
        }
        entry
    }

    /// A token as described.
    pub(crate) fn token(&self, token: &Token) -> String {
        let provider = provider(token.provider);
        let algorithm = provider.algorithms[token.key % provider.algorithms.len()];
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.expect("a time after 1970").as_secs();
        let mut head = json!({
            "alg": algorithm, "typ": "JWT", "kid": key_id(provider.name, algorithm),
        });
        let mut claims = json!({ "iss": provider.issuer, "exp": now + 3600, "sub": "someone" });
        if let Some(audience) = provider.audiences.first() {
            claims["aud"] = json!(audience);
        }
        for (path, value) in &token.claims {
            set(&mut claims, path, value.clone());
        }
        let mut key = &self.0[&key_id(provider.name, algorithm)];
        let stranger = if algorithm == "RS256" {
            "RS256"
        } else {
            "ES256"
        };
        match token.flaw {
            Flaw::None | Flaw::Tampered | Flaw::Unsigned | Flaw::Truncated | Flaw::Garbage => {}
            Flaw::Expired => claims["exp"] = json!(now - 3600),
            Flaw::JustExpired => claims["exp"] = json!(now - 25),
            Flaw::NoExpiry => remove(&mut claims, "exp"),
            Flaw::ExpiryIsText => claims["exp"] = json!((now + 3600).to_string()),
            Flaw::NotYet => claims["nbf"] = json!(now + 3600),
            Flaw::JustNotYet => claims["nbf"] = json!(now + 25),
            Flaw::OtherAudience => claims["aud"] = json!("somebody-else"),
            Flaw::AudienceInList => claims["aud"] = json!(["x", "mesh"]),
            Flaw::OtherAudiences => claims["aud"] = json!(["x", "y"]),
            Flaw::NoAudience => remove(&mut claims, "aud"),
            Flaw::OtherIssuer => claims["iss"] = json!("https://evil.example"),
            Flaw::NoIssuer => remove(&mut claims, "iss"),
            Flaw::UnknownKeyId => head["kid"] = json!("nobody"),
            Flaw::NoKeyId => remove(&mut head, "kid"),
            Flaw::OtherKey => key = &self.0[&key_id("stranger", stranger)],
            Flaw::AlgorithmNone => head["alg"] = json!("none"),
            Flaw::OtherAlgorithm => head["alg"] = json!("HS256"),
            Flaw::NoAlgorithm => remove(&mut head, "alg"),
            Flaw::Critical => head["crit"] = json!(["unheard-of"]),
        }
        let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(&head), encode(&claims));
        let mut signature = key.sign(message.as_bytes());
        match token.flaw {
            Flaw::Tampered => {
                claims["sub"] = json!("root");
                let message = format!("{}.{}", encode(&head), encode(&claims));
                return format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature));
            }
            Flaw::Unsigned | Flaw::AlgorithmNone => signature.clear(),
            Flaw::Truncated => signature.truncate(signature.len() - 1),
            Flaw::Garbage => return "not.a.token".to_owned(),
            _ => {}
        }
        format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

/// A token that a request carries.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) provider: &'static str,
    /// Which of the provider's keys signs it.
    pub(crate) key: usize,
    pub(crate) claims: Vec<(Vec<&'static str>, Value)>,
    pub(crate) flaw: Flaw,
}

/// What is special about a token; some of it is no fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    Expired,
    JustExpired,
    NoExpiry,
    ExpiryIsText,
    NotYet,
    JustNotYet,
    OtherAudience,
    AudienceInList,
    OtherAudiences,
    NoAudience,
    OtherIssuer,
    NoIssuer,
    UnknownKeyId,
    NoKeyId,
    OtherKey,
    Tampered,
    Unsigned,
    Truncated,
    AlgorithmNone,
    OtherAlgorithm,
    NoAlgorithm,
    Critical,
    Garbage,
}

impl Flaw {
    pub(crate) const ALL: [Self; 23] = [
        Self::Expired,
        Self::JustExpired,
        Self::NoExpiry,
        Self::ExpiryIsText,
        Self::NotYet,
        Self::JustNotYet,
        Self::OtherAudience,
        Self::AudienceInList,
        Self::OtherAudiences,
        Self::NoAudience,
        Self::OtherIssuer,
        Self::NoIssuer,
        Self::UnknownKeyId,
        Self::NoKeyId,
        Self::OtherKey,
        Self::Tampered,
        Self::Unsigned,
        Self::Truncated,
        Self::AlgorithmNone,
        Self::OtherAlgorithm,
        Self::NoAlgorithm,
        Self::Critical,
        Self::Garbage,
    ];
}

impl Key {
    fn generate(algorithm: &str) -> Self {
        let ecdsa = |signing, curve| {
            let key = EcdsaKeyPair::generate(signing).expect("a key");
            Self::Ecdsa(key, curve)
        };
        let rsa = |encoding| {
            let key = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
            Self::Rsa(key, encoding)
        };
        match algorithm {
            "ES256" => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
            "ES384" => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
            "RS256" => rsa(&RSA_PKCS1_SHA256),
            "PS256" => rsa(&RSA_PSS_SHA256),
            _ => Self::Ed25519(Ed25519KeyPair::generate().expect("a key")),
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Ecdsa(key, _) => {
                let signature = key.sign(&random, message).expect("a signature");
                signature.as_ref().to_vec()
            }
            Self::Rsa(key, encoding) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(*encoding, &random, message, &mut signature)
                    .expect("a signature");
                signature
            }
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    fn public(&self) -> Value {
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Ecdsa(key, curve) => {
                // An uncompressed point: a 4, x, y.
                let point = &key.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y) })
            }
            Self::Rsa(key, _) => {
                let key = key.public_key();
                let n = key.modulus().big_endian_without_leading_zero();
                let e = key.exponent().big_endian_without_leading_zero();
                json!({ "kty": "RSA", "n": encode(n), "e": encode(e) })
            }
            Self::Ed25519(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(key.public_key().as_ref()) })
            }
        }
    }
}

fn key_id(provider: &str, algorithm: &str) -> String {
    format!("{provider}-{algorithm}")
}

fn set(object: &mut Value, path: &[&str], value: Value) {
    let mut place = object;
    for name in path {
        if !place[*name].is_object() && path.last() != Some(name) {
            place[*name] = json!({});
        }
        place = &mut place[*name];
    }
    *place = value;
}

fn remove(object: &mut Value, key: &str) {
    if let Some(object) = object.as_object_mut() {
        object.remove(key);
    }
}
