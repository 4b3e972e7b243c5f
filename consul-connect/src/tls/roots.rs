use std::fmt;

use rustls_pki_types::{CertificateDer, TrustAnchor, pem::PemObject};
use webpki::anchor_from_trusted_cert;

use super::verify::uri_names;
use crate::TrustDomain;

/// The trust bundle of one trust domain: every root Consul lists, during a rotation the old and the new.
#[derive(Clone)]
pub struct Roots {
    trust_domain: TrustDomain,
    certificates: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
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
        let mut anchors = Vec::new();
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
            match anchor_from_trusted_cert(&certificate) {
                Ok(anchor) => anchors.push(anchor.to_owned()),
                Err(_) => {
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

    pub(crate) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
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
