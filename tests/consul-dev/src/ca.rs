//! The certificate authority: roots and their rotation, leafs, and what a test may mint beside them.

mod authority;
mod der;
mod key;
mod mint;

pub(crate) use authority::{Authority, Issued};
pub(crate) use der::first_pem;
pub use key::KeyKind;
pub(crate) use mint::LeafKey;
pub use mint::{BadLeaf, Minted};

/// What can go wrong in the authority.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaError {
    /// A key could not be generated or read.
    #[error("generating or reading a key: {0}")]
    Key(String),
    /// A certificate could not be built or signed.
    #[error("building a certificate: {0}")]
    Certificate(String),
    /// No root has this id.
    #[error("no root has the id {0}")]
    UnknownRoot(String),
    /// The active root cannot be removed.
    #[error("root {0} is the active one and cannot be removed")]
    ActiveRoot(String),
}

impl From<rcgen::Error> for CaError {
    fn from(error: rcgen::Error) -> Self {
        Self::Certificate(error.to_string())
    }
}
