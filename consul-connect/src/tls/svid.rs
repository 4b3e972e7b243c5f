//! What X509-SVID asks of certificates and the path to the roots does not: webpki looks at no key usage.

use x509_parser::{certificate::X509Certificate, error::X509Error};

use super::InvalidPeer;

/// Whether a leaf may be an identity: X509-SVID §4.3 and §4.4, RFC 5280 §4.2.1.6. That it signs nothing is seen elsewhere.
pub(super) fn check_leaf(leaf: &X509Certificate<'_>) -> Result<(), InvalidPeer> {
    let usage = leaf.key_usage().map_err(malformed)?;
    if !usage.is_some_and(|usage| usage.critical && usage.value.digital_signature()) {
        return Err(chain(
            "the key usage of the leaf is not critical, or has no digital signature",
        ));
    }
    // Whoever calls is called as well: a leaf for one part is not one that a mesh issues.
    if let Some(usage) = leaf.extended_key_usage().map_err(malformed)?
        && !(usage.value.client_auth && usage.value.server_auth)
    {
        return Err(chain("the leaf is not for clients and servers"));
    }
    let names = leaf.subject_alternative_name().map_err(malformed)?;
    if leaf.subject().iter().next().is_none() && names.is_some_and(|names| !names.critical) {
        return Err(chain(
            "the names of the leaf are not critical, and it has no subject",
        ));
    }
    Ok(())
}

/// Whether a certificate between the root and the leaf may sign: X509-SVID §4.3.
pub(super) fn check_authority(authority: &X509Certificate<'_>) -> Result<(), InvalidPeer> {
    let usage = authority.key_usage().map_err(malformed)?;
    if usage.is_some_and(|usage| usage.value.key_cert_sign()) {
        return Ok(());
    }
    Err(chain(
        "the key usage of an authority has no certificate signing",
    ))
}

fn chain(what: &str) -> InvalidPeer {
    InvalidPeer::Chain(what.to_owned())
}

fn malformed(error: X509Error) -> InvalidPeer {
    InvalidPeer::Malformed(error.to_string())
}
