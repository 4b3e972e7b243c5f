//! Where tokens are looked for.

use serde_json::{Value, json};

use super::{
    super::location::{InvalidLocation, Place},
    *,
};

fn place(wire: &Value) -> Result<Place, InvalidLocation> {
    let wire = serde_json::from_value(wire.clone()).expect("a location");
    Place::compile(&wire).map(|(place, _)| place)
}

fn found(place: &Place, head: &Parts) -> Vec<String> {
    let found = place.find(head).into_iter();
    found
        .map(|text| String::from_utf8(text.into_owned()).expect("text"))
        .collect()
}

fn in_header(prefix: &str, values: &[&str]) -> Vec<String> {
    let place = place(&json!({ "Header": { "Name": "X-Token", "ValuePrefix": prefix } }));
    let headers: Vec<(&str, &str)> = values.iter().map(|value| ("x-token", *value)).collect();
    found(&place.expect("a place"), &request("/", &headers))
}

#[test]
fn a_header_has_its_prefix_anywhere_and_the_rest_is_the_token() {
    let cases: [(&str, &[&str], &[&str]); 18] = [
        ("Tok", &["Tok T"], &["T"]),
        ("Tok", &["Tok: T"], &["T"]),
        ("Tok", &["z", "TokT"], &["T"]),
        ("Bearer ", &[], &[]),
        ("Bearer ", &["Bearer T"], &["T"]),
        ("Bearer ", &["Bearer   T "], &["T"]),
        ("Bearer ", &["junk Bearer T"], &["T"]),
        ("Bearer ", &["bearer T"], &[]),
        ("Bearer ", &["T"], &[]),
        ("Bearer ", &["Bearer"], &[]),
        ("Bearer ", &["Bearer  "], &[""]),
        ("Bearer ", &["Bearer T,x"], &["T,x"]),
        ("Bearer ", &["Bearer T x"], &["T x"]),
        ("Bearer ", &["Basic x", "Bearer T"], &["T"]),
        ("Bearer ", &["Bearer T", "Basic x"], &["T,Basic x"]),
        ("Bearer ", &["Bearer T", "Bearer U"], &["T,Bearer U"]),
        ("", &["T"], &["T"]),
        ("", &["T", "U"], &["T,U"]),
    ];
    for (prefix, values, expected) in cases {
        assert_eq!(in_header(prefix, values), expected, "{prefix:?} {values:?}");
    }
}

#[test]
fn a_parameter_is_decoded_and_every_one_of_its_name_is_found() {
    let place = place(&json!({ "QueryParam": { "Name": "access_token" } }));
    let place = place.expect("a place");
    let cases: [(&str, &[&str]); 10] = [
        ("/p", &[]),
        ("/p?", &[]),
        ("/p?access_token", &[""]),
        ("/p?access_token=T", &["T"]),
        ("/p?x=1&access_token=T&y=2", &["T"]),
        ("/p?access%5Ftoken=%54", &["T"]),
        ("/p?ACCESS_TOKEN=T", &[]),
        ("/p?access_token=T&access_token=U", &["T", "U"]),
        ("/p?access_token=T=U?V", &["T=U?V"]),
        ("/access_token=T?xaccess_token=T", &[]),
    ];
    for (uri, expected) in cases {
        assert_eq!(found(&place, &request(uri, &[])), expected, "{uri}");
    }
}

#[test]
fn a_cookie_is_found_in_every_line_of_them() {
    let place = place(&json!({ "Cookie": { "Name": "session" } }));
    let place = place.expect("a place");
    let cases: [(&[&str], &[&str]); 10] = [
        (&[], &[]),
        (&["session=T"], &["T"]),
        (&["a=1; session=T; b=2"], &["T"]),
        (&["a=1;session=\"T\""], &["T"]),
        (&["a=1", "session=T"], &["T"]),
        (&["session=T; session=U"], &["T", "U"]),
        (&["xsession=T; Session=T; session"], &[]),
        (&["session==T"], &["=T"]),
        // As some applications read cookies.
        (&["session = T; %73ession=U"], &["T", "U"]),
        (&["s%65ssion", "=session", "session%3DT"], &[]),
    ];
    for (lines, expected) in cases {
        let headers: Vec<(&str, &str)> = lines.iter().map(|line| ("cookie", *line)).collect();
        assert_eq!(
            found(&place, &request("/", &headers)),
            expected,
            "{lines:?}"
        );
    }
}

#[test]
fn without_locations_it_is_the_authorization_header_or_access_token() {
    let places = Place::defaults();
    let head = request("/?access_token=U", &[("authorization", "Bearer T")]);
    let all: Vec<String> = places
        .iter()
        .flat_map(|place| found(place, &head))
        .collect();
    assert_eq!(all, ["T", "U"]);
}

#[test]
fn a_location_that_is_not_understood_is_a_fault() {
    let cases = [
        (json!({}), "not exactly one"),
        (
            json!({ "Header": { "Name": "a" }, "Cookie": { "Name": "a" } }),
            "not exactly one",
        ),
        (json!({ "Header": { "Name": "" } }), "is none"),
        (json!({ "Header": { "Name": "a b" } }), "is none"),
        (json!({ "QueryParam": {} }), "is none"),
        (json!({ "Cookie": { "Name": "" } }), "is none"),
        (json!({ "Body": { "Name": "a" } }), "`Body`"),
        (
            json!({ "Header": { "Name": "a", "Regex": ".*" } }),
            "`Regex`",
        ),
        (json!({ "QueryParam": { "Name": "a", "X": 1 } }), "`X`"),
        (json!({ "Cookie": { "Name": "a", "Y": null } }), "`Y`"),
    ];
    for (wire, expected) in cases {
        let fault = place(&wire).expect_err("a fault").to_string();
        assert!(fault.contains(expected), "{wire}: {fault}");
    }
}
