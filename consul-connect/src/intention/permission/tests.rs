//! Each matcher once with what it takes and once with what it does not.

mod compile;
mod headers;
mod paths;
mod properties;

use consul_api::intention as wire;
use http::request::Parts;

use super::{Action, Expressions, Permissions};

pub(super) fn compile(json: &str) -> Result<Permissions, String> {
    let wire: Vec<wire::Permission> = serde_json::from_str(json).expect(json);
    Permissions::compile(&wire, &mut Expressions::default()).map_err(|fault| fault.to_string())
}

/// Which of the permissions decides.
pub(super) fn first(permissions: &str, head: &Parts) -> Option<usize> {
    let permissions = compile(permissions).expect(permissions);
    permissions.first(head).map(|(index, _)| index)
}

/// Whether a permission with this HTTP part is about the request.
pub(super) fn matches(http: &str, head: &Parts) -> bool {
    first(&format!(r#"[{{"Action":"deny","HTTP":{http}}}]"#), head).is_some()
}

pub(super) fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut builder = http::Request::builder().method(method).uri(target);
    for (name, value) in headers {
        let value = http::HeaderValue::from_bytes(value.as_bytes()).expect("a header value");
        builder = builder.header(*name, value);
    }
    builder.body(()).expect("a request").into_parts().0
}

#[test]
fn the_first_permission_that_matches_decides() {
    let permissions = r#"[
        {"Action":"deny","HTTP":{"PathPrefix":"/admin"}},
        {"Action":"allow","HTTP":{"PathPrefix":"/","Methods":["GET"]}},
        {"Action":"deny","HTTP":{"PathPrefix":"/"}}
    ]"#;
    assert_eq!(first(permissions, &head("GET", "/admin/a", &[])), Some(0));
    assert_eq!(first(permissions, &head("GET", "/a", &[])), Some(1));
    assert_eq!(first(permissions, &head("POST", "/a", &[])), Some(2));
    assert_eq!(first(permissions, &head("OPTIONS", "*", &[])), None);

    let compiled = compile(permissions).expect("valid");
    let actions: Vec<_> = compiled
        .iter()
        .map(|permission| permission.action)
        .collect();
    assert_eq!(actions, [Action::Deny, Action::Allow, Action::Deny]);
}

#[test]
fn everything_that_is_set_must_match() {
    let http = r#"{"PathExact":"/a","Methods":["GET","PUT"],"Header":[
        {"Name":"x-a","Exact":"1"},{"Name":"X-B","Present":true}]}"#;
    let given = [("x-a", "1"), ("x-b", "")];
    assert!(matches(http, &head("PUT", "/a", &given)));
    assert!(!matches(http, &head("POST", "/a", &given)));
    assert!(!matches(http, &head("PUT", "/b", &given)));
    assert!(!matches(http, &head("PUT", "/a", &given[..1])));
    assert!(!matches(http, &head("PUT", "/a", &given[1..])));
}

#[test]
fn methods_are_compared_with_their_case() {
    let http = r#"{"Methods":["GET","POST"]}"#;
    assert!(matches(http, &head("POST", "/", &[])));
    for other in ["post", "Get", "GETS", "GE", "HEAD"] {
        assert!(!matches(http, &head(other, "/", &[])), "{other}");
    }
}

#[test]
fn grpc_is_a_path_and_a_method() {
    let http = r#"{"PathExact":"/echo.v1.Echo/Say","Methods":["POST"]}"#;
    assert!(matches(
        http,
        &head("POST", "https://x/echo.v1.Echo/Say", &[])
    ));
    assert!(!matches(
        http,
        &head("POST", "https://x/echo.v1.Echo/say", &[])
    ));
    assert!(!matches(
        http,
        &head("POST", "https://x/echo.v1.Echo/SayTwice", &[])
    ));
    assert!(!matches(
        http,
        &head("GET", "https://x/echo.v1.Echo/Say", &[])
    ));
}

#[test]
fn says_which_requests_it_is_about() {
    let shown = |http: &str| {
        let compiled = compile(&format!(r#"[{{"Action":"deny","HTTP":{http}}}]"#)).expect(http);
        let shown: Vec<String> = compiled.iter().map(ToString::to_string).collect();
        shown.concat()
    };
    assert_eq!(
        shown(
            r#"{"PathPrefix":"/a","Methods":["GET","PUT"],"Header":[
            {"Name":"X-A","Contains":"b","Invert":true,"IgnoreCase":true},{"Name":"x-c","Present":true}]}"#
        ),
        "GET or PUT, path starting with `/a`, header `x-a` not containing `b` in any case, header `x-c` present"
    );
    assert_eq!(
        shown(r#"{"PathRegex":"/v[0-9]+","Header":[{"Name":"host","Suffix":".x"}]}"#),
        "any method, path matching `/v[0-9]+`, header `:authority` ending with `.x`"
    );
}
