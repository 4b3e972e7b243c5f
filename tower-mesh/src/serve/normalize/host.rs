//! Whom a request is for: rules go by the authority of its URI where there is one, and many an application by `Host`.

use http::{
    HeaderMap, HeaderValue, Uri,
    header::{Entry, HOST},
};

/// Makes `Host` say what the URI says (RFC 9112, 3.2.2; RFC 9113, 8.3.1). An error is a reason to refuse the request.
pub(super) fn agree(uri: &Uri, headers: &mut HeaderMap) -> Result<(), &'static str> {
    let is_any_repeated = headers.len() > headers.keys_len();
    if uri.authority().is_none() && !is_any_repeated {
        return Ok(());
    }
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), further) = (hosts.next(), hosts.next()) else {
        return Ok(());
    };
    if further.is_some() {
        return Err("there are several `Host`s");
    }
    let Some(authority) = uri.authority() else {
        return Ok(());
    };
    if host.as_bytes() == authority.as_str().as_bytes() {
        return Ok(());
    }
    let host = HeaderValue::from_str(authority.as_str())
        .map_err(|_invalid| "its authority is no `Host`")?;
    if let Entry::Occupied(mut entry) = headers.entry(HOST) {
        entry.insert(host);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `Host` is then.
    fn agreed(uri: &str, hosts: &[&'static str]) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_static(host));
        }
        agree(&uri.parse().expect("a URI"), &mut headers)?;
        let host = headers.get(HOST);
        Ok(host.map(|host| host.to_str().expect("text").to_owned()))
    }

    #[test]
    fn the_uri_outranks_host() {
        for (uri, hosts, host) in [
            ("https://public/x", vec!["internal"], Some("public")),
            ("https://public:80/x", vec!["public"], Some("public:80")),
            ("https://public/x", vec!["public"], Some("public")),
            ("https://public/x", vec![], None),
            ("/x", vec!["internal"], Some("internal")),
            ("/x", vec![], None),
        ] {
            assert_eq!(agreed(uri, &hosts), Ok(host.map(str::to_owned)), "{uri}");
        }
    }

    #[test]
    fn several_hosts_are_refused() {
        agreed("/x", &["internal", "x"]).expect_err("two");
        agreed("https://public/x", &["public", "public"]).expect_err("two");
    }
}
