//! Who does this chain belong to. One pure function, used for both sides of a handshake, for our own material before it is
//! published, and for open connections when the roots change.

use std::time::Duration;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, Error as PathError, KeyUsage};
use x509_parser::{
    certificate::X509Certificate,
    extensions::GeneralName,
    oid_registry::Oid,
    prelude::{ASN1Time, FromDer},
    public_key::PublicKey,
};

use super::{
    InvalidPeer, Roots,
    refusal::MIN_RSA_BITS,
    svid::{check_authority, check_leaf},
};
use crate::{ServiceId, SpiffeId};

const MAX_CHAIN: usize = 10;
const MAX_CHAIN_BYTES: usize = 32 * 1024;

/// The part the owner of the chain plays in the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    Client,
    Server,
}

/// What a verified chain says. Only a service may be called, and whoever calls is one or speaks for one.
#[derive(Clone, Debug)]
pub(crate) struct Verified<Id = ServiceId> {
    pub(crate) id: Id,
    pub(crate) not_before: UnixTime,
    pub(crate) not_after: UnixTime,
    /// The earliest end of what is above the leaf: the root, and what is between the two.
    pub(crate) anchored_until: UnixTime,
    pub(crate) serial: String,
}

/// Verifies the chain to `roots`, and reads the one identity in its leaf, which must be a service's.
pub(crate) fn verify(
    chain: &[CertificateDer<'_>],
    roots: &Roots,
    algorithms: &WebPkiSupportedAlgorithms,
    usage: Usage,
    now: UnixTime,
) -> Result<Verified, InvalidPeer> {
    verify_member(chain, roots, algorithms, usage, now)?.into_service()
}

/// The same for any member of the mesh.
pub(super) fn verify_member(
    chain: &[CertificateDer<'_>],
    roots: &Roots,
    algorithms: &WebPkiSupportedAlgorithms,
    usage: Usage,
    now: UnixTime,
) -> Result<Verified<SpiffeId>, InvalidPeer> {
    let (leaf, intermediates) = chain.split_first().ok_or(InvalidPeer::NoCertificate)?;
    // Kept as long as the connection, so its size must not be the peer's choice.
    if chain.len() > MAX_CHAIN || chain.iter().map(|c| c.len()).sum::<usize>() > MAX_CHAIN_BYTES {
        return Err(InvalidPeer::Chain(format!(
            "it is longer than {MAX_CHAIN} certificates or {MAX_CHAIN_BYTES} bytes"
        )));
    }
    let anchors = roots.anchors(now);
    let mut anchored = path(leaf, intermediates, roots, &anchors, algorithms, usage, now);
    if let Err(InvalidPeer::UnknownIssuer { .. }) = anchored
        && anchors.len() < roots.len()
        && let Ok(end) = path(
            leaf,
            intermediates,
            roots,
            &roots.expired(now),
            algorithms,
            usage,
            now,
        )
    {
        anchored = Err(InvalidPeer::RootExpired {
            root: parse(end.root)?.subject().to_string(),
            since: Duration::from_secs(now.as_secs().saturating_sub(end.root_until.as_secs())),
        });
    }
    // Which trust domain it claims explains an unknown issuer better than the path does.
    if let Err(error @ InvalidPeer::UnknownIssuer { .. }) = anchored {
        return Err(match inspect_member(leaf) {
            Ok(claimed) if claimed.id.trust_domain() != roots.trust_domain() => {
                foreign(&claimed.id, roots)
            }
            _ => error,
        });
    }
    if let Err(InvalidPeer::WeakSignature { .. }) = anchored {
        return Err(weak_signature(chain)?);
    }
    let anchored = anchored?;
    let verified = Verified {
        anchored_until: anchored.until,
        ..inspect_member(leaf)?
    };
    if verified.id.trust_domain() != roots.trust_domain() {
        return Err(foreign(&verified.id, roots));
    }
    Ok(verified)
}

impl Verified<SpiffeId> {
    fn into_service(self) -> Result<Verified, InvalidPeer> {
        let id = match self.id {
            SpiffeId::Service(id) => id,
            other => {
                return Err(InvalidPeer::NotAService {
                    id: Box::new(other),
                });
            }
        };
        Ok(Verified {
            id,
            not_before: self.not_before,
            not_after: self.not_after,
            anchored_until: self.anchored_until,
            serial: self.serial,
        })
    }
}

fn foreign(id: &SpiffeId, roots: &Roots) -> InvalidPeer {
    InvalidPeer::ForeignTrustDomain {
        ours: roots.trust_domain().clone(),
        theirs: id.trust_domain().clone(),
    }
}

/// What holds a leaf.
struct Anchored<'r> {
    /// The earliest end of the root and of what is between.
    until: UnixTime,
    root: &'r CertificateDer<'static>,
    root_until: UnixTime,
}

fn path<'r>(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    roots: &'r Roots,
    anchors: &[TrustAnchor<'_>],
    algorithms: &WebPkiSupportedAlgorithms,
    usage: Usage,
    now: UnixTime,
) -> Result<Anchored<'r>, InvalidPeer> {
    let usage = match usage {
        Usage::Client => KeyUsage::client_auth(),
        Usage::Server => KeyUsage::server_auth(),
    };
    let certificate = EndEntityCert::try_from(leaf).map_err(|e| refused(e, roots, now))?;
    let path = certificate
        .verify_for_usage(
            algorithms.all,
            anchors,
            intermediates,
            now,
            usage,
            None,
            None,
        )
        .map_err(|e| refused(e, roots, now))?;
    // An anchor of our own roots is one of them, and was read when they were.
    let missing = || InvalidPeer::Malformed("its root".into());
    let (root_until, root) = roots.end_of(path.anchor()).ok_or_else(missing)?;
    let mut until = root_until;
    for between in path.intermediate_certificates() {
        let der = between.der();
        let between = parse(&der)?;
        check_authority(&between)?;
        until = until.min(unix(between.validity().not_after));
    }
    Ok(Anchored {
        until,
        root,
        root_until,
    })
}

fn refused(error: PathError, roots: &Roots, now: UnixTime) -> InvalidPeer {
    match error {
        PathError::CertExpired { not_after, .. } => InvalidPeer::expired(now, not_after),
        PathError::CertNotValidYet { not_before, .. } => InvalidPeer::not_yet(now, not_before),
        PathError::CaUsedAsEndEntity => InvalidPeer::CertificateAuthority,
        // A wrong key under the right name and a name nobody has are the same thing here: not our roots.
        PathError::UnknownIssuer | PathError::InvalidSignatureForPublicKey => {
            InvalidPeer::UnknownIssuer {
                trust_domain: roots.trust_domain().clone(),
                roots: roots.len(),
            }
        }
        PathError::BadDer
        | PathError::BadDerTime
        | PathError::TrailingData(_)
        | PathError::MalformedExtensions => InvalidPeer::Malformed(error.to_string()),
        PathError::UnsupportedSignatureAlgorithmContext(_)
        | PathError::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            InvalidPeer::WeakSignature {
                algorithm: error.to_string(),
            }
        }
        other => InvalidPeer::Chain(other.to_string()),
    }
}

/// Names the algorithm, which webpki gives as bytes.
fn weak_signature(chain: &[CertificateDer<'_>]) -> Result<InvalidPeer, InvalidPeer> {
    let mut named = Vec::new();
    for certificate in chain {
        let certificate = parse(certificate)?;
        let algorithm = name_of(&certificate.signature_algorithm.algorithm);
        if !named.contains(&algorithm) {
            named.push(algorithm);
        }
    }
    Ok(InvalidPeer::WeakSignature {
        algorithm: named.join(" and "),
    })
}

fn name_of(algorithm: &Oid<'_>) -> String {
    match algorithm.to_id_string().as_str() {
        "1.2.840.10045.4.1" => "ECDSA with SHA-1".into(),
        "1.2.840.113549.1.1.4" => "RSA with MD5".into(),
        "1.2.840.113549.1.1.5" => "RSA with SHA-1".into(),
        other => other.to_owned(),
    }
}

/// Reads the leaf of a service without verifying who signed it.
pub(crate) fn inspect(leaf: &CertificateDer<'_>) -> Result<Verified, InvalidPeer> {
    inspect_member(leaf)?.into_service()
}

/// The same for any member of the mesh.
pub(super) fn inspect_member(leaf: &CertificateDer<'_>) -> Result<Verified<SpiffeId>, InvalidPeer> {
    let certificate = parse(leaf)?;
    let malformed = |e: x509_parser::error::X509Error| InvalidPeer::Malformed(e.to_string());
    let may_sign = certificate
        .basic_constraints()
        .map_err(malformed)?
        .is_some_and(|c| c.value.ca)
        || certificate
            .key_usage()
            .map_err(malformed)?
            .is_some_and(|usage| usage.value.key_cert_sign() || usage.value.crl_sign());
    if may_sign {
        return Err(InvalidPeer::CertificateAuthority);
    }
    if let Ok(PublicKey::RSA(key)) = certificate.public_key().parsed()
        && key.key_size() < MIN_RSA_BITS
    {
        return Err(InvalidPeer::WeakKey {
            bits: key.key_size(),
        });
    }
    let uris = uris_of(&certificate)?;
    let [uri] = uris[..] else {
        return Err(InvalidPeer::UriNames { count: uris.len() });
    };
    check_leaf(&certificate)?;
    let id = uri.parse::<SpiffeId>()?;
    let validity = certificate.validity();
    Ok(Verified {
        id,
        not_before: unix(validity.not_before),
        not_after: unix(validity.not_after),
        anchored_until: unix(validity.not_after),
        serial: certificate.raw_serial_as_string(),
    })
}

pub(super) fn end_of(certificate: &CertificateDer<'_>) -> Result<UnixTime, InvalidPeer> {
    Ok(unix(parse(certificate)?.validity().not_after))
}

pub(super) fn uri_names(certificate: &CertificateDer<'_>) -> Result<Vec<String>, InvalidPeer> {
    let certificate = parse(certificate)?;
    Ok(uris_of(&certificate)?
        .into_iter()
        .map(str::to_owned)
        .collect())
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, InvalidPeer> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(InvalidPeer::Malformed("data after its end".into())),
        Err(e) => Err(InvalidPeer::Malformed(e.to_string())),
    }
}

fn uris_of<'a>(certificate: &'a X509Certificate<'_>) -> Result<Vec<&'a str>, InvalidPeer> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|e| InvalidPeer::Malformed(e.to_string()))?;
    let mut uris = Vec::new();
    for name in names.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::URI(uri) => uris.push(*uri),
            // A name that cannot be read could be a URI; skipping it would make two of them look like one.
            GeneralName::Invalid(..) => {
                return Err(InvalidPeer::Malformed("one of its names".into()));
            }
            _ => {}
        }
    }
    Ok(uris)
}

fn unix(time: ASN1Time) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(
        u64::try_from(time.timestamp()).unwrap_or(0),
    ))
}
