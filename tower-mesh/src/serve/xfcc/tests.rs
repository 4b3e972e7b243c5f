use proptest::prelude::*;

use super::*;

const WEB: &str = "spiffe://22222222.consul/ns/default/dc/dc1/svc/web";

fn uris(header: &str) -> Vec<Option<String>> {
    let elements = parse(header).unwrap_or_else(|problem| panic!("{header}: {problem}"));
    let uri = |element: &Element<'_>| element.only("URI").expect(header).map(str::to_owned);
    elements.iter().map(uri).collect()
}

#[test]
fn reads_what_envoy_writes() {
    let header = format!(
        "By=spiffe://11111111.consul/gateway/mesh/dc/dc1;Hash=0a1b;Cert=\"-----BEGIN%20CERTIFICATE-----%0A\";\
         Chain=\"-----BEGIN%20CERTIFICATE-----%0A\";Subject=\"\";URI={WEB}"
    );
    assert_eq!(uris(&header), [Some(WEB.to_owned())]);
    let elements = parse(&header).expect("it is well-formed");
    assert_eq!(
        elements[0].only("by"),
        Ok(Some("spiffe://11111111.consul/gateway/mesh/dc/dc1"))
    );
    assert_eq!(elements[0].only("Subject"), Ok(Some("")));
    assert_eq!(elements[0].only("DNS"), Ok(None));
}

#[test]
fn the_first_element_is_the_proxy_that_is_farthest_away() {
    let header = format!("Hash=1;URI={WEB},By=x;Hash=2;URI=spiffe://other");
    assert_eq!(
        uris(&header),
        [Some(WEB.to_owned()), Some("spiffe://other".to_owned())]
    );
}

#[test]
fn a_separator_inside_quotes_separates_nothing() {
    let header = format!(r#"Subject="CN=a\",URI=spiffe://evil;b";URI={WEB}"#);
    assert_eq!(uris(&header), [Some(WEB.to_owned())]);
    let elements = parse(&header).expect("it is well-formed");
    assert_eq!(
        elements[0].only("Subject"),
        Ok(Some(r#"CN=a",URI=spiffe://evil;b"#))
    );
}

#[test]
fn a_key_that_is_there_twice_says_nothing() {
    let twice = format!("URI=spiffe://evil;uri={WEB}");
    let elements = parse(&twice).expect("it is well-formed");
    assert_eq!(elements[0].only("URI"), Err(Malformed::Twice("URI")));
}

#[test]
fn what_is_not_of_the_form_is_refused_whole() {
    for (header, problem) in [
        ("", Malformed::Key),
        (",", Malformed::Key),
        ("URI", Malformed::Key),
        ("=x", Malformed::Key),
        (";URI=x", Malformed::Key),
        ("URI=x;", Malformed::Key),
        ("URI=x,", Malformed::Key),
        ("URI=x, By=y", Malformed::Key),
        ("U RI=x", Malformed::Key),
        (r#"URI="x"#, Malformed::Quotes),
        (r#"URI="x\""#, Malformed::Quotes),
        (r#"URI="x"y"#, Malformed::Quotes),
        (r#"Subject="a\\"\;URI\=evil";URI=x"#, Malformed::Quotes),
        (r#"URI=x"y""#, Malformed::StrayQuote),
        (r#"URI=good,URI=x"y""#, Malformed::StrayQuote),
    ] {
        assert_eq!(parse(header), Err(problem), "{header}");
    }
}

fn written(pairs: &[(String, String)]) -> String {
    let pair = |(key, value): &(String, String)| {
        if value.contains([',', ';', '=', '"', '\\']) {
            let value = value.replace('\\', r"\\").replace('"', "\\\"");
            format!("{key}=\"{value}\"")
        } else {
            format!("{key}={value}")
        }
    };
    pairs.iter().map(pair).collect::<Vec<_>>().join(";")
}

proptest! {
    #[test]
    fn never_panics_and_never_invents(header in r#"(?:[A-Za-z]{0,3}|=|;|,|"|\\|é| |URI=spiffe://a/b){0,24}"#) {
        if let Ok(elements) = parse(&header) {
            prop_assert!(!elements.is_empty());
            for (key, value) in elements.iter().flat_map(Element::pairs) {
                prop_assert!(header.contains(key));
                // Only escapes are ever taken out of a value.
                prop_assert!(header.contains(value) || header.contains('\\'));
            }
        }
    }

    #[test]
    fn what_is_written_is_read_again(
        elements in prop::collection::vec(
            prop::collection::vec(("[A-Za-z0-9]{1,6}", r#"[a-z:/%=;,"\\ ]{0,12}"#), 1..6),
            1..4,
        ),
    ) {
        let header = elements.iter().map(|pairs| written(pairs)).collect::<Vec<_>>().join(",");
        let read = parse(&header).expect("it was written well");
        let read: Vec<Vec<(String, String)>> = read
            .iter()
            .map(|element| element.pairs().map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
            .collect();
        prop_assert_eq!(read, elements);
    }
}
