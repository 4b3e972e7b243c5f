//! Entries and key sets, as they come from Consul.

use serde_json::{Value, json};

use super::{super::key_set::InvalidKeySet, *};

#[test]
fn the_entry_a_real_consul_returned_is_understood() {
    let entry = json!({
        "Kind": "jwt-provider", "Name": "okta",
        "JSONWebKeySet": { "Local": { "JWKS": "eyJrZXlzIjpbeyJjcnYiOiJQLTI1NiIsImtleV9vcHMiOlsidmVyaWZ5Il0sImt0eSI6IkVDIiwieCI6IldjOXVadVBhQjdLaDJGTWM5d3RKalJlOFhENHlUMkFZTkFBa3JZYlZqdXciLCJ5IjoiNjhoUlRKaUpOT3d0cmg0RW9QWGVWblJ1SDdoaVNESl9sbWJiamZEZldxMCIsImFsZyI6IkVTMjU2IiwidXNlIjoic2lnIiwia2lkIjoiMSJ9XX0=" } },
        "Issuer": "https://iss.example", "Audiences": ["api"],
        "Forwarding": { "HeaderName": "x-jwt", "PadForwardPayloadHeader": false },
        "ClockSkewSeconds": 10, "Hash": 13837133864256839425_u64, "CreateIndex": 77, "ModifyIndex": 77,
    });
    let (provider, keys) = compiled(&entry);
    assert_eq!(keys.len(), 1);
    assert_eq!(
        provider.payload_header,
        Some(http::HeaderName::from_static("x-jwt"))
    );
}

#[test]
fn the_clock_skew_is_honoured_up_to_what_an_envoy_allows() {
    let signer = Signer::es256();
    for (configured, allowed) in [(0, 30), (1, 1), (10, 10), (30, 30), (60, 60), (600, 60)] {
        let entry = with(
            entry("okta", std::slice::from_ref(&signer.jwk)),
            "ClockSkewSeconds",
            json!(configured),
        );
        let (provider, keys) = compiled(&entry);
        for (ago, good) in [(allowed, true), (allowed + 1, false)] {
            let expired = signer.token(&claims_with(&json!({ "exp": NOW - ago })));
            let early = signer.token(&claims_with(&json!({ "nbf": NOW + ago })));
            for token in [expired, early] {
                let outcome = provider.verify(&keys, token.as_bytes(), now());
                assert_eq!(outcome.is_ok(), good, "{configured} {ago}");
            }
        }
    }
}

#[test]
fn without_audiences_any_will_do() {
    let signer = Signer::es256();
    let entry = with(
        entry("okta", std::slice::from_ref(&signer.jwk)),
        "Audiences",
        json!(null),
    );
    let (provider, keys) = compiled(&entry);
    for audience in [json!(null), json!([]), json!("else")] {
        let token = signer.token(&claims_with(&json!({ "aud": audience })));
        assert!(
            provider.verify(&keys, token.as_bytes(), now()).is_ok(),
            "{audience}"
        );
    }
}

#[test]
fn a_provider_that_is_not_understood_accepts_nothing_and_says_why() {
    let base = entry("okta", &[]);
    let keys = |set: Value| with(base.clone(), "JSONWebKeySet", set);
    let remote = |more: Value| {
        let mut remote = json!({ "URI": "https://issuer/keys" });
        let members = remote.as_object_mut().expect("an object");
        members.extend(more.as_object().expect("an object").clone());
        keys(json!({ "Remote": remote }))
    };
    let trusting =
        |ca: Value| remote(json!({ "JWKSCluster": { "TLSCertificates": { "TrustedCA": ca } } }));
    let cases = [
        (with(base.clone(), "Issuer", json!("")), "no issuer"),
        (with(base.clone(), "Trust", json!("all")), "`Trust`"),
        (with(base.clone(), "ClockSkewSeconds", json!(-1)), "-1 s"),
        (
            with(
                base.clone(),
                "Locations",
                json!([{ "Header": { "Name": "a" } }, {}]),
            ),
            "location 1",
        ),
        (
            with(
                base.clone(),
                "Forwarding",
                json!({ "HeaderName": "a", "New": 1 }),
            ),
            "`New`",
        ),
        (
            with(
                base.clone(),
                "Forwarding",
                json!({ "HeaderName": "Content-Length" }),
            ),
            "\"Content-Length\"",
        ),
        (
            with(base.clone(), "Forwarding", json!({ "HeaderName": "a:b" })),
            "\"a:b\"",
        ),
        (keys(json!(null)), "local and remote"),
        (keys(json!({})), "local and remote"),
        (
            keys(json!({ "Local": { "JWKS": "e30=" }, "Remote": { "URI": "https://a" } })),
            "local and remote",
        ),
        (keys(json!({ "Local": {} })), "text in Base64 and a file"),
        (
            keys(json!({ "Local": { "JWKS": "e30=", "Filename": "/a" } })),
            "text in Base64 and a file",
        ),
        (keys(json!({ "Local": { "JWKS": "{}" } })), "no Base64"),
        (
            keys(json!({ "Local": { "JWKS": "e30=", "Url": "x" } })),
            "`Url`",
        ),
        (
            keys(json!({ "Local": { "JWKS": "e30=" }, "Hsm": {} })),
            "`Hsm`",
        ),
        (remote(json!({ "URI": "" })), "URI"),
        (remote(json!({ "URI": "keys.json" })), "URI"),
        (remote(json!({ "URI": "file:///etc/passwd" })), "URI"),
        (remote(json!({ "CacheDuration": "-1s" })), "cache duration"),
        (remote(json!({ "RequestTimeoutMs": -1 })), "timeout"),
        (remote(json!({ "Method": "POST" })), "`Method`"),
        (remote(json!({ "RetryPolicy": { "When": "x" } })), "`When`"),
        (
            remote(json!({ "RetryPolicy": { "RetryPolicyBackOff": { "Curve": 2 } } })),
            "`Curve`",
        ),
        (
            remote(json!({ "JWKSCluster": { "Proxy": "x" } })),
            "`Proxy`",
        ),
        (
            remote(json!({ "JWKSCluster": { "TLSCertificates": { "Insecure": true } } })),
            "`Insecure`",
        ),
        (
            remote(
                json!({ "JWKSCluster": { "TLSCertificates": { "CaCertificateProviderInstance": { "InstanceName": "x" } } } }),
            ),
            "only an Envoy",
        ),
        (trusting(json!({})), "exactly one of a file"),
        (
            trusting(json!({ "Filename": "/a", "InlineString": "x" })),
            "exactly one of a file",
        ),
        (trusting(json!({ "InlineBytes": "%" })), "no Base64"),
        (trusting(json!({ "Directory": "/etc" })), "`Directory`"),
    ];
    for (entry, expected) in cases {
        let fault = compile(&entry).expect_err("a fault").to_string();
        assert!(fault.contains(expected), "{entry}: {fault}");
    }
}

#[test]
fn a_key_that_cannot_be_used_is_left_out_and_told() {
    let [rsa, ec, other] = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa]
        .map(|algorithm| Signer::new(algorithm, "1").jwk);
    let changed = |jwk: &Value, key: &str, value: Value| with(jwk.clone(), key, value);
    let short = "qqqq".repeat(42);
    let cases = [
        (json!("a key"), "no JSON web key"),
        (json!({}), "no JSON web key"),
        (json!({ "kty": 1 }), "no JSON web key"),
        (changed(&ec, "kid", json!(1)), "no JSON web key"),
        (json!({ "kty": "oct", "k": "AAAA" }), "shared secret"),
        (
            json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA" }),
            "type is unknown",
        ),
        (changed(&ec, "crv", json!("secp256k1")), "curve"),
        (
            changed(&changed(&ec, "crv", json!("P-384")), "alg", json!("ES256")),
            "algorithm",
        ),
        (json!(["EC", "1"]), "no JSON web key"),
        (changed(&other, "crv", json!("X25519")), "curve"),
        (changed(&ec, "use", json!("enc")), "not for verifying"),
        (
            changed(&ec, "key_ops", json!(["sign"])),
            "not for verifying",
        ),
        (changed(&ec, "key_ops", json!([])), "not for verifying"),
        (changed(&ec, "alg", json!("RS256")), "algorithm"),
        (changed(&ec, "alg", json!("ES384")), "algorithm"),
        (changed(&rsa, "alg", json!("RSA-OAEP")), "algorithm"),
        (changed(&ec, "x", json!(null)), "\"x\""),
        (changed(&ec, "y", json!("a b")), "\"y\""),
        (changed(&ec, "y", json!("-".repeat(60))), "\"y\""),
        (changed(&other, "x", json!("AAAA")), "\"x\""),
        (changed(&rsa, "n", json!("")), "\"n\""),
        (changed(&rsa, "e", json!(null)), "\"e\""),
        (changed(&rsa, "n", json!(short)), "1008 bits"),
        (changed(&rsa, "n", json!("q".repeat(1400))), "8400 bits"),
    ];
    for (bad, expected) in cases {
        let set = json!({ "keys": [ec, bad, rsa] }).to_string();
        let keys = KeySet::parse(set.as_bytes(), &cryptography()).expect("the good ones");
        let told: Vec<String> = keys.unusable().collect();
        assert_eq!((keys.len(), told.len()), (2, 1), "{bad}: {told:?}");
        assert!(
            told[0].starts_with("key 1 ") && told[0].contains(expected),
            "{told:?}"
        );
    }
}

#[test]
fn coordinates_without_their_leading_zeros_are_the_same_key() {
    let key = json!({ "kty": "EC", "crv": "P-256", "x": "AQ", "y": "AAAC" });
    let set = json!({ "keys": [key] }).to_string();
    let keys = KeySet::parse(set.as_bytes(), &cryptography());
    assert_eq!(keys.expect("a key, if none of the curve").len(), 1);
}

#[test]
fn what_is_no_key_set_is_an_error() {
    let parse = |text: &str| KeySet::parse(text.as_bytes(), &cryptography()).err();
    let json = |text: &str| matches!(parse(text), Some(InvalidKeySet::Json(_)));
    for text in [
        "",
        "[[{}]]",
        "null",
        "[]",
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":null}"#,
        "<html>",
        "\u{0}",
    ] {
        assert!(json(text), "{text:?}");
    }
    assert_eq!(parse(r#"{"keys":[]}"#), Some(InvalidKeySet::Empty));
    let unusable = parse(r#"{"keys":[1,{"kty":"oct"}]}"#)
        .expect("an error")
        .to_string();
    assert!(unusable.contains("none of the 2 keys"), "{unusable}");
    let long = format!(r#"{{"keys":[],"x":"{}"}}"#, "x".repeat(1024 * 1024));
    assert_eq!(parse(&long), Some(InvalidKeySet::TooLong));
}

#[cfg(feature = "ring")]
#[test]
fn ring_leaves_out_p521_and_takes_the_rest() {
    let ring = rustls::crypto::ring::default_provider();
    let keys: Vec<Value> = Algorithm::ALL
        .into_iter()
        .map(|algorithm| Signer::new(algorithm, "1").jwk)
        .collect();
    let set = json!({ "keys": keys }).to_string();
    let keys = KeySet::parse(set.as_bytes(), &ring).expect("keys");
    let told: Vec<String> = keys.unusable().collect();
    assert_eq!(keys.len(), Algorithm::ALL.len() - 1);
    assert!(told[0].contains("cryptography of this build"), "{told:?}");
}
