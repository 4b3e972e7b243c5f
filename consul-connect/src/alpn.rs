use std::fmt;

/// The application protocol two sides agreed on in the handshake (RFC 7301).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Alpn {
    /// HTTP/2.
    H2,
    /// HTTP/1.1.
    Http11,
    /// Any other, as it is on the wire.
    Other(Vec<u8>),
}

impl Alpn {
    /// As it is on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::H2 => b"h2",
            Self::Http11 => b"http/1.1",
            Self::Other(bytes) => bytes,
        }
    }
}

impl From<&[u8]> for Alpn {
    fn from(wire: &[u8]) -> Self {
        match wire {
            b"h2" => Self::H2,
            b"http/1.1" => Self::Http11,
            other => Self::Other(other.to_vec()),
        }
    }
}

impl fmt::Display for Alpn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}
