//! Tokens, key sets, entries and requests of any form: none panics, none is let in.

use base64::{Engine, engine::general_purpose::STANDARD};
use consul_connect::test_util::{require_jwt, verify_jwt};
use http::Request;
use proptest::{collection::vec, prelude::*};

const KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;

/// RFC 7515 appendix A.3: signed with that key.
const TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

const REQUIREMENT: &str = r#"{"Providers":[{"Name":"joe"}]}"#;

/// Seconds since the Unix epoch, shortly before the token expires.
const NOW: u64 = 1_300_819_000;

fn entry() -> String {
    let keys = STANDARD.encode(KEYS);
    format!(r#"{{"Name":"joe","Issuer":"joe","JSONWebKeySet":{{"Local":{{"JWKS":"{keys}"}}}}}}"#)
}

fn head(uri: &str, authorization: Option<&[u8]>) -> Option<http::request::Parts> {
    let mut request = Request::builder().uri(uri);
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    Some(request.body(()).ok()?.into_parts().0)
}

#[test]
fn the_example_is_let_in_and_taken_out_of_the_request() {
    assert_eq!(verify_jwt(KEYS.as_bytes(), TOKEN.as_bytes()), Ok(()));
    let bearer = format!("Bearer {TOKEN}");
    let head = head("/p", Some(bearer.as_bytes())).expect("a request");
    let seen = require_jwt(&entry(), REQUIREMENT, &head, NOW).expect("let in");
    assert!(seen.headers.is_empty());
    let late = require_jwt(&entry(), REQUIREMENT, &head, NOW + 1000).expect_err("expired");
    assert!(late.contains("expired for 620 s"), "{late}");
}

proptest! {
    #[test]
    fn no_bytes_are_a_good_token(token in vec(any::<u8>(), 0..300)) {
        prop_assert!(verify_jwt(KEYS.as_bytes(), &token).is_err());
    }

    #[test]
    fn no_bytes_are_a_key_set_that_verifies(keys in vec(any::<u8>(), 0..300)) {
        prop_assert!(verify_jwt(&keys, TOKEN.as_bytes()).is_err());
    }

    #[test]
    fn a_changed_token_is_a_bad_one(at in 0..TOKEN.len(), byte in any::<u8>()) {
        let mut token = TOKEN.as_bytes().to_vec();
        prop_assume!(token[at] != byte);
        token[at] = byte;
        prop_assert!(verify_jwt(KEYS.as_bytes(), &token).is_err());
    }

    #[test]
    fn parts_that_look_like_a_token_are_none(parts in vec("[A-Za-z0-9_-]{0,40}", 0..5)) {
        prop_assert!(verify_jwt(KEYS.as_bytes(), parts.join(".").as_bytes()).is_err());
    }

    #[test]
    fn any_header_and_query_is_refused(
        uri in "/[a-z?&=%_0-9]{0,30}(access_token=[a-zA-Z0-9._%-]{0,30})?",
        value in vec(any::<u8>(), 0..60),
        prefix in any::<bool>(),
    ) {
        let value = if prefix { [b"Bearer ", value.as_slice()].concat() } else { value };
        if let Some(head) = head(&uri, Some(&value)) {
            prop_assert!(require_jwt(&entry(), REQUIREMENT, &head, NOW).is_err());
        }
    }

    #[test]
    fn any_entry_and_requirement_is_refused(entry in "[\\[\\]{}\":,a-zA-Z0-9 ]{0,200}", requirement in "\\PC{0,100}") {
        let head = head(&format!("/?access_token={TOKEN}"), None).expect("a request");
        prop_assert!(require_jwt(&entry, REQUIREMENT, &head, NOW).is_err());
        prop_assert!(require_jwt(&entry, &requirement, &head, NOW).is_err());
    }
}
