use consul_connect::test_util::{require_jwt, verify_jwt};
use http::request::Parts;

use super::request::{blocks, head};

/// The key and the token of RFC 7515, appendix A.3, without the signature.
const KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;
const SIGNED: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const SIGNATURE: &str =
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

/// Seconds since the Unix epoch, shortly before the token expires.
const NOW: u64 = 1_300_819_000;

/// Its keys in Base64.
const ENTRY: &str = r#"{"Name":"joe","Issuer":"joe","JSONWebKeySet":{"Local":{"JWKS":"eyJrZXlzIjpbeyJrdHkiOiJFQyIsImNydiI6IlAtMjU2IiwieCI6ImY4M09KM0QyeEYxQmc4dnViOXRMZTFnSE16Vjc2ZThUdXM5dVBIdlJWRVUiLCJ5IjoieF9GRXpSdTltMzZITE5fdHVlNjU5TE5wWFc2cEN5U3Rpa1lqS0lXSTVhMCJ9XX0="}},"Forwarding":{"HeaderName":"x-claims"}}"#;

/// The head of a request, what is required, a provider, and a token or key set, with empty lines between them.
///
/// # Panics
/// When anything is taken for a token but what was signed, or when the application would see claims that nobody signed.
pub fn jwt(data: &[u8]) {
    let (head, rest) = head(data);
    let [requirement, provider, token] = blocks(rest);
    for token in [token, data] {
        if verify_jwt(KEYS.as_bytes(), token).is_ok() {
            assert!(
                token.starts_with(SIGNED.as_bytes()),
                "{} was not signed",
                token.escape_ascii()
            );
        }
    }
    let signed = format!("{SIGNED}.{SIGNATURE}");
    let _any_key_set = verify_jwt(token, signed.as_bytes());

    if let Ok(requirement) = std::str::from_utf8(requirement)
        && let Ok(seen) = require_jwt(ENTRY, requirement, &head, NOW)
    {
        assert!(bears(&head), "let in without a token: {head:?}");
        // Set by the verifier alone.
        assert!(seen.headers.get_all("x-claims").iter().count() <= 1);
        if let Some(claims) = seen.headers.get("x-claims") {
            let (_, payload) = SIGNED.split_once('.').expect("a header and claims");
            assert_eq!(claims, payload);
        }
    }
    if let Ok(provider) = std::str::from_utf8(provider) {
        let _any_provider = require_jwt(provider, r#"{"Providers":[{"Name":"joe"}]}"#, &head, NOW);
    }
}

/// Whether what was signed is somewhere in it, perhaps with escapes.
fn bears(head: &Parts) -> bool {
    let query = head.uri.query().unwrap_or_default();
    let query = percent_encoding::percent_decode_str(query).collect::<Vec<u8>>();
    let holds = |text: &[u8]| {
        text.windows(SIGNED.len())
            .any(|part| part == SIGNED.as_bytes())
    };
    holds(&query) || head.headers.values().any(|value| holds(value.as_bytes()))
}
