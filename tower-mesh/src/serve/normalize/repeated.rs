//! Repeated headers of which a list is made (RFC 9110, 5.3): the application reads what rules have read.

use consul_connect::intention::{join_lines, list_separator};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

/// Joins them. An error is a reason to refuse the request.
pub(super) fn join(version: Version, headers: &mut HeaderMap) -> Result<(), &'static str> {
    // Hardly any request repeats one.
    if headers.len() == headers.keys_len() {
        return Ok(());
    }
    let joined = |name: &HeaderName| {
        let separator = list_separator(name, version)?;
        let lines = || headers.get_all(name).iter().map(HeaderValue::as_bytes);
        (lines().count() > 1).then(|| join_lines(lines(), separator))
    };
    let joined: Vec<_> = headers
        .keys()
        .filter_map(|name| Some((name.clone(), joined(name)?)))
        .collect();
    for (name, list) in joined {
        let list =
            HeaderValue::from_bytes(&list).map_err(|_invalid| "a repeated header is no list")?;
        headers.insert(name, list);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_joined_and_other_headers_stay() {
        let lines = [
            ("user-agent", "bad"),
            ("x-a", "1"),
            ("user-agent", ""),
            ("x-a", "2"),
            ("user-agent", "x"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
        ];
        for (version, cookies) in [
            (Version::HTTP_11, vec!["a=1", "b=2"]),
            (Version::HTTP_2, vec!["a=1; b=2"]),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(name, HeaderValue::from_static(value));
            }
            join(version, &mut headers).expect("lists");
            let all = |name| headers.get_all(name).iter().collect::<Vec<_>>();
            assert_eq!(all("user-agent"), ["bad,x"]);
            assert_eq!(all("x-a"), ["1", "2"]);
            assert_eq!(all("cookie"), cookies);
        }
    }
}
