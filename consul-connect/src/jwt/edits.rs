//! What a request loses and gains before the application sees it.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Uri, request::Parts, uri::PathAndQuery};

use super::location::{Place, pairs};

/// What is to be done to a request that was let in, so that the application sees of its tokens what Consul says it should.
///
/// A verified token is taken out of its header or query, unless the provider says to forward it, and its claims are
/// put into the header the provider names. What a caller wrote into such a header itself is removed, token or not: the
/// application must be able to believe it. A token in a cookie stays there, as it does behind an Envoy.
///
/// Cheap to clone. The default does nothing.
#[derive(Clone, Debug, Default)]
pub struct RequestEdits {
    /// Headers whose content only we may write.
    pub(super) reserved: Option<Arc<[HeaderName]>>,
    pub(super) verified: Option<Arc<[Verified]>>,
}

/// What a verified token does to its request.
#[derive(Clone, Debug)]
pub(super) struct Verified {
    /// Where it is taken away.
    pub(super) taken: Vec<Place>,
    /// Its claims in Base64url, for the application.
    pub(super) payload: Option<(HeaderName, HeaderValue)>,
}

impl RequestEdits {
    #[cfg(test)]
    pub(crate) fn removing(header: &'static str) -> Self {
        Self {
            reserved: Some([HeaderName::from_static(header)].into()),
            verified: None,
        }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.reserved.is_none() && self.verified.is_none()
    }

    /// Whether they change anything of this head.
    pub(crate) fn concern(&self, head: &Parts) -> bool {
        let mut reserved = self.reserved.iter().flat_map(|names| names.iter());
        self.verified.is_some() || reserved.any(|name| head.headers.contains_key(name))
    }

    /// Both, one after the other.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self.is_empty(), other.is_empty()) {
            (true, _) => other,
            (_, true) => self,
            (false, false) => Self {
                reserved: joined(self.reserved, other.reserved),
                verified: joined(self.verified, other.verified),
            },
        }
    }

    /// Does it to the head the decision was about.
    pub fn apply(&self, head: &mut Parts) {
        for name in self.reserved.iter().flat_map(|names| names.iter()) {
            head.headers.remove(name);
        }
        for verified in self.verified.iter().flat_map(|all| all.iter()) {
            for place in &verified.taken {
                match place {
                    Place::Header { name, .. } => {
                        head.headers.remove(name);
                    }
                    Place::Query(name) => remove_parameter(&mut head.uri, name),
                    Place::Cookie(_) => {}
                }
            }
        }
        // After all removals: another provider's token may have been in the header that is written now.
        for verified in self.verified.iter().flat_map(|all| all.iter()) {
            if let Some((name, value)) = &verified.payload {
                head.headers.append(name, value.clone());
            }
        }
    }
}

/// Takes every parameter of this name out of the query. The rest stays as it was written.
fn remove_parameter(uri: &mut Uri, name: &str) {
    let Some(query) = uri.query() else { return };
    let kept: Vec<&str> = pairs(query)
        .filter(|pair| !pair.is_named(name))
        .map(|pair| pair.text)
        .collect();
    let mut target = uri.path().to_owned();
    if !kept.is_empty() {
        target.push('?');
        target.push_str(&kept.join("&"));
    }
    let mut parts = uri.clone().into_parts();
    // A part of a valid target is a valid target; if not, nobody loses but the application, which sees a verified token.
    if let Ok(target) = PathAndQuery::try_from(target) {
        parts.path_and_query = Some(target);
        if let Ok(without) = Uri::from_parts(parts) {
            *uri = without;
        }
    }
}

fn joined<T: Clone>(one: Option<Arc<[T]>>, other: Option<Arc<[T]>>) -> Option<Arc<[T]>> {
    let both = one
        .iter()
        .chain(&other)
        .flat_map(|part| part.iter().cloned());
    let both: Vec<T> = both.collect();
    (!both.is_empty()).then(|| both.into())
}
