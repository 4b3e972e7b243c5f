use consul_connect::{EscapedSlashes, RequestNormalization, UnderscoreHeaders};
use http::{HeaderMap, Method, Request, Uri, request::Parts};
use proptest::prelude::*;

use super::{
    Unfit, normalize,
    path::{canonical, is_canonical},
};

fn rules(change: impl FnOnce(&mut RequestNormalization)) -> RequestNormalization {
    let mut rules = RequestNormalization::default();
    change(&mut rules);
    rules
}

fn head(method: Method, uri: &str) -> Parts {
    let uri: Uri = uri.parse().expect(uri);
    let request = Request::builder().method(method).uri(uri).body(());
    request.expect("a request").into_parts().0
}

/// What becomes of a GET: its target, `400` with a reason, or `307` with a place.
fn get(rules: RequestNormalization, uri: &str) -> String {
    let mut head = head(Method::GET, uri);
    match normalize(rules, &mut head) {
        Ok(()) => head.uri.to_string(),
        Err(Unfit::Malformed(reason)) => format!("400 {reason}"),
        Err(Unfit::Elsewhere(to)) => format!("307 {}", to.to_str().expect("text")),
    }
}

#[test]
fn every_spelling_of_a_path_becomes_one() {
    for (spelling, path) in [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b/"),
        ("/.", "/"),
        ("/..", "/"),
        ("/../../a", "/a"),
        ("/a/.", "/a/"),
        ("/a/..", "/"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/b/../../c", "/c"),
        ("/a/b/..", "/a/"),
        ("/a//../b", "/a/b"),
        ("//a//b", "//a//b"),
        ("/a/%2e%2E/b", "/b"),
        ("/a/.%2e/b", "/b"),
        ("/a/%2e./b", "/b"),
        ("/a/%2E/b", "/a/b"),
        ("/a\\b", "/a/b"),
        ("/a\\..\\b", "/b"),
        ("/a/..\\b", "/b"),
        ("/\\a", "//a"),
        ("/%61%64min", "/admin"),
        ("/%41%7A%30%2d%5f%7e", "/Az0-_~"),
        // Not dot segments.
        ("/...", "/..."),
        ("/.a", "/.a"),
        ("/..a", "/..a"),
        ("/a..", "/a.."),
        ("/a../b", "/a../b"),
        ("/.;/b", "/.;/b"),
        ("/..%2fb", "/..%2fb"),
        ("/%2e%2e%2fb", "/..%2fb"),
        ("/.well-known/a.b", "/.well-known/a.b"),
        // Escapes that stay, and stay as they are.
        ("/a%2Fb%2fc%5C%5c", "/a%2Fb%2fc%5C%5c"),
        ("/%3b%3B%3f%23%25%20", "/%3b%3B%3f%23%25%20"),
        ("/%252e%252E", "/%252e%252E"),
        ("/%c0%ae%c0%AE", "/%c0%ae%c0%AE"),
        ("/%C3%A4", "/%C3%A4"),
        // A `%` that begins no escape.
        ("/%", "/%"),
        ("/%%", "/%%"),
        ("/%a", "/%a"),
        ("/100%/b", "/100%/b"),
        ("/%zz%2e", "/%zz."),
        ("/%u002e", "/%u002e"),
        // A `%` that would begin one.
        ("/%%34%31", "/%2541"),
        ("/%4%31", "/%2541"),
        ("/%%341", "/%2541"),
        ("/%%%34%31", "/%%2541"),
        ("/%4%3%31", "/%4%2531"),
        ("/%%32F", "/%252F"),
        ("/%%32%2f", "/%2%2f"),
        ("/%%30%30", "/%2500"),
        ("/%%41%42", "/%25AB"),
        ("/a/%2%65%2%65/b", "/a/%252e%252e/b"),
        ("/%/../%41%42C", "/ABC"),
        ("/%4\\%31", "/%4/1"),
        // What must not be in a path.
        ("/\"{}|^", "/%22%7B%7D%7C%5E"),
        ("/a;b=c,d!$&'()*+:@[]", "/a;b=c,d!$&'()*+:@[]"),
    ] {
        assert_eq!(
            get(RequestNormalization::default(), spelling),
            path,
            "{spelling}"
        );
    }
}

#[test]
fn the_query_and_the_authority_stay_as_they_are() {
    let rules = rules(|rules| {
        rules.merge_slashes = true;
        rules.escaped_slashes = EscapedSlashes::UnescapeAndForward;
    });
    for (uri, becomes) in [
        ("/a/../b?x=/../%2e%2f//%41\\", "/b?x=/../%2e%2f//%41\\"),
        ("/a%2f?%2f", "/a/?%2f"),
        ("/a?", "/a?"),
        ("/./?a?b", "/?a?b"),
        ("http://user@api:80/a/../b?c", "http://user@api:80/b?c"),
        ("http://api", "http://api/"),
    ] {
        assert_eq!(get(rules, uri), becomes, "{uri}");
    }
}

#[test]
fn a_path_without_one_spelling_is_refused() {
    for path in ["/a%00b", "/%00", "/a%00/../b"] {
        let refused = get(RequestNormalization::default(), path);
        assert_eq!(refused, "400 the path has a NUL", "{path}");
    }
}

#[test]
fn what_is_not_ascii_is_refused_over_http_1_and_escaped_over_h2() {
    for (target, becomes) in [("/ä", "/%C3%A4"), ("/?ä", "/?ä")] {
        let refused = get(RequestNormalization::default(), target);
        assert_eq!(refused, "400 the path has a byte that is not ASCII");
        let mut head = head(Method::GET, target);
        head.version = http::Version::HTTP_2;
        normalize(RequestNormalization::default(), &mut head).expect("fit");
        assert_eq!(head.uri, *becomes);
    }
}

#[test]
fn paths_that_are_not_to_be_normalised_stay_as_they_are() {
    let off = rules(|rules| rules.insecure_disable_path_normalization = true);
    for path in ["/a/../b", "/%61", "/a\\b", "/%00", "/%%34%31", "//a"] {
        assert_eq!(get(off, path), path);
    }
    let merging = rules(|rules| {
        *rules = off;
        rules.merge_slashes = true;
    });
    assert_eq!(get(merging, "//a//..//"), "/a/../");
    let unescaping = rules(|rules| {
        *rules = off;
        rules.escaped_slashes = EscapedSlashes::UnescapeAndForward;
    });
    assert_eq!(get(unescaping, "/a%2f..%5cb"), "/a/..\\b");
}

#[test]
fn slashes_are_merged_after_all_else() {
    let merging = rules(|rules| rules.merge_slashes = true);
    for (path, becomes) in [
        ("//", "//"),
        ("///", "//"),
        ("//?a//b", "//?a//b"),
        ("//a", "/a"),
        ("/a//b///c//", "/a/b/c/"),
        ("/a//../b", "/a/b"),
        ("/a\\\\b", "/a/b"),
        ("/a/..//b", "/b"),
        ("/a%2f%2fb", "/a%2f%2fb"),
    ] {
        assert_eq!(get(merging, path), becomes, "{path}");
    }
}

#[test]
fn escaped_slashes_are_kept_refused_redirected_or_unescaped() {
    let escaped = |action| rules(|rules| rules.escaped_slashes = action);
    for (path, unescaped) in [
        ("/a%2Fb", "/a/b"),
        ("/a%2fb", "/a/b"),
        ("/a%5Cb", "/a/b"),
        ("/a%5cb", "/a/b"),
        ("/a%2f..%2fb?c=%2f", "/b?c=%2f"),
        ("/public%2f%2e%2e%5cadmin", "/admin"),
    ] {
        assert_eq!(
            get(escaped(EscapedSlashes::UnescapeAndForward), path),
            unescaped
        );
        assert_eq!(
            get(escaped(EscapedSlashes::UnescapeAndRedirect), path),
            format!("307 {unescaped}")
        );
        let refused = get(escaped(EscapedSlashes::Reject), path);
        assert_eq!(refused, "400 the path has an escaped slash");
    }
    for action in [
        EscapedSlashes::Reject,
        EscapedSlashes::UnescapeAndRedirect,
        EscapedSlashes::UnescapeAndForward,
    ] {
        assert_eq!(get(escaped(action), "/a/./b?%2f"), "/a/b?%2f");
        assert_eq!(get(escaped(action), "/%252f"), "/%252f");
        assert!(get(escaped(action), "/%00%2f").starts_with("400"));
    }
}

#[test]
fn a_grpc_caller_is_refused_where_others_are_redirected() {
    let redirecting = rules(|rules| rules.escaped_slashes = EscapedSlashes::UnescapeAndRedirect);
    let mut head = head(Method::POST, "/p.S%2fM");
    let grpc = http::HeaderValue::from_static("application/grpc+proto");
    head.headers.insert(http::header::CONTENT_TYPE, grpc);
    let refused = normalize(redirecting, &mut head);
    assert!(matches!(refused, Err(Unfit::Malformed(_))), "{refused:?}");
}

#[test]
fn only_options_go_without_a_path() {
    let normalized = |method, uri| {
        let mut head = head(method, uri);
        normalize(RequestNormalization::default(), &mut head).map(|()| head.uri.to_string())
    };
    assert_eq!(normalized(Method::OPTIONS, "*").expect("fit"), "*");
    assert_eq!(normalized(Method::CONNECT, "/a/../b").expect("fit"), "/b");
    for (method, uri) in [
        (Method::GET, "db:5432"),
        (Method::GET, "admin"),
        (Method::OPTIONS, "admin"),
        (Method::GET, "*"),
        (Method::CONNECT, "*"),
        (Method::CONNECT, "db:5432"),
        (Method::GET, "http://api?query"),
    ] {
        normalized(method, uri).expect_err(uri);
    }
}

#[test]
fn headers_with_underscores_stay_or_go_or_are_refused() {
    let with = |action, names: &[&'static str]| {
        let mut head = head(Method::GET, "/a/./b");
        for name in names {
            let value = http::HeaderValue::from_static("v");
            head.headers.append(*name, value);
        }
        let rules = rules(|rules| rules.underscore_headers = action);
        normalize(rules, &mut head).map(|()| names_of(&head.headers))
    };
    let mixed = ["x-a", "x_a", "x_a", "_", "x-b_c", "user-agent"];
    assert_eq!(
        with(UnderscoreHeaders::Allow, &mixed).expect("fit"),
        ["_", "user-agent", "x-a", "x-b_c", "x_a"]
    );
    assert_eq!(
        with(UnderscoreHeaders::Drop, &mixed).expect("fit"),
        ["user-agent", "x-a"]
    );
    with(UnderscoreHeaders::Reject, &mixed).expect_err("refused");
    assert_eq!(
        with(UnderscoreHeaders::Reject, &["x-a"]).expect("fit"),
        ["x-a"]
    );
}

fn names_of(headers: &HeaderMap) -> Vec<String> {
    let mut names: Vec<_> = headers.keys().map(ToString::to_string).collect();
    names.sort();
    names
}

/// Paths of what matters here, and of anything.
fn paths() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&str] = &[
        "/", "//", ".", "..", "%2e", "%2E", "%2f", "%5C", "\\", "%", "%25", "%4", "1", "%31",
        "%34", "a", "%61", "e", "2", "%00", "ä", "\"", ";", "x",
    ];
    let piece = prop_oneof![
        8 => prop::sample::select(PIECES).prop_map(|text| text.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    let path = prop::collection::vec(piece, 0..24);
    path.prop_map(|pieces| [b"/", &*pieces.concat()].concat())
}

/// A spelling of `/admin/users`.
fn spellings() -> impl Strategy<Value = Vec<u8>> {
    let escaped = |byte: u8| {
        prop_oneof![
            Just(vec![byte]),
            Just(format!("%{byte:02x}").into_bytes()),
            Just(format!("%{byte:02X}").into_bytes()),
        ]
    };
    let word = move |word: &str| {
        let letters: Vec<_> = word.bytes().map(escaped).collect();
        letters.prop_map(|letters| letters.concat())
    };
    let detour = prop_oneof![
        4 => Just(""),
        1 => Just("./"),
        1 => Just("%2e/"),
        1 => Just("x/../"),
        1 => Just("x/y/.%2E/%2e%2e\\"),
        1 => Just(".\\.\\"),
    ];
    let slash = prop_oneof![Just("/"), Just("\\")];
    let parts = (detour.clone(), word("admin"), slash, detour, word("users"));
    parts.prop_map(|(first, admin, slash, second, users)| {
        let path = [
            first.as_bytes(),
            &admin,
            slash.as_bytes(),
            second.as_bytes(),
            &users,
        ];
        [b"/", &*path.concat()].concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_normalised_path_is_normal(path in paths()) {
        if let Ok(once) = canonical(&path) {
            prop_assert_eq!(canonical(&once), Ok(once.clone()));
            prop_assert!(is_canonical(&once));
        }
    }

    #[test]
    fn a_path_is_left_alone_if_it_is_normal_and_only_then(path in paths()) {
        prop_assert_eq!(is_canonical(&path), canonical(&path).as_ref() == Ok(&path));
    }

    #[test]
    fn a_normalised_path_has_neither_dot_segments_nor_escapes_of_letters(path in paths()) {
        if let Ok(path) = canonical(&path) {
            let text = std::str::from_utf8(&path).expect("ASCII");
            prop_assert!(text.starts_with('/') && !text.contains('\\'));
            for segment in text.split('/') {
                let decoded = segment.replace("%2e", ".").replace("%2E", ".");
                prop_assert!(decoded != "." && decoded != "..", "{}", text);
            }
            let decoded = percent_encoding::percent_decode_str(text).collect::<Vec<_>>();
            prop_assert!(!decoded.contains(&0));
            prop_assert!(!text.contains("%61") && !text.contains("%41"));
        }
    }

    #[test]
    fn a_path_without_dots_and_backslashes_means_what_it_meant(path in paths()) {
        let decode = |path: &[u8]| percent_encoding::percent_decode(path).collect::<Vec<_>>();
        let meant = decode(&path);
        let plain = !path.iter().any(|byte| matches!(byte, b'.' | b'\\'));
        let plain = plain && !path.windows(3).any(|three| three.eq_ignore_ascii_case(b"%2e"));
        if plain && let Ok(path) = canonical(&path) {
            prop_assert_eq!(decode(&path), meant);
        }
    }

    #[test]
    fn no_spelling_of_a_path_is_another_path(path in spellings()) {
        prop_assert_eq!(canonical(&path), Ok(b"/admin/users".to_vec()));
    }

    #[test]
    fn any_settings_leave_what_they_made(
        path in paths(),
        merge_slashes in any::<bool>(),
        unescape in any::<bool>(),
    ) {
        let rules = rules(|rules| {
            rules.merge_slashes = merge_slashes;
            if unescape {
                rules.escaped_slashes = EscapedSlashes::UnescapeAndForward;
            }
        });
        let Ok(path) = String::from_utf8(path) else { return Ok(()) };
        if let Ok(Some(once)) = super::path::normalize(rules, &path) {
            let once = String::from_utf8(once.path).expect("ASCII");
            prop_assert_eq!(super::path::normalize(rules, &once), Ok(None), "{}", once);
        }
    }
}
