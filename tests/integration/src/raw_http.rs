//! Requests whose bytes no client library would send, and what comes back.

pub mod frame;
mod h1;
mod h2;
mod peer;

pub use h1::H1;
pub use h2::H2;
pub use peer::RawPeer;

/// What a server answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RawAnswer {
    /// The status code; 0 if the connection or the stream was ended instead.
    pub status: u16,
    /// Where the caller is sent; of HTTP/1.1 only.
    pub location: Option<String>,
    /// The body, as far as it is text.
    pub body: String,
}
