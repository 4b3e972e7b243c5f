//! What the handle's methods return.

use crate::ca::CaError;

/// A failure to start the server or to do what a test asked of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A port could not be bound.
    #[error("listening on 127.0.0.1:{port}")]
    Listen {
        /// The port asked for; 0 for a free one.
        port: u16,
        /// What the system said.
        source: std::io::Error,
    },
    /// The authority failed.
    #[error("the certificate authority failed")]
    Ca(#[from] CaError),
    /// The server refused what was asked, in Consul's words.
    #[error("refused: {0}")]
    Refused(String),
    /// The server was stopped.
    #[error("the server is stopped")]
    Stopped,
}
