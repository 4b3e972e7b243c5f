use consul_connect::{EscapedSlashes, RequestNormalization, UnderscoreHeaders};
use http::{HeaderName, Method, request::Parts};
use tower_mesh::test_util::{Normalized, normalize};

use super::request::head;

/// What the mesh does to paths, in the bits of the first byte, and the head of a request.
///
/// # Panics
/// When a request that goes on could have been written in another way, or changes once more the next time.
pub fn path(data: &[u8]) {
    let Some((&bits, data)) = data.split_first() else {
        return;
    };
    let rules = rules(bits);
    let (mut seen, _) = head(data);
    let query = seen.uri.query().map(str::to_owned);
    match normalize(rules, &mut seen) {
        Normalized::Fit => {
            assert_eq!(
                seen.uri.query().map(str::to_owned),
                query,
                "the query is not a path"
            );
            is_in_one_spelling(rules, &seen);
            let once = seen.uri.clone();
            assert_eq!(normalize(rules, &mut seen), Normalized::Fit, "{once}");
            assert_eq!(seen.uri, once, "it changes once more");
        }
        Normalized::Elsewhere(location) => {
            assert!(rules.escaped_slashes == EscapedSlashes::UnescapeAndRedirect);
            assert!(location.starts_with('/'), "{location}");
        }
        Normalized::Malformed(reason) => assert!(!reason.is_empty()),
        other => panic!("neither on nor back: {other:?}"),
    }
}

fn rules(bits: u8) -> RequestNormalization {
    let mut rules = RequestNormalization::default();
    rules.insecure_disable_path_normalization = bits & 1 != 0;
    rules.merge_slashes = bits & 2 != 0;
    rules.escaped_slashes = match bits >> 2 & 3 {
        0 => EscapedSlashes::KeepUnchanged,
        1 => EscapedSlashes::Reject,
        2 => EscapedSlashes::UnescapeAndRedirect,
        _ => EscapedSlashes::UnescapeAndForward,
    };
    rules.underscore_headers = match bits >> 4 & 3 {
        0 | 1 => UnderscoreHeaders::Allow,
        2 => UnderscoreHeaders::Reject,
        _ => UnderscoreHeaders::Drop,
    };
    rules
}

fn is_in_one_spelling(rules: RequestNormalization, head: &Parts) {
    if rules.underscore_headers != UnderscoreHeaders::Allow {
        let mut names = head.headers.keys().map(HeaderName::as_str);
        let spelled = names.all(|name| !name.contains('_'));
        assert!(spelled, "{:?}", head.headers);
    }
    let path = head.uri.path();
    match head.method {
        Method::OPTIONS if path == "*" => return,
        _ => assert!(path.starts_with('/'), "{path}"),
    }
    if rules.merge_slashes {
        // A path of nothing but slashes keeps two, as in Envoy.
        assert!(path == "//" || !path.contains("//"), "{path}");
    }
    let escapes = escapes(path);
    if rules.escaped_slashes != EscapedSlashes::KeepUnchanged {
        assert!(!escapes.iter().any(|byte| b"/\\".contains(byte)), "{path}");
    }
    if !rules.insecure_disable_path_normalization {
        assert!(!path.contains('\\'), "{path}");
        assert!(
            !path.split('/').any(|segment| matches!(segment, "." | "..")),
            "{path}"
        );
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        assert!(!escapes.iter().any(plain), "{path}");
    }
}

/// The bytes that are escaped in a path.
fn escapes(path: &str) -> Vec<u8> {
    path.split('%')
        .skip(1)
        .filter_map(|rest| u8::from_str_radix(rest.get(..2)?, 16).ok())
        .collect()
}
