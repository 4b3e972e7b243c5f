//! What makes two replies equal.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

use crate::allowed::allowed;
use crate::calls::{Call, Who};
use crate::wire::{Answer, send};

/// One of the two servers.
pub(crate) struct Side {
    http: SocketAddr,
    grpc: SocketAddr,
    tokens: BTreeMap<Who, String>,
    trust_domain: String,
    index: String,
    hash: String,
}

impl Side {
    pub(crate) async fn new(http: SocketAddr, grpc: SocketAddr) -> Self {
        let roots = send(
            http,
            "GET",
            "/v1/connect/ca/roots",
            None,
            &[],
            String::new(),
        )
        .await;
        let roots: Value = serde_json::from_str(&roots.body).expect("roots");
        Self {
            http,
            grpc,
            tokens: BTreeMap::new(),
            trust_domain: roots["TrustDomain"]
                .as_str()
                .expect("trust domain")
                .to_owned(),
            index: "1".to_owned(),
            hash: String::new(),
        }
    }

    pub(crate) fn token(&mut self, who: Who, secret: &str) {
        self.tokens.insert(who, secret.to_owned());
    }

    pub(crate) async fn send(&self, call: &Call) -> Answer {
        let token = match call.who {
            Who::Unknown => Some("00000000-1111-4222-8333-444444444444"),
            who => self.tokens.get(&who).map(String::as_str),
        };
        let fill = |text: &str| {
            text.replace("{index}", &self.index)
                .replace("{hash}", &self.hash)
                .replace("{td}", &self.trust_domain)
        };
        send(
            self.http,
            call.method,
            &fill(&call.path),
            token,
            &call.headers,
            fill(&call.body),
        )
        .await
    }

    pub(crate) fn remember(&mut self, answer: &Answer) {
        if let Some(index) = answer.headers.get("x-consul-index") {
            self.index.clone_from(index);
        }
        if let Some(hash) = answer.headers.get("x-consul-contenthash") {
            self.hash.clone_from(hash);
        }
    }

    /// Replaces what is this server's own by a common word.
    fn common(&self, text: &str) -> String {
        let cluster = self.trust_domain.split('.').next().unwrap_or_default();
        let mut text = text
            .replace(&self.trust_domain, "<trust domain>")
            .replace(cluster, "<cluster>")
            .replace(&self.http.port().to_string(), "8500")
            .replace(&self.grpc.port().to_string(), "8502");
        for secret in self.tokens.values() {
            text = text.replace(secret, "<secret>");
        }
        mask_uuids(&text)
    }
}

/// Random ids look alike: eight, four, four, four and twelve hex digits.
fn mask_uuids(text: &str) -> String {
    let mut masked = String::new();
    let mut rest = text;
    while let Some(at) = find_uuid(rest) {
        masked.push_str(&rest[..at]);
        masked.push_str("<uuid>");
        rest = &rest[at + 36..];
    }
    masked.push_str(rest);
    masked
}

fn find_uuid(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    (0..bytes.len().saturating_sub(35)).find(|start| {
        text.is_char_boundary(*start)
            && bytes[*start..start + 36]
                .iter()
                .enumerate()
                .all(|(at, byte)| match at {
                    8 | 13 | 18 | 23 => *byte == b'-',
                    _ => byte.is_ascii_hexdigit(),
                })
            && &bytes[*start..start + 9] != b"00000000-"
    })
}

/// Headers of the connection, not of the answer.
const IGNORED: &[&str] = &["date", "content-length", "transfer-encoding", "connection"];

/// Headers whose values are counted or random.
const COUNTED: &[&str] = &["x-consul-index", "x-consul-contenthash", "age"];

/// Fields whose values are counted, random or made from keys; their types must still agree.
const VOLATILE: &[&str] = &[
    "CreateIndex",
    "ModifyIndex",
    "Hash",
    "ContentHash",
    "CustomizationHash",
    "SerialNumber",
    "SigningKeyID",
    "ActiveRootID",
    "RootCert",
    "CertPEM",
    "PrivateKeyPEM",
    "ValidAfter",
    "ValidBefore",
    "NotBefore",
    "NotAfter",
    "CreateTime",
    "AccessorID",
    "SecretID",
];

pub(crate) fn differences(
    call: &Call,
    real: &Side,
    theirs: &Answer,
    dev: &Side,
    ours: &Answer,
) -> Vec<String> {
    let mut found = Vec::new();
    let mut differ = |place: String, theirs: &dyn std::fmt::Debug, ours: &dyn std::fmt::Debug| {
        if !allowed(call, &place) {
            found.push(format!("{place}: real {theirs:?}, consul-dev {ours:?}"));
        }
    };
    if theirs.status != ours.status {
        differ("status".to_owned(), &theirs.status, &ours.status);
    }
    let names: Vec<&String> = theirs.headers.keys().chain(ours.headers.keys()).collect();
    for name in names {
        if IGNORED.contains(&name.as_str()) {
            continue;
        }
        let (a, b) = (theirs.headers.get(name), ours.headers.get(name));
        let same = if COUNTED.contains(&name.as_str()) {
            a.is_some() == b.is_some()
        } else {
            a == b
        };
        if !same {
            differ(format!("header {name}"), &a, &b);
        }
    }
    let parse = |text: &str| serde_json::from_str::<Value>(text);
    let (a, b) = (real.common(&theirs.body), dev.common(&ours.body));
    match (parse(&a), parse(&b)) {
        (Ok(a), Ok(b)) => values("body", &sorted(a), &sorted(b), &mut differ),
        _ if a != b => differ("text".to_owned(), &a, &b),
        _ => {}
    }
    found.sort();
    found.dedup();
    found
}

/// Roots are listed by id, which is random: the active one first instead.
fn sorted(mut value: Value) -> Value {
    if let Some(roots) = value.get_mut("Roots").and_then(Value::as_array_mut) {
        roots.sort_by_key(|root| root["Active"] != true);
    }
    value
}

type Differ<'a> = dyn FnMut(String, &dyn std::fmt::Debug, &dyn std::fmt::Debug) + 'a;

fn values(place: &str, theirs: &Value, ours: &Value, differ: &mut Differ<'_>) {
    match (theirs, ours) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, value) in a {
                let here = format!("{place}.{key}");
                match b.get(key) {
                    None => differ(format!("missing {here}"), value, &"no such key"),
                    Some(other) if VOLATILE.contains(&key.as_str()) => {
                        if std::mem::discriminant(value) != std::mem::discriminant(other) {
                            differ(here, value, other);
                        }
                    }
                    Some(other) => values(&here, value, other, differ),
                }
            }
            for (key, value) in b {
                if !a.contains_key(key) {
                    differ(format!("extra {place}.{key}"), &"no such key", value);
                }
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            if a.len() != b.len() {
                differ(format!("{place}[]"), &a.len(), &b.len());
            }
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                values(&format!("{place}[{at}]"), a, b, differ);
            }
        }
        (Value::String(a), Value::String(b)) if made_from_keys(a) && made_from_keys(b) => {}
        (a, b) if a != b => differ(place.to_owned(), a, b),
        _ => {}
    }
}

/// Certificates, and the ids of roots (twenty bytes in hex, with colons).
fn made_from_keys(text: &str) -> bool {
    let id = text.len() == 59 && text.split(':').all(|part| part.len() == 2);
    id || text.starts_with("-----BEGIN CERTIFICATE-----")
}
