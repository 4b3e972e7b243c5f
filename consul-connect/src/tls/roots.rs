use std::{borrow::Cow, fmt};

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime, pem::PemObject};
use webpki::anchor_from_trusted_cert;

use super::verify::{end_of, uri_names};
use crate::TrustDomain;

/// The trust bundle of one trust domain: every root Consul lists, during a rotation the old and the new.
#[derive(Clone)]
pub struct Roots {
    trust_domain: TrustDomain,
    certificates: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
    /// When each of the anchors ends. An anchor itself has no validity, and webpki asks for none.
    ends: Vec<UnixTime>,
}

impl Roots {
    /// Parses roots from PEM. `trust_domain` is the name they stand for; `None` takes it from their own URI names.
    ///
    /// A root that cannot be read is left out and logged, because the others must go on being trusted.
    ///
    /// # Errors
    /// [`InvalidRoots`] if none can be read, or if the trust domain is not given and they do not name exactly one.
    pub fn from_pem<'a>(
        pems: impl IntoIterator<Item = &'a str>,
        trust_domain: Option<TrustDomain>,
    ) -> Result<Self, InvalidRoots> {
        let mut certificates: Vec<CertificateDer<'static>> = Vec::new();
        let (mut anchors, mut ends) = (Vec::new(), Vec::new());
        let mut named: Vec<TrustDomain> = Vec::new();
        let mut unreadable = 0usize;
        for certificate in pems
            .into_iter()
            .flat_map(|pem| CertificateDer::pem_slice_iter(pem.as_bytes()))
        {
            let Ok(certificate) = certificate else {
                unreadable += 1;
                continue;
            };
            if certificates.contains(&certificate) {
                continue;
            }
            match (anchor_from_trusted_cert(&certificate), end_of(&certificate)) {
                (Ok(anchor), Ok(end)) => {
                    anchors.push(anchor.to_owned());
                    ends.push(end);
                }
                _ => {
                    unreadable += 1;
                    continue;
                }
            }
            for uri in uri_names(&certificate).unwrap_or_default() {
                let name = uri
                    .strip_prefix("spiffe://")
                    .and_then(|name| name.parse().ok());
                named.extend(name.filter(|name| !named.contains(name)));
            }
            certificates.push(certificate);
        }
        if unreadable > 0 {
            tracing::warn!(
                unreadable,
                usable = anchors.len(),
                "some roots cannot be read and are not trusted"
            );
        }
        if anchors.is_empty() {
            return Err(InvalidRoots::Unusable(
                "none of them can be read as a certificate".into(),
            ));
        }
        let trust_domain = match (trust_domain, &named[..]) {
            (Some(given), _) => given,
            (None, [one]) => one.clone(),
            (None, []) => return Err(InvalidRoots::Unnamed),
            (None, several) => {
                return Err(InvalidRoots::Unusable(format!(
                    "they name {} trust domains: {several:?}",
                    several.len()
                )));
            }
        };
        Ok(Self {
            trust_domain,
            certificates,
            anchors,
            ends,
        })
    }

    /// The trust domain they stand for.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.anchors.len()
    }

    /// Whether there is none, which no constructor returns.
    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    /// Those that have not expired.
    pub(super) fn anchors(&self, now: UnixTime) -> Cow<'_, [TrustAnchor<'static>]> {
        if self.ends.iter().all(|&end| now <= end) {
            return Cow::Borrowed(&self.anchors);
        }
        self.select(|end| now <= end).into()
    }

    /// Those that have.
    pub(super) fn expired(&self, now: UnixTime) -> Vec<TrustAnchor<'static>> {
        self.select(|end| now > end)
    }

    fn select(&self, wanted: impl Fn(UnixTime) -> bool) -> Vec<TrustAnchor<'static>> {
        let each = self.anchors.iter().zip(&self.ends);
        each.filter(|&(_, &end)| wanted(end))
            .map(|(anchor, _)| anchor.clone())
            .collect()
    }

    /// When this anchor ends, and its certificate. A root that was issued anew for the same key is the same anchor, so it is
    /// the last end of them.
    pub(super) fn end_of(
        &self,
        anchor: &TrustAnchor<'_>,
    ) -> Option<(UnixTime, &CertificateDer<'static>)> {
        let each = self.anchors.iter().zip(&self.ends).zip(&self.certificates);
        each.filter(|((known, _), _)| *known == anchor)
            .map(|((_, &end), certificate)| (end, certificate))
            .max_by_key(|(end, _)| *end)
    }
}

impl PartialEq for Roots {
    fn eq(&self, other: &Self) -> bool {
        self.trust_domain == other.trust_domain
            && self.certificates.len() == other.certificates.len()
            && self
                .certificates
                .iter()
                .all(|c| other.certificates.contains(c))
    }
}

impl Eq for Roots {}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roots")
            .field("trust_domain", &self.trust_domain)
            .field("len", &self.len())
            .finish()
    }
}

/// Not a usable trust bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRoots {
    /// Nothing says which trust domain they stand for.
    #[error("the roots are not usable: they name no trust domain, and none was given")]
    Unnamed,
    /// They cannot be read, or they stand for several trust domains.
    #[error("the roots are not usable: {0}")]
    Unusable(String),
}
