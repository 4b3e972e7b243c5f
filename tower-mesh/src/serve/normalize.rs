//! Requests as rules must see them: one spelling of each path.
//!
//! What a caller can write in several ways is brought into one way before any rule is asked, and the application gets that
//! one too: a rule about `/admin` would not see `/public/../admin`. What is done is what Envoy does for Consul's setting
//! `RequestNormalization`, in Envoy's order: names of headers, headers of the connection, `Host`, repeated headers, escaped
//! slashes, the path, its slashes. A path that has no one spelling is refused. What follows a `#` is gone before: hyper tells neither rules nor applications of it.
//!
//! All of it is pure, and what needs no change costs a look at each byte.

mod escape;
mod hop_by_hop;
mod host;
mod path;
mod repeated;
mod underscores;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use consul_connect::{RequestNormalization, UnderscoreHeaders};
use http::{
    HeaderValue, Method, Uri, Version,
    request::Parts,
    uri::{self, PathAndQuery},
};

use crate::authorize::Reason;

/// Why a request is not one that rules could be asked about.
#[derive(Debug)]
pub(crate) enum Unfit {
    /// Nobody could say what it means, or the mesh does not want it.
    Malformed(Reason),
    /// The caller is to ask for this instead.
    Elsewhere(HeaderValue),
}

/// Brings a head into its one spelling.
pub(crate) fn normalize(rules: RequestNormalization, head: &mut Parts) -> Result<(), Unfit> {
    match rules.underscore_headers {
        UnderscoreHeaders::Allow => {}
        UnderscoreHeaders::Drop => underscores::remove(&mut head.headers),
        // `Reject`, and what a later version may ask for: the strictest is never wrong.
        _ if underscores::is_any(&head.headers) => {
            return Err(malformed("a header's name has an underscore"));
        }
        _ => {}
    }
    hop_by_hop::remove(head.version, &mut head.headers).map_err(malformed)?;
    host::agree(&head.uri, &mut head.headers).map_err(malformed)?;
    repeated::join(head.version, &mut head.headers).map_err(malformed)?;
    let target = head.uri.path_and_query().map_or("", PathAndQuery::as_str);
    let path = head.uri.path();
    // Not `target`: where there is no path, that is `/`.
    match path {
        "*" if head.method == Method::OPTIONS => return Ok(()),
        "" => return Err(malformed("there is no path")),
        _ if !target.starts_with('/') => return Err(malformed("the path does not begin with `/`")),
        _ => {}
    }
    if head.version < Version::HTTP_2 && !target.is_ascii() {
        return Err(malformed("the path has a byte that is not ASCII"));
    }
    let query = target.strip_prefix(path).unwrap_or_default();
    let Some(path::Changed { path, redirect }) = path::normalize(rules, path).map_err(malformed)?
    else {
        return Ok(());
    };
    let target = Bytes::from([&path, query.as_bytes()].concat());
    if redirect {
        if crate::grpc::content_type(&head.headers).is_some() {
            return Err(malformed("the path has an escaped slash"));
        }
        let location = HeaderValue::from_maybe_shared(target);
        return Err(location.map_or_else(|_| malformed(TOO_LONG), Unfit::Elsewhere));
    }
    // Only its length can be wrong: escapes are longer than what they stand for.
    let target = PathAndQuery::from_maybe_shared(target).map_err(|_invalid| malformed(TOO_LONG))?;
    head.uri = with_target(std::mem::take(&mut head.uri), target)
        .map_err(|_invalid| malformed("the path goes with nothing else of the URI"))?;
    Ok(())
}

const TOO_LONG: &str = "the path is too long";

fn with_target(uri: Uri, target: PathAndQuery) -> Result<Uri, uri::InvalidUriParts> {
    let mut parts = uri.into_parts();
    parts.path_and_query = Some(target);
    Uri::from_parts(parts)
}

/// The reason's code is a label of metrics; see [`NormalizationPolicy`](consul_connect::NormalizationPolicy).
fn malformed(why: &'static str) -> Unfit {
    Unfit::Malformed(Reason::fixed("normalization", why))
}
