//! Requests, as lists of text.

use http::request::Parts;
use proptest::prelude::*;

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) query: Option<&'static str>,
    /// Names in lower case.
    pub(crate) headers: Vec<(&'static str, &'static str)>,
}

impl Request {
    pub(crate) fn to_head(&self) -> Parts {
        let target = match self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.to_owned(),
        };
        let mut builder = http::Request::builder().method(self.method).uri(target);
        for (name, value) in &self.headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).expect("a request").into_parts().0
    }
}

pub(crate) fn any_request() -> impl Strategy<Value = Request> {
    let method = prop::sample::select(vec!["GET", "GET", "POST", "PUT", "get"]);
    let path = prop::sample::select(vec![
        "/",
        "/a",
        "/a/",
        "/a/b",
        "/A",
        "/admin",
        "/Admin/x",
        "/admin/x",
        "/administrator",
        "/v1/x",
        "/v12/",
        "/v/x",
        "/v1x/",
        "/echo.v1.Echo/Say",
        "/echo.v1.Echo/SayTwice",
        "//a",
    ]);
    let query = prop::option::weighted(0.2, prop::sample::select(vec!["", "/admin", "a=b"]));
    let name = prop::sample::select(vec!["x-a", "x-b", "accept"]);
    let value = prop::sample::select(vec!["", "a", "b", "ab", "AB", "aB", "ba", "a,b", "xabx"]);
    let headers = prop::collection::vec((name, value), 0..5);
    (method, path, query, headers).prop_map(|(method, path, query, headers)| Request {
        method,
        path,
        query,
        headers,
    })
}
