//! Headers that are for this connection and not for the application (RFC 9110, 7.6.1), and those that proxies speak to each
//! other with.
//!
//! Behind a sidecar neither rules nor applications see them: a caller cannot meet a rule with a header that it has
//! declared to be the connection's.

use consul_connect::intention::ENVOY_ORDERS as ORDERS;
use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{CONNECTION, TE, UPGRADE},
};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Removes them. An error is a reason to refuse the request.
pub(super) fn remove(version: Version, headers: &mut HeaderMap) -> Result<(), &'static str> {
    // Looking at the few names there are is cheaper than hashing those that are hardly ever there.
    if !headers.keys().any(is_for_proxies) {
        return Ok(());
    }
    let nominated = nominated(headers)?;
    match version == Version::HTTP_11 && is_upgrade(headers) {
        // The application answers it, and reads both; and Envoy would have rules see what is named there.
        true if nominated.is_empty() => {}
        true => return Err("`Connection` of an upgrade names other headers"),
        false => {
            headers.remove(CONNECTION);
            headers.remove(UPGRADE);
        }
    }
    for name in nominated.into_iter().chain([KEEP_ALIVE, PROXY_CONNECTION]) {
        headers.remove(name);
    }
    keep_trailers_of_te(headers);
    for name in ORDERS {
        headers.remove(name);
    }
    Ok(())
}

/// Not `transfer-encoding`: rules do not see it, and an application that passes a body on needs to know that there is one.
fn is_for_proxies(name: &HeaderName) -> bool {
    match name.as_str() {
        "connection" | "keep-alive" | "proxy-connection" | "te" | "upgrade" => true,
        name => name.starts_with("x-envoy-") && ORDERS.contains(&name),
    }
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(UPGRADE)
        && tokens(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case(b"upgrade"))
}

/// What `Connection` may name at most.
const MOST: usize = 9;

fn nominated(headers: &HeaderMap) -> Result<Vec<HeaderName>, &'static str> {
    let mut named = Vec::new();
    for token in tokens(headers, &CONNECTION) {
        let name =
            HeaderName::from_bytes(token).map_err(|_invalid| "`Connection` names no header")?;
        let name = match name.as_str() {
            // Options, and no names.
            "close" | "http2-settings" | "keep-alive" | "upgrade" => continue,
            "connection" | "te" => continue,
            // Whoever asks for these to be removed wants to be taken for somebody else.
            "host" | "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-proto" => {
                return Err("`Connection` names a header that is the application's");
            }
            _ => name,
        };
        if named.len() == MOST {
            return Err("`Connection` names too many headers");
        }
        named.push(name);
    }
    Ok(named)
}

/// gRPC asks for trailers with it.
fn keep_trailers_of_te(headers: &mut HeaderMap) {
    if !headers.contains_key(TE) {
        return;
    }
    let trailers = tokens(headers, &TE).any(|token| token.eq_ignore_ascii_case(b"trailers"));
    match trailers {
        true => drop(headers.insert(TE, HeaderValue::from_static("trailers"))),
        false => drop(headers.remove(TE)),
    }
}

/// The elements of all the lists of that name.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let lists = headers.get_all(name).iter();
    let tokens = lists.flat_map(|list| list.as_bytes().split(|byte| *byte == b','));
    tokens
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of these, in alphabetical order.
    fn left(
        version: Version,
        lines: &[(&'static str, &'static str)],
    ) -> Result<String, &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        remove(version, &mut headers)?;
        let lines = headers.iter().map(|(name, value)| {
            let value = value.to_str().expect("text");
            format!("{name}: {value}")
        });
        let mut lines: Vec<_> = lines.collect();
        lines.sort();
        Ok(lines.join("; "))
    }

    #[test]
    fn what_connection_names_is_gone_with_it() {
        for (lines, expected) in [
            (vec![("connection", "close"), ("x-a", "1")], "x-a: 1"),
            (
                vec![
                    ("connection", "x-a"),
                    ("x-a", "1"),
                    ("x-a", "2"),
                    ("x-b", "3"),
                ],
                "x-b: 3",
            ),
            (
                vec![("connection", " X-A ,, x-b"), ("x-a", "1"), ("x-b", "2")],
                "",
            ),
            (
                vec![
                    ("connection", "x-a"),
                    ("connection", "x-b"),
                    ("x-a", "1"),
                    ("x-b", "2"),
                ],
                "",
            ),
            (
                vec![
                    ("connection", "authorization"),
                    ("authorization", "Bearer t"),
                ],
                "",
            ),
            (vec![("connection", "connection"), ("x-a", "1")], "x-a: 1"),
            (vec![("connection", "upgrade"), ("x-a", "1")], "x-a: 1"),
            (
                vec![
                    ("keep-alive", "5"),
                    ("proxy-connection", "close"),
                    ("upgrade", "h2c"),
                ],
                "",
            ),
            (
                vec![("transfer-encoding", "chunked"), ("x-a", "1")],
                "transfer-encoding: chunked; x-a: 1",
            ),
        ] {
            let left = left(Version::HTTP_11, &lines);
            assert_eq!(left.as_deref(), Ok(expected), "{lines:?}");
        }
    }

    #[test]
    fn naming_what_is_the_applications_is_refused() {
        for value in [
            "host",
            "X-Forwarded-For",
            "close, x-forwarded-proto",
            ":path",
            "x a",
        ] {
            left(Version::HTTP_11, &[("connection", value)]).expect_err(value);
        }
        let nine = "a,b,c,d,e,f,g,h,i";
        assert_eq!(
            left(Version::HTTP_11, &[("connection", nine)]),
            Ok(String::new())
        );
        left(
            Version::HTTP_11,
            &[("connection", nine), ("connection", "j")],
        )
        .expect_err("ten");
    }

    #[test]
    fn an_upgrade_stays_what_it_is() {
        let upgrade = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("keep-alive", "5"),
        ];
        assert_eq!(
            left(Version::HTTP_11, &upgrade).as_deref(),
            Ok("connection: keep-alive, Upgrade; upgrade: websocket")
        );
        assert_eq!(left(Version::HTTP_10, &upgrade).as_deref(), Ok(""));
    }

    #[test]
    fn te_asks_for_trailers_or_for_nothing() {
        for (value, expected) in [
            ("trailers", "te: trailers"),
            ("gzip, Trailers", "te: trailers"),
            ("gzip", ""),
            ("", ""),
        ] {
            assert_eq!(
                left(Version::HTTP_2, &[("te", value)]).as_deref(),
                Ok(expected)
            );
        }
        let named = [("connection", "te"), ("te", "trailers")];
        assert_eq!(
            left(Version::HTTP_11, &named).as_deref(),
            Ok("te: trailers")
        );
    }

    #[test]
    fn orders_to_an_envoy_are_gone() {
        let orders = ORDERS.map(|name| (name, "1"));
        assert_eq!(left(Version::HTTP_2, &orders).as_deref(), Ok(""));
        let told = [("x-envoy-attempt-count", "1")];
        assert_eq!(
            left(Version::HTTP_2, &told).as_deref(),
            Ok("x-envoy-attempt-count: 1")
        );
    }
}
