//! What must hold for any bytes at all: the bodies of the fuzz targets in `tests/fuzz`, which `fuzz_bodies` drives without a fuzzer.
//!
//! A body panics where something does not hold. It takes what an attacker or a confused Consul can send, unchecked.

mod intentions;
mod jwt;
mod path;
mod request;
mod xfcc;

pub use intentions::intentions;
pub use jwt::jwt;
pub use path::path;
pub use xfcc::xfcc;

use consul_connect::SpiffeId;

/// One target of the fuzzer.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Target {
    /// Its name, also that of its directory of seeds.
    pub name: &'static str,
    /// What it does with the bytes.
    pub body: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "spiffe",
        body: spiffe,
    },
    Target {
        name: "intentions",
        body: intentions,
    },
    Target {
        name: "jwt",
        body: jwt,
    },
    Target {
        name: "path",
        body: path,
    },
    Target {
        name: "xfcc",
        body: xfcc,
    },
];

/// The URI name of a certificate.
///
/// # Panics
/// When an id has more than one spelling, or is accepted with a name that no service can have.
pub fn spiffe(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match text.parse::<SpiffeId>() {
        Ok(id) => {
            assert_eq!(id.to_string(), text, "an id has one spelling");
            let service = id.as_service().map(|service| service.service().as_str());
            assert!(
                service
                    .is_none_or(|name| !name.is_empty() && !name.contains(['/', '*', '%', '\0']))
            );
        }
        Err(invalid) => assert!(!invalid.to_string().is_empty()),
    }
}
