//! What becomes of a request's tokens.

use serde_json::{Value, json};

use super::*;

/// A request after the edits that its tokens call for.
fn edited(entries: &[Value], head: Parts) -> (Parts, Tokens) {
    let tokens = providers(entries).authenticate(&head, now());
    let mut head = head;
    tokens.edits().apply(&mut head);
    (head, tokens)
}

fn headers(head: &Parts, name: &str) -> Vec<String> {
    let values = head.headers.get_all(name).iter();
    values
        .map(|value| value.to_str().expect("text").to_owned())
        .collect()
}

#[test]
fn a_verified_token_is_taken_out_of_header_and_query() {
    let signer = Signer::es256();
    let entries = [entry("okta", std::slice::from_ref(&signer.jwk))];
    let token = signer.token(&claims());
    let cases = [
        (format!("/p?access_token={token}"), "/p"),
        (format!("/p?x=1&access_token={token}&y=%2f"), "/p?x=1&y=%2f"),
        (format!("/p?access%5Ftoken={token}&&a"), "/p?&a"),
        (format!("http://web/p?access_token={token}"), "http://web/p"),
    ];
    for (uri, expected) in cases {
        let (head, tokens) = edited(&entries, request(&uri, &[]));
        assert_eq!(refused(&tokens, "okta"), None);
        assert_eq!(head.uri.to_string(), expected);
    }
    let authorization = format!("Bearer {token}");
    let both = format!("/p?access_token={token}");
    let head = request(
        &both,
        &[("authorization", &authorization), ("x-other", "stays")],
    );
    let (head, tokens) = edited(&entries, head);
    assert_eq!(refused(&tokens, "okta"), None);
    assert_eq!(head.uri, "/p");
    assert_eq!(headers(&head, "authorization"), [""; 0]);
    assert_eq!(headers(&head, "x-other"), ["stays"]);
}

#[test]
fn a_token_that_is_forwarded_or_in_a_cookie_or_refused_stays() {
    let signer = Signer::es256();
    let entries = [with(
        entry("okta", std::slice::from_ref(&signer.jwk)),
        "Locations",
        json!([
            { "Header": { "Name": "X-Token", "Forward": true } },
            { "Cookie": { "Name": "session" } },
            { "QueryParam": { "Name": "t" } },
        ]),
    )];
    let good = signer.token(&claims());
    let (head, tokens) = edited(&entries, request("/", &[("x-token", &good)]));
    assert_eq!(refused(&tokens, "okta"), None);
    assert_eq!(headers(&head, "x-token"), [good.as_str()]);

    // Consul means the provider by it, not the header.
    let (head, tokens) = edited(&entries, request(&format!("/?t={good}"), &[]));
    assert_eq!(refused(&tokens, "okta"), None);
    assert_eq!(head.uri.query(), Some(format!("t={good}").as_str()));

    let in_cookie = json!([{ "Cookie": { "Name": "session" } }]);
    let base = entry("okta", std::slice::from_ref(&signer.jwk));
    let cookie = format!("a=1; session={good}");
    let head = request("/", &[("cookie", &cookie)]);
    let (head, tokens) = edited(&[with(base, "Locations", in_cookie)], head);
    assert_eq!(refused(&tokens, "okta"), None);
    assert_eq!(headers(&head, "cookie"), [cookie]);

    let entries = [entry("okta", std::slice::from_ref(&signer.jwk))];
    let bad = signer.token(&claims_with(&json!({ "iss": "else" })));
    let (head, tokens) = edited(&entries, request(&format!("/?access_token={bad}"), &[]));
    assert!(refused(&tokens, "okta").is_some());
    assert_eq!(
        head.uri.query(),
        Some(format!("access_token={bad}").as_str())
    );
}

#[test]
fn of_several_headers_the_last_says_whether_the_token_stays() {
    let signer = Signer::es256();
    let good = signer.token(&claims());
    for (first, last) in [(true, false), (false, true)] {
        let entries = [with(
            entry("okta", std::slice::from_ref(&signer.jwk)),
            "Locations",
            json!([
                { "Header": { "Name": "X-First", "Forward": first } },
                { "Header": { "Name": "X-Last", "Forward": last } },
                { "QueryParam": { "Name": "t" } },
            ]),
        )];
        for name in ["x-first", "x-last"] {
            let (head, tokens) = edited(&entries, request("/", &[(name, &good)]));
            assert_eq!(refused(&tokens, "okta"), None);
            assert_eq!(head.headers.contains_key(name), last, "{name}");
        }
    }
}

#[test]
fn claims_are_forwarded_in_their_header_and_nobody_else_can_write_it() {
    let signer = Signer::es256();
    let token = signer.token(&claims_with(&json!({ "sub": "x" })));
    let payload = token.split('.').nth(1).expect("claims").to_owned();
    let mut padded = payload.clone();
    while !padded.len().is_multiple_of(4) {
        padded.push('=');
    }
    for (pad, expected) in [(false, &payload), (true, &padded)] {
        let forwarding = json!({ "HeaderName": "X-Claims", "PadForwardPayloadHeader": pad });
        let base = entry("okta", std::slice::from_ref(&signer.jwk));
        let entries = [with(base, "Forwarding", forwarding)];
        let authorization = format!("Bearer {token}");
        let forged = [("x-claims", "forged"), ("X-CLAIMS", "too")];

        let head = request(
            "/",
            &[forged[0], forged[1], ("authorization", &authorization)],
        );
        let (head, _) = edited(&entries, head);
        assert_eq!(headers(&head, "x-claims"), [expected.as_str()]);

        for headers_in in [&forged[..], &[forged[0], ("authorization", "Bearer bad")]] {
            let (head, tokens) = edited(&entries, request("/", headers_in));
            assert!(refused(&tokens, "okta").is_some());
            assert_eq!(headers(&head, "x-claims"), [""; 0], "{headers_in:?}");
        }
    }
}

#[test]
fn a_header_that_only_we_may_write_is_no_place_for_a_token() {
    let signer = Signer::es256();
    let base = entry("okta", std::slice::from_ref(&signer.jwk));
    let entries = [
        with(
            base.clone(),
            "Locations",
            json!([{ "Header": { "Name": "x-claims" } }]),
        ),
        with(
            with(base, "Name", json!("other")),
            "Forwarding",
            json!({ "HeaderName": "x-claims" }),
        ),
    ];
    let token = signer.token(&claims());
    let (head, tokens) = edited(&entries, request("/", &[("x-claims", &token)]));
    let missing = Some("there is no token in the request".to_owned());
    assert_eq!(refused(&tokens, "okta"), missing);
    assert_eq!(headers(&head, "x-claims"), [""; 0]);
}

#[test]
fn a_good_token_beside_one_that_nobody_verified_is_refused() {
    let signer = Signer::es256();
    let entries = [entry("okta", std::slice::from_ref(&signer.jwk))];
    let good = signer.token(&claims());
    let bad = signer.token(&claims_with(&json!({ "exp": NOW - 100 })));
    let in_header = |token: &str| format!("Bearer {token}");
    let twice = |first: &str, second: &str| format!("/?access_token={first}&access_token={second}");
    let several = "one of several tokens was refused: it has been expired for 100 s";
    let cases = [
        (
            format!("/?access_token={good}"),
            Some(in_header(&good)),
            None,
        ),
        (
            format!("/?access_token={bad}"),
            Some(in_header(&good)),
            Some(several),
        ),
        (
            format!("/?access_token={good}"),
            Some(in_header(&bad)),
            Some(several),
        ),
        (twice(&good, &good), None, None),
        (twice(&good, &bad), None, Some(several)),
        (twice(&bad, &good), None, Some(several)),
    ];
    for (uri, header, expected) in &cases {
        let header: Vec<(&str, &str)> = header
            .iter()
            .map(|value| ("authorization", value.as_str()))
            .collect();
        let (_, tokens) = edited(&entries, request(uri, &header));
        assert_eq!(refused(&tokens, "okta").as_deref(), *expected, "{uri}");
    }
    let many = ["access_token=x"; 5].join("&");
    let (_, tokens) = edited(&entries, request(&format!("/?{many}"), &[]));
    let text = refused(&tokens, "okta").expect("too many");
    assert_eq!(text, "there are more than 4 tokens in the request");
}

#[test]
fn tokens_of_two_providers_need_places_of_their_own() {
    let (ours, theirs) = (Signer::es256(), Signer::new(Algorithm::EdDsa, "2"));
    let other = with(
        entry("other", std::slice::from_ref(&theirs.jwk)),
        "Issuer",
        json!("https://other"),
    );
    let apart = with(
        other.clone(),
        "Locations",
        json!([{ "Header": { "Name": "x-other" } }]),
    );
    let okta = entry("okta", std::slice::from_ref(&ours.jwk));
    let first = ours.token(&claims());
    let second = theirs.token(&claims_with(&json!({ "iss": "https://other" })));
    let authorization = format!("Bearer {first}");
    let head = request(
        "/p",
        &[("authorization", &authorization), ("x-other", &second)],
    );
    let (head, tokens) = edited(&[okta.clone(), apart], head);
    assert_eq!(refused(&tokens, "okta"), None);
    assert_eq!(refused(&tokens, "other"), None);
    assert!(head.headers.is_empty());

    // In the same places one token is one of its provider, and two are a good and a bad one of either.
    let same = [okta, other];
    let (_, tokens) = edited(&same, bearer(&first));
    assert_eq!(refused(&tokens, "okta"), None);
    let why = refused(&tokens, "other").expect("none of its own");
    assert_eq!(
        why,
        "the token was refused: its issuer is not the provider's"
    );
    let uri = format!("/p?access_token={second}");
    let (_, tokens) = edited(&same, request(&uri, &[("authorization", &authorization)]));
    for name in ["okta", "other"] {
        let why = refused(&tokens, name).expect("one of several");
        assert_eq!(
            why,
            "one of several tokens was refused: its issuer is not the provider's"
        );
    }
}

#[test]
fn without_keys_or_provider_a_token_is_refused_and_its_absence_is_absence() {
    let signer = Signer::es256();
    let (provider, _) = compiled(&entry("okta", std::slice::from_ref(&signer.jwk)));
    let fetched = Known::Ready(
        Arc::new(provider),
        Err("its keys have not been fetched yet".into()),
    );
    let fault = Known::Fault("it has no issuer".into());
    let all = of([("okta".into(), fetched), ("broken".into(), fault)]);
    let with_token = all.authenticate(&bearer(&signer.token(&claims())), now());
    let without = all.authenticate(&request("/", &[]), now());
    let text = |tokens, provider| refused(tokens, provider).expect("refused");
    assert_eq!(
        text(&with_token, "okta"),
        "no token is accepted: its keys have not been fetched yet"
    );
    assert_eq!(text(&without, "okta"), "there is no token in the request");
    for tokens in [&with_token, &without] {
        assert_eq!(
            text(tokens, "broken"),
            "no token is accepted: it has no issuer"
        );
    }
    assert!(without.edits().is_empty());
}

#[test]
fn without_providers_nothing_is_done() {
    let tokens = Providers::default().authenticate(&bearer("x"), now());
    assert_eq!(
        refused(&tokens, "okta").as_deref(),
        Some("nothing is known yet")
    );
    assert!(tokens.edits().is_empty());
    let mut head = request("/?access_token=x", &[("authorization", "Bearer x")]);
    tokens.edits().apply(&mut head);
    assert_eq!(head.uri, "/?access_token=x");
    assert_eq!(headers(&head, "authorization"), ["Bearer x"]);
}

#[test]
fn what_could_be_taken_for_a_token_beside_a_good_one_is_refused() {
    let signer = Signer::es256();
    let entries = [entry("okta", std::slice::from_ref(&signer.jwk))];
    let good = signer.token(&claims());
    let exact = format!("Bearer {good}");
    let in_query = format!("/?access_token={good}");
    for (uri, lines) in [
        ("/", vec!["bearer evil", &exact]),
        ("/", vec!["evil Bearer x", &exact]),
        (&*in_query, vec!["bearer evil"]),
        (&*in_query, vec!["BEARER evil"]),
    ] {
        let lines: Vec<_> = lines.iter().map(|line| ("authorization", *line)).collect();
        let (_, tokens) = edited(&entries, request(uri, &lines));
        let why = refused(&tokens, "okta");
        assert!(why.is_some(), "{uri} {lines:?}");
    }
    for line in ["Basic YTpi", "", "bear"] {
        let head = request(&in_query, &[("authorization", line)]);
        let (_, tokens) = edited(&entries, head);
        assert_eq!(refused(&tokens, "okta"), None, "{line}");
    }
}
