use super::{head, matches};

fn path(kind: &str, pattern: &str, target: &str) -> bool {
    let pattern = serde_json::to_string(pattern).expect("json");
    matches(
        &format!(r#"{{"{kind}":{pattern}}}"#),
        &head("GET", target, &[]),
    )
}

#[test]
fn an_exact_path_is_all_of_it() {
    assert!(path("PathExact", "/a", "/a"));
    for other in ["/a/", "/", "/A", "/ab", "//a", "/%61"] {
        assert!(!path("PathExact", "/a", other), "{other}");
    }
}

#[test]
fn a_prefix_is_of_bytes_not_of_segments() {
    for under in ["/admin", "/admin/", "/administrator", "/admin/x"] {
        assert!(path("PathPrefix", "/admin", under), "{under}");
    }
    for other in ["/", "/admi", "/x/admin", "/Admin", "//admin"] {
        assert!(!path("PathPrefix", "/admin", other), "{other}");
    }
}

#[test]
fn an_expression_matches_all_of_the_path() {
    for all in ["/v1/", "/v23/x/y"] {
        assert!(path("PathRegex", "/v[0-9]+/.*", all), "{all}");
    }
    for other in ["/v1", "/v/x", "/x/v1/x"] {
        assert!(!path("PathRegex", "/v[0-9]+/.*", other), "{other}");
    }
    assert!(!path("PathRegex", "/a|/b", "/ab"));
    assert!(path("PathRegex", "/a|/ab", "/ab"));
}

#[test]
fn the_query_is_no_part_of_the_path() {
    assert!(path("PathExact", "/a", "/a?b=/c"));
    assert!(path("PathRegex", "/a", "/a?"));
    assert!(!path("PathPrefix", "/a?b", "/a?b"));
    assert!(!path("PathRegex", "/a.+", "/a?b"));
    assert!(path("PathExact", "/a", "https://example.com/a?b"));
    assert!(path("PathExact", "/", "https://example.com"));
}

#[test]
fn a_request_without_a_path_matches_no_path() {
    let connect = head("CONNECT", "example.com:443", &[]);
    for http in [r#"{"PathPrefix":"/"}"#, r#"{"PathRegex":".*"}"#] {
        assert!(!matches(http, &connect), "{http}");
    }
    assert!(matches(r#"{"Methods":["CONNECT"]}"#, &connect));

    let options = head("OPTIONS", "*", &[]);
    assert!(!matches(r#"{"PathPrefix":"/"}"#, &options));
    assert!(matches(r#"{"PathRegex":"\\*"}"#, &options));
}
