//! What an intention demands.

use serde_json::{Value, json};

use super::{
    super::{Requirement, requirement::InvalidRequirement},
    *,
};

fn requirement(wire: &Value) -> Result<Requirement, InvalidRequirement> {
    Requirement::compile(&serde_json::from_value(wire.clone()).expect("a requirement"))
}

fn of_okta(claims: &Value) -> Requirement {
    let wire = json!({ "Providers": [{ "Name": "okta", "VerifyClaims": claims }] });
    requirement(&wire).expect("a requirement")
}

/// The tokens of a request with a good one that says this.
fn saying(changes: &Value) -> Tokens {
    let signer = Signer::es256();
    let all = providers(&[entry("okta", std::slice::from_ref(&signer.jwk))]);
    all.authenticate(&bearer(&signer.token(&claims_with(changes))), now())
}

#[test]
fn a_claim_is_met_by_exactly_its_text() {
    let tokens = saying(&json!({
        "role": "admin", "level": 5, "on": true, "nothing": null, "empty": "", "list": ["admin"],
        "a.b": "dotted", "perms": { "role": "admin", "deep": { "er": "yes" }, "all": [{ "role": "admin" }] },
        "none": null,
    }));
    let cases = [
        (json!(["role"]), "admin", true),
        (json!(["role"]), "Admin", false),
        (json!(["role"]), "adm", false),
        (json!(["Role"]), "admin", false),
        (json!(["perms", "role"]), "admin", true),
        (json!(["perms", "deep", "er"]), "yes", true),
        (json!(["perms", "deep"]), "yes", false),
        (json!(["perms", "deep", "er", "more"]), "yes", false),
        (json!(["role", "admin"]), "admin", false),
        (json!(["perms", "all", "role"]), "admin", false),
        (json!(["perms", "all", "0", "role"]), "admin", false),
        (json!(["list"]), "admin", false),
        (json!(["list", "0"]), "admin", false),
        (json!(["level"]), "5", false),
        (json!(["on"]), "true", false),
        (json!(["none"]), "null", false),
        (json!(["none"]), "", false),
        (json!(["empty"]), "", true),
        (json!(["absent"]), "", false),
        (json!(["a.b"]), "dotted", true),
        (json!(["a", "b"]), "dotted", false),
        (json!(["perms.role"]), "admin", false),
        (json!(["iss"]), "https://issuer", true),
    ];
    for (path, value, met) in cases {
        let requirement = of_okta(&json!([{ "Path": path, "Value": value }]));
        let outcome = requirement.is_met(&tokens);
        assert_eq!(outcome.is_ok(), met, "{path} {value:?}: {outcome:?}");
        if let Err(unmet) = outcome {
            assert_eq!(unmet.code(), "jwt_claim");
        }
    }
}

#[test]
fn every_claim_of_one_provider_and_any_of_the_providers() {
    let tokens = saying(&json!({ "a": "1", "b": "2" }));
    let claim = |name: &str, value: &str| json!({ "Path": [name], "Value": value });
    let provider = |name: &str, claims: &[Value]| json!({ "Name": name, "VerifyClaims": claims });
    let cases = [
        (vec![provider("okta", &[])], true),
        (
            vec![provider("okta", &[claim("a", "1"), claim("b", "2")])],
            true,
        ),
        (
            vec![provider("okta", &[claim("a", "1"), claim("b", "3")])],
            false,
        ),
        (vec![provider("other", &[]), provider("okta", &[])], true),
        (
            vec![
                provider("okta", &[claim("a", "2")]),
                provider("okta", &[claim("b", "2")]),
            ],
            true,
        ),
        (vec![provider("other", &[])], false),
    ];
    for (providers, met) in cases {
        let wire = json!({ "Providers": providers });
        let outcome = requirement(&wire).expect("a requirement").is_met(&tokens);
        assert_eq!(outcome.is_ok(), met, "{wire}: {outcome:?}");
    }
}

#[test]
fn an_unmet_requirement_says_what_is_missing() {
    let signer = Signer::es256();
    let all = providers(&[entry("okta", std::slice::from_ref(&signer.jwk))]);
    let role = of_okta(&json!([{ "Path": ["perms", "role"], "Value": "admin" }]));
    let old = claims_with(&json!({ "exp": NOW - 90 }));
    let cases = [
        (
            all.authenticate(&request("/", &[]), now()),
            "jwt_missing",
            "of the provider `okta` there is no token in the request",
        ),
        (
            all.authenticate(&bearer(&signer.token(&old)), now()),
            "jwt_invalid",
            "of the provider `okta` the token was refused: it has been expired for 90 s",
        ),
        (
            all.authenticate(&bearer(&signer.token(&claims())), now()),
            "jwt_claim",
            "of the provider `okta` the token's claim `perms.role` is not \"admin\"",
        ),
        (
            Tokens::default(),
            "jwt_provider",
            "of the provider `okta` nothing is known yet",
        ),
    ];
    for (tokens, code, text) in cases {
        let unmet = role.is_met(&tokens).expect_err("unmet");
        assert_eq!((unmet.code(), unmet.to_string().as_str()), (code, text));
    }

    let wire = json!({ "Providers": [{ "Name": "other" }, { "Name": "okta" }] });
    let either = requirement(&wire).expect("a requirement");
    let tokens = all.authenticate(&bearer(&signer.token(&old)), now());
    let unmet = either.is_met(&tokens).expect_err("unmet");
    let text = "of the provider `other` nothing is known yet; of the provider `okta` the token was refused: it has been expired for 90 s";
    assert_eq!(unmet.to_string(), text);
}

#[test]
fn a_requirement_that_is_not_understood_is_a_fault() {
    let cases = [
        (json!({}), "no provider"),
        (json!({ "Providers": [] }), "no provider"),
        (json!({ "Providers": [{}] }), "without a name"),
        (
            json!({ "Providers": [{ "Name": "a", "VerifyClaims": [{ "Value": "x" }] }] }),
            "without a path",
        ),
        (
            json!({ "Providers": [{ "Name": "a" }], "Mode": "any" }),
            "`Mode`",
        ),
        (
            json!({ "Providers": [{ "Name": "a", "Optional": true }] }),
            "`Optional`",
        ),
        (
            json!({ "Providers": [{ "Name": "a", "VerifyClaims": [{ "Path": ["x"], "Values": ["y"] }] }] }),
            "`Values`",
        ),
    ];
    for (wire, expected) in cases {
        let fault = requirement(&wire).expect_err("a fault").to_string();
        assert!(fault.contains(expected), "{wire}: {fault}");
    }
}
