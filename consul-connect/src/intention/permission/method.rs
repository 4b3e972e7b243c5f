//! The methods a permission is about.

use std::fmt;

use super::fault::Flaw;

/// None: any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Methods(Box<[Box<str>]>);

impl Methods {
    /// # Errors
    /// One of them is no method, or not in the upper case that Consul writes: it would match nothing, and may be meant to deny.
    pub(super) fn compile(wire: &[String]) -> Result<Self, Flaw> {
        wire.iter()
            .map(|method| {
                let valid = ::http::Method::from_bytes(method.as_bytes()).is_ok()
                    && !method.bytes().any(|byte| byte.is_ascii_lowercase());
                if valid {
                    Ok(method.as_str().into())
                } else {
                    Err(Flaw::Method(method.clone()))
                }
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub(super) fn is_any(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn matches(&self, method: &str) -> bool {
        self.is_any() || self.0.iter().any(|one| **one == *method)
    }
}

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_any() {
            return f.write_str("any method");
        }
        f.write_str(&self.0.join(" or "))
    }
}
