//! The few facts of a certificate that decide when to ask for another one.

use std::time::{Duration, SystemTime};

use rustls_pki_types::{CertificateDer, pem::PemObject};
use x509_parser::{
    certificate::X509Certificate, extensions::ParsedExtension, prelude::FromDer, time::ASN1Time,
};

use crate::identity::renewal::Validity;

/// What the first certificate of a chain says about its validity and its issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeafFacts {
    pub(super) validity: Validity,
    /// The key identifier of the certificate that signed it, where it is given.
    authority_key: Option<Vec<u8>>,
}

impl LeafFacts {
    /// Reads them from a PEM chain, leaf first. `None` if there is no readable certificate: whoever validates the material
    /// says what is wrong with it.
    pub(super) fn read(chain_pem: &str) -> Option<Self> {
        let der = CertificateDer::pem_slice_iter(chain_pem.as_bytes())
            .next()?
            .ok()?;
        let (_, leaf) = X509Certificate::from_der(&der).ok()?;
        let authority_key =
            leaf.extensions()
                .iter()
                .find_map(|extension| match extension.parsed_extension() {
                    ParsedExtension::AuthorityKeyIdentifier(identifier) => {
                        identifier.key_identifier.as_ref().map(|key| key.0.to_vec())
                    }
                    _ => None,
                });
        Some(Self {
            validity: Validity {
                not_before: wall(leaf.validity().not_before),
                not_after: wall(leaf.validity().not_after),
            },
            authority_key,
        })
    }

    /// Whether the key of this identifier, in hex with or without colons, signed it. An identifier that is missing on
    /// either side says nothing, and counts as the same: renewing by age is enough then.
    pub(super) fn is_signed_by(&self, signing_key_id: &str) -> bool {
        let theirs: String = signing_key_id
            .chars()
            .filter(char::is_ascii_hexdigit)
            .map(|c| c.to_ascii_lowercase())
            .collect();
        let Some(ours) = self.authority_key.as_ref().filter(|_| !theirs.is_empty()) else {
            return true;
        };
        ours.iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
            == theirs
    }
}

fn wall(time: ASN1Time) -> SystemTime {
    let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_secs(seconds))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}
