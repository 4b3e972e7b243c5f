//! Tokens that others made.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{
    super::{InvalidToken, algorithm::Algorithm, key_set::KeySet, token::Token},
    cryptography,
};

fn key(jwk: &Value) -> KeySet {
    let set = json!({ "keys": [jwk] }).to_string();
    KeySet::parse(set.as_bytes(), &cryptography()).expect("a key")
}

fn verify(keys: &KeySet, algorithm: Algorithm, token: &str) -> Result<(), InvalidToken> {
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("Base64url");
    keys.verify(algorithm, None, signed.as_bytes(), &signature)
}

/// RFC 7515 appendix A.2 and A.3; RFC 7515 A.4 and RFC 8037 A.4, which sign texts that are no claims.
#[test]
fn the_examples_of_the_rfcs_verify() {
    let claims = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let cases = [
        (
            Algorithm::Rs256,
            json!({ "kty": "RSA", "e": "AQAB",
                "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ" }),
            format!("eyJhbGciOiJSUzI1NiJ9.{claims}.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"),
        ),
        (
            Algorithm::Es256,
            json!({ "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" }),
            format!("eyJhbGciOiJFUzI1NiJ9.{claims}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"),
        ),
        (
            Algorithm::Es512,
            json!({ "kty": "EC", "crv": "P-521",
                "x": "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
                "y": "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2" }),
            "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn".to_owned(),
        ),
        (
            Algorithm::EdDsa,
            json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }),
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg".to_owned(),
        ),
    ];
    for (algorithm, jwk, token) in &cases {
        let keys = key(jwk);
        assert_eq!(verify(&keys, *algorithm, token), Ok(()), "{algorithm:?}");
        let other = token.replacen("eyJ", "eyK", 1);
        assert_eq!(
            verify(&keys, *algorithm, &other),
            Err(InvalidToken::Signature),
            "{algorithm:?}"
        );
    }
}

/// RFC 7519 section 6.1.
#[test]
fn the_unsecured_example_is_refused() {
    let token = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.";
    let refused = Token::parse(token.as_bytes()).err();
    assert_eq!(refused, Some(InvalidToken::Unsigned));
}

/// Made with another implementation of everything: see the file.
#[test]
fn tokens_of_openssl_verify_with_every_algorithm() {
    let file: Value = serde_json::from_str(include_str!("openssl.json")).expect("JSON");
    let keys = KeySet::parse(file["jwks"].to_string().as_bytes(), &cryptography()).expect("keys");
    assert_eq!((keys.len(), keys.unusable().count()), (5, 0));
    let tokens = file["tokens"].as_array().expect("tokens");
    let mut seen = Vec::new();
    for token in tokens {
        let text = token["token"].as_str().expect("a token");
        let token = Token::parse(text.as_bytes()).expect("well formed");
        let key_id = token.key_id.as_deref();
        let verified = keys.verify(
            token.algorithm,
            key_id,
            token.signed.as_bytes(),
            &token.signature,
        );
        assert_eq!(verified, Ok(()), "{text}");
        assert_eq!(token.claims.issuer(), Some("joe"));
        seen.push(token.algorithm);
    }
    assert_eq!(seen.len(), Algorithm::ALL.len());
    for algorithm in Algorithm::ALL {
        assert!(seen.contains(&algorithm), "{algorithm:?}");
    }
}
