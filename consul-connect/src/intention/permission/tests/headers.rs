use http::{Version, request::Parts};

use super::{head, matches};

fn header(rule: &str, headers: &[(&str, &str)]) -> bool {
    on(rule, &head("GET", "/", headers))
}

fn on(rule: &str, head: &Parts) -> bool {
    matches(&format!(r#"{{"Header":[{rule}]}}"#), head)
}

#[test]
fn values_are_compared_as_the_matcher_says() {
    for (matcher, hits, misses) in [
        (
            r#""Exact":"abc""#,
            &["abc"][..],
            &["ABC", "ab", "abcd", "xabc", ""][..],
        ),
        (
            r#""Prefix":"abc""#,
            &["abc", "abcd"],
            &["xabc", "ab", "ABC", ""],
        ),
        (
            r#""Suffix":"abc""#,
            &["abc", "xabc"],
            &["abcx", "bc", "ABC", ""],
        ),
        (
            r#""Contains":"abc""#,
            &["abc", "xabcx", "ababc"],
            &["ab", "axbc", "ABC", ""],
        ),
        (
            r#""Regex":"a.*c""#,
            &["abc", "ac"],
            &["xac", "acx", "AC", ""],
        ),
        (r#""Present":true"#, &["abc", ""], &[]),
        (
            r#""Exact":"aBc","IgnoreCase":true"#,
            &["abc", "AbC"],
            &["ab", "abd"],
        ),
        (
            r#""Prefix":"aBc","IgnoreCase":true"#,
            &["abcd", "ABCD"],
            &["ab", "xabc"],
        ),
        (
            r#""Suffix":"aBc","IgnoreCase":true"#,
            &["xABC", "abc"],
            &["bc", "abcx"],
        ),
        (
            r#""Contains":"aBc","IgnoreCase":true"#,
            &["xABCx"],
            &["ab", "ACB"],
        ),
        (r#""Exact":"ä","IgnoreCase":true"#, &["ä"], &["Ä"]),
    ] {
        for value in hits {
            assert!(
                header(&format!(r#"{{"Name":"x-a",{matcher}}}"#), &[("x-a", value)]),
                "{matcher} {value}"
            );
            let inverted = format!(r#"{{"Name":"x-a",{matcher},"Invert":true}}"#);
            assert!(!header(&inverted, &[("x-a", value)]), "{inverted} {value}");
        }
        for value in misses {
            assert!(
                !header(&format!(r#"{{"Name":"x-a",{matcher}}}"#), &[("x-a", value)]),
                "{matcher} {value}"
            );
            let inverted = format!(r#"{{"Name":"x-a",{matcher},"Invert":true}}"#);
            assert!(header(&inverted, &[("x-a", value)]), "{inverted} {value}");
        }
    }
}

#[test]
fn a_missing_header_has_no_value_that_could_be_another() {
    for matcher in [
        r#""Exact":"a""#,
        r#""Contains":"a""#,
        r#""Regex":".*""#,
        r#""Present":true"#,
    ] {
        assert!(
            !header(&format!(r#"{{"Name":"x-a",{matcher}}}"#), &[("x-b", "a")]),
            "{matcher}"
        );
    }
    for matcher in [
        r#""Exact":"a""#,
        r#""Prefix":"a""#,
        r#""Suffix":"a""#,
        r#""Regex":".*""#,
    ] {
        assert!(
            !header(&format!(r#"{{"Name":"x-a",{matcher},"Invert":true}}"#), &[]),
            "{matcher}"
        );
    }
    assert!(header(
        r#"{"Name":"x-a","Present":true,"Invert":true}"#,
        &[]
    ));
}

#[test]
fn one_line_of_a_repeated_header_is_enough() {
    let lines = [("x-a", "1"), ("x-a", "2")];
    assert!(header(r#"{"Name":"x-a","Exact":"1"}"#, &lines));
    assert!(header(r#"{"Name":"x-a","Exact":"2"}"#, &lines));
    assert!(!header(r#"{"Name":"x-a","Exact":"1,2"}"#, &lines));
    assert!(!header(
        r#"{"Name":"x-a","Exact":"2","Invert":true}"#,
        &lines
    ));
    assert!(header(
        r#"{"Name":"x-a","Exact":"3","Invert":true}"#,
        &lines
    ));
    // What a sender joined stays one value.
    assert!(!header(r#"{"Name":"x-a","Exact":"1"}"#, &[("x-a", "1,2")]));
}

#[test]
fn some_repeated_headers_are_one_line() {
    for name in [
        "user-agent",
        "content-type",
        "authorization",
        "accept",
        "x-forwarded-for",
        "x-request-id",
    ] {
        let lines = [(name, "a"), (name, ""), (name, "b")];
        assert!(
            header(&format!(r#"{{"Name":"{name}","Exact":"a,b"}}"#), &lines),
            "{name}"
        );
        assert!(
            !header(&format!(r#"{{"Name":"{name}","Exact":"a"}}"#), &lines),
            "{name}"
        );
        assert!(
            header(
                &format!(r#"{{"Name":"{name}","Exact":"a","Invert":true}}"#),
                &lines
            ),
            "{name}"
        );
        assert!(
            header(
                &format!(r#"{{"Name":"{name}","Exact":"a"}}"#),
                &[(name, ""), (name, "a")]
            ),
            "{name}"
        );
    }
}

#[test]
fn a_cookie_that_http_2_split_is_whole_again() {
    let mut split = head("GET", "/", &[("cookie", "a=1"), ("cookie", "b=2")]);
    let whole = r#"{"Name":"cookie","Exact":"a=1; b=2"}"#;
    let part = r#"{"Name":"cookie","Exact":"a=1"}"#;
    assert!(!on(whole, &split) && on(part, &split));
    split.version = Version::HTTP_2;
    assert!(on(whole, &split) && !on(part, &split));
}

#[test]
fn an_empty_cookie_of_http_2_is_none() {
    let mut empty = head("GET", "/", &[("cookie", ""), ("cookie", "")]);
    let present = r#"{"Name":"cookie","Present":true}"#;
    let absent = r#"{"Name":"cookie","Present":true,"Invert":true}"#;
    assert!(on(present, &empty) && !on(absent, &empty));
    empty.version = Version::HTTP_2;
    assert!(!on(present, &empty) && on(absent, &empty));

    let mut odd = head(
        "GET",
        "/",
        &[("cookie", "a"), ("cookie", ""), ("cookie", "b")],
    );
    odd.version = Version::HTTP_2;
    assert!(on(r#"{"Name":"cookie","Exact":"a; ; b"}"#, &odd));
}

#[test]
fn host_is_another_word_for_the_authority() {
    for name in ["host", "Host", ":authority"] {
        let rule = format!(r#"{{"Name":"{name}","Exact":"a.example"}}"#);
        assert!(header(&rule, &[("host", "a.example")]), "{name}");
        assert!(!header(&rule, &[("host", "A.example")]), "{name}");
        assert!(!header(&rule, &[("host", "a.example:443")]), "{name}");
        assert!(on(&rule, &head("GET", "https://a.example/", &[])), "{name}");
        // The request line outranks the header.
        assert!(
            on(
                &rule,
                &head("GET", "http://a.example/", &[("host", "b.example")])
            ),
            "{name}"
        );
        assert!(
            !on(
                &rule,
                &head("GET", "http://b.example/", &[("host", "a.example")])
            ),
            "{name}"
        );
        assert!(!header(&rule, &[]), "{name}");
        assert!(
            !header(&rule, &[("host", "a.example"), ("host", "b")]),
            "{name}"
        );
    }
}

#[test]
fn what_is_no_header_can_be_asked_about_like_one() {
    assert!(on(
        r#"{"Name":":method","Exact":"PUT"}"#,
        &head("PUT", "/", &[])
    ));
    assert!(on(
        r#"{"Name":":path","Exact":"/a?b"}"#,
        &head("PUT", "/a?b", &[])
    ));
    assert!(!on(
        r#"{"Name":":path","Exact":"/a"}"#,
        &head("PUT", "/a?b", &[])
    ));
    assert!(!on(
        r#"{"Name":":path","Present":true}"#,
        &head("CONNECT", "a:1", &[])
    ));
    assert!(on(
        r#"{"Name":":scheme","Exact":"https"}"#,
        &head("GET", "/", &[])
    ));
    assert!(on(
        r#"{"Name":":scheme","Exact":"http"}"#,
        &head("GET", "http://a/", &[])
    ));
    assert!(on(
        r#"{"Name":":scheme","Exact":"http"}"#,
        &head("GET", "/", &[("x-forwarded-proto", "http")])
    ));
    assert!(on(
        r#"{"Name":":scheme","Exact":"https"}"#,
        &head("GET", "/", &[("x-forwarded-proto", "ws")])
    ));
}

#[test]
fn headers_that_a_proxy_sets_are_there() {
    assert!(header(
        r#"{"Name":"x-forwarded-proto","Exact":"https"}"#,
        &[]
    ));
    assert!(header(
        r#"{"Name":"x-forwarded-proto","Exact":"http"}"#,
        &[("x-forwarded-proto", "http")]
    ));
    assert!(header(r#"{"Name":"x-request-id","Present":true}"#, &[]));
    assert!(!header(r#"{"Name":"x-request-id","Exact":"1"}"#, &[]));
    assert!(header(
        r#"{"Name":"x-request-id","Exact":"1"}"#,
        &[("x-request-id", "1")]
    ));
}

#[test]
fn headers_that_a_proxy_takes_away_are_not_there() {
    for name in [
        "keep-alive",
        "transfer-encoding",
        "x-envoy-internal",
        "x-envoy-retry-on",
    ] {
        let given = [(name, "a")];
        assert!(
            !header(&format!(r#"{{"Name":"{name}","Present":true}}"#), &given),
            "{name}"
        );
        assert!(
            !header(&format!(r#"{{"Name":"{name}","Exact":"a"}}"#), &given),
            "{name}"
        );
    }
    let rule = r#"{"Name":"upgrade","Exact":"websocket"}"#;
    assert!(!header(rule, &[("upgrade", "websocket")]));
    assert!(!header(
        rule,
        &[("upgrade", "websocket"), ("connection", "keep-alive")]
    ));
    assert!(header(
        rule,
        &[
            ("upgrade", "websocket"),
            ("connection", "keep-alive, Upgrade")
        ]
    ));
}

#[test]
fn a_value_need_not_be_text() {
    let mut odd = head("GET", "/", &[]);
    odd.headers.insert(
        "x-a",
        http::HeaderValue::from_bytes(b"\xffabc").expect("a header value"),
    );
    assert!(on(r#"{"Name":"x-a","Contains":"abc"}"#, &odd));
    assert!(on(
        r#"{"Name":"x-a","Suffix":"ABC","IgnoreCase":true}"#,
        &odd
    ));
    assert!(!on(r#"{"Name":"x-a","Regex":".*abc"}"#, &odd));
    assert!(on(r#"{"Name":"x-a","Regex":"\\Cabc"}"#, &odd));
}
