use std::{fmt, time::Duration};

use rustls_pki_types::UnixTime;

use super::IdentityFault;
use crate::{ServiceId, TrustDomain};

/// What an identity knows, how old it is, and where it came from. Holds no secret.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IdentityStatus {
    /// Who we are.
    pub id: ServiceId,
    /// The mesh we belong to.
    pub trust_domain: TrustDomain,
    /// Where leaf and roots come from, in words.
    pub source: String,
    /// How many times new material was published.
    pub generation: u64,
    /// Serial number of the leaf in use.
    pub leaf_serial: String,
    /// When the leaf ends.
    pub leaf_not_after: UnixTime,
    /// How long the leaf is still valid; `None` once it has expired.
    pub leaf_remaining: Option<Duration>,
    /// How many roots are trusted.
    pub roots: usize,
    /// What went wrong since the material in use was delivered, if anything. While a leaf is in use whose root was
    /// withdrawn, it says that peers refuse it.
    pub fault: Option<IdentityFault>,
    /// Whether the source has ended, so that nothing newer can come.
    pub ended: bool,
}

impl IdentityStatus {
    /// Whether new connections can be made and accepted.
    pub fn is_usable(&self) -> bool {
        self.leaf_remaining.is_some()
    }
}

impl fmt::Display for IdentityStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} from {}, leaf {} ",
            self.id, self.source, self.leaf_serial
        )?;
        match self.leaf_remaining {
            Some(left) => write!(f, "valid for another {} s", left.as_secs())?,
            None => f.write_str("EXPIRED")?,
        }
        write!(f, ", {} roots, generation {}", self.roots, self.generation)?;
        let mut cause = self
            .fault
            .as_ref()
            .map(|fault| fault as &dyn std::error::Error);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
