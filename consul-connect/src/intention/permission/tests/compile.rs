//! What cannot be carried out is refused, and named.

use super::compile;

fn refusal(permission: &str) -> String {
    let json = format!(r#"[{{"Action":"allow","HTTP":{{"PathPrefix":"/"}}}},{permission}]"#);
    compile(&json).expect_err(permission)
}

#[test]
fn refuses_what_has_no_meaning() {
    for (permission, expected) in [
        (
            r#"{"HTTP":{"PathPrefix":"/"}}"#,
            "Permissions[1] has no action",
        ),
        (
            r#"{"Action":"Allow","HTTP":{"PathPrefix":"/"}}"#,
            "Permissions[1] has the action \"Allow\"",
        ),
        (
            r#"{"Action":"log","HTTP":{"PathPrefix":"/"}}"#,
            "Permissions[1] has the action \"log\"",
        ),
        (r#"{"Action":"deny"}"#, "Permissions[1] has no HTTP part"),
        (
            r#"{"Action":"deny","HTTP":null}"#,
            "Permissions[1] has no HTTP part",
        ),
        (
            r#"{"Action":"deny","HTTP":{}}"#,
            "Permissions[1].HTTP is empty",
        ),
        (
            r#"{"Action":"deny","HTTP":{"Methods":[],"Header":null}}"#,
            "Permissions[1].HTTP is empty",
        ),
        (
            r#"{"Action":"deny","HTTP":{"PathExact":"/a","PathPrefix":"/"}}"#,
            "Permissions[1].HTTP has more than one kind",
        ),
        (
            r#"{"Action":"deny","HTTP":{"PathExact":"/a","PathRegex":"/"}}"#,
            "Permissions[1].HTTP has more than one kind",
        ),
        (
            r#"{"Action":"deny","HTTP":{"PathExact":"a"}}"#,
            "Permissions[1].HTTP.PathExact \"a\" does not begin",
        ),
        (
            r#"{"Action":"deny","HTTP":{"PathPrefix":"*"}}"#,
            "Permissions[1].HTTP.PathPrefix \"*\" does not begin",
        ),
        (
            r#"{"Action":"deny","HTTP":{"PathRegex":"("}}"#,
            "Permissions[1].HTTP.PathRegex \"(\" is not valid: a parenthesis is not closed",
        ),
        (
            r#"{"Action":"deny","HTTP":{"Methods":["get"]}}"#,
            "Permissions[1].HTTP.Methods has \"get\"",
        ),
        (
            r#"{"Action":"deny","HTTP":{"Methods":["GET",""]}}"#,
            "Permissions[1].HTTP.Methods has \"\"",
        ),
        (
            r#"{"Action":"deny","HTTP":{"Methods":["A B"]}}"#,
            "Permissions[1].HTTP.Methods has \"A B\"",
        ),
    ] {
        let refused = refusal(permission);
        assert!(refused.starts_with(expected), "{permission}: {refused}");
    }
}

#[test]
fn refuses_headers_that_have_no_meaning() {
    for (header, expected) in [
        (
            r#"{"Name":"x"}"#,
            "Permissions[1].HTTP.Header[1] says nothing",
        ),
        (
            r#"{"Name":"x","Invert":true}"#,
            "Permissions[1].HTTP.Header[1] says nothing",
        ),
        (
            r#"{"Name":"x","Present":false,"Exact":""}"#,
            "Permissions[1].HTTP.Header[1] says nothing",
        ),
        (
            r#"{"Name":"x","Present":true,"Exact":"a"}"#,
            "Permissions[1].HTTP.Header[1] says more",
        ),
        (
            r#"{"Name":"x","Prefix":"a","Suffix":"a"}"#,
            "Permissions[1].HTTP.Header[1] says more",
        ),
        (
            r#"{"Name":"x","Contains":"a","Regex":"a"}"#,
            "Permissions[1].HTTP.Header[1] says more",
        ),
        (
            r#"{"Name":"x","Present":true,"Regex":"a"}"#,
            "Permissions[1].HTTP.Header[1] says more",
        ),
        (
            r#"{"Name":"x","Regex":"["}"#,
            "Permissions[1].HTTP.Header[1].Regex \"[\" is not valid: a bracket",
        ),
        (
            r#"{"Name":"x","Regex":"a","IgnoreCase":true}"#,
            "Permissions[1].HTTP.Header[1] has IgnoreCase",
        ),
        (
            r#"{"Name":"x","Present":true,"IgnoreCase":true}"#,
            "Permissions[1].HTTP.Header[1] has IgnoreCase",
        ),
        (
            r#"{"Name":"","Present":true}"#,
            "Permissions[1].HTTP.Header[1] has the name \"\"",
        ),
        (
            r#"{"Name":"a b","Present":true}"#,
            "Permissions[1].HTTP.Header[1] has the name \"a b\"",
        ),
        (
            r#"{"Name":":status","Present":true}"#,
            "Permissions[1].HTTP.Header[1] has the name \":status\"",
        ),
    ] {
        let refused = refusal(&format!(
            r#"{{"Action":"deny","HTTP":{{"Header":[{{"Name":"y","Present":true}},{header}]}}}}"#
        ));
        assert!(refused.starts_with(expected), "{header}: {refused}");
    }
}

#[test]
fn refuses_keys_it_does_not_know() {
    for (permission, place) in [
        (
            r#"{"Action":"deny","HTTP":{"PathPrefix":"/"},"Rate":{}}"#,
            "Permissions[1] has the key `Rate`",
        ),
        (
            r#"{"Action":"deny","HTTP":{"PathPrefix":"/","Query":null}}"#,
            "Permissions[1].HTTP has the key `Query`",
        ),
        (
            r#"{"Action":"deny","HTTP":{"Header":[{"Name":"x","Present":true,"Glob":false}]}}"#,
            "Permissions[1].HTTP.Header[0] has the key `Glob`",
        ),
    ] {
        let refused = refusal(permission);
        assert!(refused.starts_with(place), "{permission}: {refused}");
    }
}
