//! Which tokens are good.

use serde_json::{Value, json};

use super::{
    super::{InvalidToken, invalid::Part},
    *,
};

/// What the provider with these keys says of a token.
fn check(keys: &[Value], token: &str) -> Result<(), InvalidToken> {
    let (provider, keys) = compiled(&entry("okta", keys));
    provider.verify(&keys, token.as_bytes(), now()).map(|_| ())
}

#[test]
fn accepts_a_token_of_every_algorithm_and_refuses_it_with_any_other_key() {
    let signers: Vec<Signer> = Algorithm::ALL
        .into_iter()
        .map(|algorithm| Signer::new(algorithm, "1"))
        .collect();
    for signer in &signers {
        let token = signer.token(&claims());
        for other in &signers {
            let same_key = signer.jwk == other.jwk;
            let expected = if same_key {
                Ok(())
            } else if signer.algorithm.kind() == other.algorithm.kind() {
                Err(InvalidToken::Signature)
            } else {
                Err(InvalidToken::UnknownKey)
            };
            let outcome = check(std::slice::from_ref(&other.jwk), &token);
            assert_eq!(
                outcome, expected,
                "{:?} with {:?}",
                signer.algorithm, other.algorithm
            );
        }
    }
}

#[test]
fn a_key_for_one_algorithm_verifies_no_other() {
    for algorithm in Algorithm::ALL {
        let signer = Signer::new(algorithm, "1");
        for named in Algorithm::ALL
            .into_iter()
            .filter(|named| named.kind() == algorithm.kind())
        {
            let mut jwk = signer.jwk.clone();
            jwk["alg"] = json!(named.name());
            let expected = if named == algorithm {
                Ok(())
            } else {
                Err(InvalidToken::UnknownKey)
            };
            assert_eq!(
                check(&[jwk], &signer.token(&claims())),
                expected,
                "{algorithm:?} {named:?}"
            );
        }
    }
}

#[test]
fn the_algorithm_in_the_header_cannot_be_exchanged() {
    for algorithm in Algorithm::ALL {
        let signer = Signer::new(algorithm, "1");
        for named in Algorithm::ALL
            .into_iter()
            .filter(|named| *named != algorithm)
        {
            let header = json!({ "alg": named.name(), "kid": "1" }).to_string();
            let token = signer.token_of(&header, &claims().to_string());
            let outcome = check(std::slice::from_ref(&signer.jwk), &token);
            assert!(
                matches!(
                    outcome,
                    Err(InvalidToken::Signature | InvalidToken::UnknownKey)
                ),
                "{algorithm:?} as {named:?}: {outcome:?}"
            );
        }
    }
}

#[test]
fn unsigned_tokens_and_shared_secrets_are_refused() {
    let signer = Signer::new(Algorithm::Rs256, "1");
    let secret = json!({ "kty": "oct", "kid": "1", "alg": "HS256", "k": "c2VjcmV0" });
    // The public key as the secret of an HMAC: what careless libraries accept.
    let keys = [signer.jwk.clone(), secret];
    let cases = [
        ("none", InvalidToken::Unsigned),
        ("None", InvalidToken::Unsigned),
        ("NONE", InvalidToken::Unsigned),
        ("HS256", InvalidToken::SharedSecret),
        ("HS384", InvalidToken::SharedSecret),
        ("HS512", InvalidToken::SharedSecret),
        ("es256", InvalidToken::UnknownAlgorithm),
        ("RS1", InvalidToken::UnknownAlgorithm),
        ("ES256K", InvalidToken::UnknownAlgorithm),
        ("RSA-OAEP", InvalidToken::UnknownAlgorithm),
        ("", InvalidToken::UnknownAlgorithm),
    ];
    for (algorithm, expected) in cases {
        let header = json!({ "alg": algorithm, "kid": "1" }).to_string();
        let token = signer.token_of(&header, &claims().to_string());
        assert_eq!(check(&keys, &token), Err(expected.clone()), "{algorithm}");
        let (unsigned, _) = token.rsplit_once('.').expect("a token");
        assert_eq!(
            check(&keys, &format!("{unsigned}.")),
            Err(expected),
            "{algorithm}"
        );
    }
}

#[test]
fn a_key_id_selects_and_without_one_every_key_is_tried() {
    let [first, second] = ["1", "2"].map(|id| Signer::new(Algorithm::Es256, id));
    let keys = [first.jwk.clone(), second.jwk.clone()];
    let claims = claims().to_string();
    let cases = [
        (json!({ "alg": "ES256", "kid": "2" }), Ok(())),
        (json!({ "alg": "ES256" }), Ok(())),
        (
            json!({ "alg": "ES256", "kid": "1" }),
            Err(InvalidToken::Signature),
        ),
        (
            json!({ "alg": "ES256", "kid": "3" }),
            Err(InvalidToken::UnknownKey),
        ),
        (
            json!({ "alg": "ES256", "kid": "" }),
            Err(InvalidToken::UnknownKey),
        ),
        (
            json!({ "alg": "ES256", "kid": 2 }),
            Err(InvalidToken::Malformed(Part::Header)),
        ),
    ];
    for (header, expected) in cases {
        let token = second.token_of(&header.to_string(), &claims);
        assert_eq!(check(&keys, &token), expected, "{header}");
    }
    let mut nameless = second.jwk.clone();
    nameless.as_object_mut().expect("a key").remove("kid");
    let token = second.token_of(r#"{"alg":"ES256","kid":"3"}"#, &claims);
    assert_eq!(check(&[first.jwk, nameless], &token), Ok(()));
}

#[test]
fn critical_parameters_refuse_a_token_and_unknown_ones_do_not() {
    let signer = Signer::es256();
    let claims = claims().to_string();
    let cases = [
        (
            r#"{"alg":"ES256","crit":["b64"],"b64":false}"#,
            Err(InvalidToken::Critical),
        ),
        (r#"{"alg":"ES256","crit":[]}"#, Err(InvalidToken::Critical)),
        (
            r#"{"alg":"ES256","crit":null}"#,
            Err(InvalidToken::Critical),
        ),
        (r#"{"alg":"ES256","new":["b64"],"typ":"at+jwt"}"#, Ok(())),
        (
            r#"{"alg":"none","alg":"ES256"}"#,
            Err(InvalidToken::Malformed(Part::Header)),
        ),
        (r#"{"kid":"1"}"#, Err(InvalidToken::Malformed(Part::Header))),
        (
            r#"{"alg":["ES256"]}"#,
            Err(InvalidToken::Malformed(Part::Header)),
        ),
        (
            r#"["ES256","1",null]"#,
            Err(InvalidToken::Malformed(Part::Header)),
        ),
        ("ES256", Err(InvalidToken::Malformed(Part::Header))),
    ];
    for (header, expected) in cases {
        let token = signer.token_of(header, &claims);
        assert_eq!(
            check(std::slice::from_ref(&signer.jwk), &token),
            expected,
            "{header}"
        );
    }
}

#[test]
fn registered_claims_decide_as_they_do_in_an_envoy_or_more_strictly() {
    use InvalidToken::{Audience, Issuer};
    let malformed = InvalidToken::Malformed(Part::Claims);
    let expired = |seconds| InvalidToken::Expired { seconds };
    let early = |seconds| InvalidToken::NotYetValid { seconds };
    let cases = [
        // 30 s of skew, where the entry does not say how many.
        (json!({ "exp": NOW }), Ok(())),
        (json!({ "exp": NOW - 30 }), Ok(())),
        (json!({ "exp": NOW - 31 }), Err(expired(31))),
        (json!({ "exp": 0 }), Err(expired(NOW))),
        (json!({ "exp": null }), Ok(())),
        (json!({ "exp": 1e18 }), Ok(())),
        (json!({ "exp": NOW as f64 + 0.5 }), Ok(())),
        (json!({ "exp": 1e30 }), Err(malformed.clone())),
        (json!({ "exp": -1 }), Err(malformed.clone())),
        (
            json!({ "exp": (NOW + 5).to_string() }),
            Err(malformed.clone()),
        ),
        (json!({ "exp": [NOW + 5] }), Err(malformed.clone())),
        (json!({ "nbf": NOW + 30 }), Ok(())),
        (json!({ "nbf": NOW + 31 }), Err(early(31))),
        (json!({ "nbf": u64::MAX }), Err(early(u64::MAX - NOW))),
        (json!({ "nbf": "0" }), Err(malformed.clone())),
        (json!({ "iat": NOW + 999_999 }), Ok(())),
        (json!({ "iat": "now" }), Err(malformed.clone())),
        (json!({ "sub": 1 }), Err(malformed.clone())),
        (json!({ "jti": 1 }), Err(malformed.clone())),
        (json!({ "iss": null }), Err(Issuer)),
        (json!({ "iss": "https://issuer/" }), Err(Issuer)),
        (json!({ "iss": "HTTPS://issuer" }), Err(Issuer)),
        (json!({ "iss": 1 }), Err(malformed.clone())),
        (json!({ "iss": ["https://issuer"] }), Err(malformed.clone())),
        (json!({ "aud": null }), Err(Audience)),
        (json!({ "aud": [] }), Err(Audience)),
        (json!({ "aud": "order" }), Err(Audience)),
        (json!({ "aud": "Orders" }), Err(Audience)),
        (json!({ "aud": ["billing", "orders"] }), Ok(())),
        (json!({ "aud": "https://orders/" }), Ok(())),
        (json!({ "aud": "http://orders" }), Ok(())),
        (json!({ "aud": "orders//" }), Err(Audience)),
        (json!({ "aud": ["orders", 1] }), Err(malformed.clone())),
        (json!({ "aud": 1 }), Err(malformed.clone())),
        (json!({ "aud": { "orders": true } }), Err(malformed)),
    ];
    let signer = Signer::es256();
    let (provider, keys) = compiled(&entry("okta", std::slice::from_ref(&signer.jwk)));
    for (changes, expected) in cases {
        let token = signer.token(&claims_with(&changes));
        let outcome = provider.verify(&keys, token.as_bytes(), now());
        assert_eq!(outcome.map(|_| ()), expected, "{changes}");
    }
}

#[test]
fn no_claims_but_an_object_are_read() {
    let signer = Signer::es256();
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    for claims in [
        "null",
        "[]",
        "\"a\"",
        "1",
        "",
        "{",
        "{}x",
        "\u{feff}{}",
        &deep,
    ] {
        let token = signer.token_of(r#"{"alg":"ES256"}"#, claims);
        let outcome = check(std::slice::from_ref(&signer.jwk), &token);
        assert_eq!(
            outcome,
            Err(InvalidToken::Malformed(Part::Claims)),
            "{claims:.20}"
        );
    }
}

#[test]
fn a_token_in_any_other_form_is_refused() {
    let signer = Signer::es256();
    let good = signer.token(&claims());
    assert_eq!(check(std::slice::from_ref(&signer.jwk), &good), Ok(()));
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        panic!("three parts")
    };
    let cut = &signature[..signature.len() - 4];
    let long = format!("{signature}AAAA");
    let wide = "é".repeat(400);
    let bad = [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!("{header}.{payload}.{signature}."),
        format!("{header}.{payload}.{signature}.{signature}"),
        format!(".{header}.{payload}.{signature}"),
        format!("{header}..{signature}"),
        format!(".{payload}.{signature}"),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}.{signature}=="),
        format!("{header}.{payload}.{cut}"),
        format!("{header}.{payload}.{long}"),
        format!("{header}.{payload}.{}", signature.replace(['-', '_'], "+")) + "+",
        format!("{header}.{payload}. {signature}"),
        format!("{header}.{payload}.{signature}\n"),
        format!("{header}.{payload}.{wide}"),
        format!("{wide}.{payload}.{signature}"),
        "é.ü.ß".to_owned(),
        "\0.\0.\0".to_owned(),
    ];
    for token in &bad {
        let outcome = check(std::slice::from_ref(&signer.jwk), token);
        assert!(
            matches!(
                outcome,
                Err(InvalidToken::Malformed(_) | InvalidToken::Signature)
            ),
            "{token:?}: {outcome:?}"
        );
    }
}

#[test]
fn no_prefix_of_a_good_token_is_good_and_no_flipped_character() {
    let signer = Signer::es256();
    let good = signer.token(&claims());
    let (provider, keys) = compiled(&entry("okta", std::slice::from_ref(&signer.jwk)));
    for end in 0..good.len() {
        assert!(
            provider
                .verify(&keys, &good.as_bytes()[..end], now())
                .is_err(),
            "{end}"
        );
    }
    for at in 0..good.len() {
        let mut other = good.clone().into_bytes();
        other[at] = if other[at] == b'A' { b'B' } else { b'A' };
        assert!(provider.verify(&keys, &other, now()).is_err(), "{at}");
    }
}

#[test]
fn a_token_longer_than_the_limit_is_not_looked_at() {
    let signer = Signer::es256();
    let filled = |length: usize| claims_with(&json!({ "fill": "x".repeat(length) }));
    let good = signer.token(&filled(8_000));
    assert_eq!(check(std::slice::from_ref(&signer.jwk), &good), Ok(()));
    let huge = signer.token(&filled(20_000));
    let outcome = check(std::slice::from_ref(&signer.jwk), &huge);
    assert_eq!(outcome, Err(InvalidToken::TooLong { limit: 16 * 1024 }));
}

#[test]
fn nothing_of_a_token_is_in_a_refusal() {
    let signer = Signer::es256();
    let secret = "a-secret-that-nobody-may-see";
    let header = json!({ "alg": secret, "kid": secret }).to_string();
    let tokens = [
        signer.token(&claims_with(&json!({ "iss": secret }))),
        signer.token(&claims_with(&json!({ "aud": secret }))),
        signer.token(&claims_with(&json!({ "exp": secret }))),
        signer.token_of(&header, &claims().to_string()),
        secret.to_owned(),
        format!("Bearer {secret}.{secret}.{secret}"),
    ];
    let (provider, keys) = compiled(&entry("okta", std::slice::from_ref(&signer.jwk)));
    for token in &tokens {
        let refused = provider.verify(&keys, token.as_bytes(), now()).err();
        let refused = refused.expect("it is a bad one");
        let shown = format!("{refused} {refused:?}");
        assert!(!shown.contains("secret-that"), "{shown}");
        assert!(!shown.contains(&token[..8]), "{shown}");
    }
    let all = providers(&[entry("okta", std::slice::from_ref(&signer.jwk))]);
    let tokens = all.authenticate(&bearer(&signer.token(&claims())), now());
    let shown = format!("{tokens:?}");
    assert!(
        !shown.contains("admin") && !shown.contains("eyJ"),
        "{shown}"
    );
}
