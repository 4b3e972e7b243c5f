//! Why a token is not taken.

use std::fmt;

/// Why a token was refused.
///
/// What it says is about the token and never a part of it: a refused token may be a good one elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidToken {
    /// It is longer than any token that is looked at.
    #[error("it is longer than {limit} bytes")]
    TooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// It does not have the form of a signed token (RFC 7515 section 3.1, RFC 7519 section 7.2).
    #[error("it is no signed JSON Web Token: {0}")]
    Malformed(Part),
    /// `alg: none`.
    #[error("it is unsigned (`alg` is `none`)")]
    Unsigned,
    /// `HS256` and its like. Whoever can verify these can make them, so they are not taken from a mesh's callers.
    #[error("it is signed with a shared secret, which is not accepted")]
    SharedSecret,
    /// An algorithm nobody has registered, or one for encryption.
    #[error("its algorithm is unknown")]
    UnknownAlgorithm,
    /// It asks (`crit`, RFC 7515 section 4.1.11) for an extension; none is understood.
    #[error("it has critical header parameters, and none is understood")]
    Critical,
    /// `iss` is missing or another one.
    #[error("its issuer is not the provider's")]
    Issuer,
    /// `aud` has none of the provider's audiences.
    #[error("none of its audiences is the provider's")]
    Audience,
    /// `exp` is over, the clock skew allowed for.
    #[error("it has been expired for {seconds} s")]
    Expired {
        /// Seconds since `exp`.
        seconds: u64,
    },
    /// `nbf` is to come, the clock skew allowed for.
    #[error("it is not valid for another {seconds} s")]
    NotYetValid {
        /// Seconds until `nbf`.
        seconds: u64,
    },
    /// No key of the set has the token's `kid` and algorithm.
    #[error("the provider has no key with its key id and algorithm")]
    UnknownKey,
    /// No key that could have made the signature did.
    #[error("its signature is wrong")]
    Signature,
}

/// What of a token cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// It does not consist of three parts, each in unpadded Base64url.
    Form,
    /// The header is not a JSON object with `alg`, or repeats one of its parameters.
    Header,
    /// The claims are not a JSON object, or a registered claim has a type it cannot have.
    Claims,
    /// The signature is not Base64url.
    Signature,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "it does not consist of three parts",
            Self::Header => "its header cannot be read",
            Self::Claims => "its claims cannot be read",
            Self::Signature => "its signature cannot be read",
        })
    }
}
