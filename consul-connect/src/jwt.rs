//! JSON Web Tokens in intentions: whose tokens are accepted, what they must say, and what the application sees of them.
//!
//! An intention, or one of its permissions, can require a token of one of several providers. What a provider is, is said by a
//! `jwt-provider` config entry: issuer, audiences, the keys or where to fetch them, and where in a request its tokens are.
//! The entries that the intentions name are followed, and so are their keys.
//!
//! It decides as an Envoy under Consul 1.22 does, or more strictly. More strictly:
//!
//! * Signatures: RS256 to RS512, PS256 to PS512, ES256 to ES512 (each with its own curve) and EdDSA (Ed25519), with RSA keys of 2048
//!   to 8192 bits. No shared secrets (`HS256`), no ES512 with ring.
//! * Critical header parameters (`crit`) refuse a token. `exp` may be absent, but 0 is a date that is over.
//! * `ClockSkewSeconds` is honoured, 30 if it is not set. Consul does not send it to Envoy, which allows 60; more than that
//!   is never allowed.
//! * Everything in the places of a provider must be a good token of it, also if a header, parameter or cookie is repeated: what
//!   the application takes for the token must not be one that nobody has verified. So providers whose tokens are to be in
//!   one request need places of their own. Behind the token in a header there may be nothing.
//! * A provider or requirement with something this version does not know accepts nothing, and says so.
//! * Keys are fetched over TLS with the server's name verified, or from this host itself.
//!
//! A token that is refused never makes an error, only a denial with its reason. No token, and no part of one, is in any reason, error,
//! `Debug` or log.

mod algorithm;
mod claims;
mod config;
mod der;
mod edits;
mod fetch;
mod file;
mod follow;
mod invalid;
mod keeper;
mod key;
mod key_set;
mod location;
mod pace;
#[cfg(all(feature = "test-util", any(feature = "aws-lc-rs", feature = "ring")))]
pub(crate) mod probe;
mod provider;
mod published;
mod requirement;
mod source;
mod status;
mod store;
mod token;
mod tokens;

pub use config::JwtConfig;
pub use edits::RequestEdits;
use invalid::InvalidToken;
pub(crate) use requirement::Requirement;
pub use status::JwtProviderStatus;
pub(crate) use store::JwtProviders;
use tokens::Providers;
pub use tokens::Tokens;

#[cfg(test)]
mod tests;
