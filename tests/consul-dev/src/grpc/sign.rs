//! The rules of `Sign`.

use std::net::{Ipv4Addr, Ipv6Addr};

use rcgen::SubjectPublicKeyInfo;
use tonic::Status;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::OID_SIG_ED25519;
use x509_parser::prelude::FromDer as _;

use crate::state::State;
use crate::state::acl::{Authorizer, Level, Resource};

/// What a certificate request asks for.
struct Wanted {
    uri: String,
    dns: Vec<String>,
    ips: Vec<std::net::IpAddr>,
    key: SubjectPublicKeyInfo,
}

fn invalid(text: impl Into<String>) -> Status {
    Status::invalid_argument(text)
}

fn read(pem: &str) -> Result<Wanted, Status> {
    let der = crate::ca::first_pem(pem, "CERTIFICATE REQUEST")
        .or_else(|| crate::ca::first_pem(pem, "NEW CERTIFICATE REQUEST"))
        .ok_or_else(|| invalid("failed to decode CSR: no PEM-encoded data found"))?;
    let (_, csr) = X509CertificationRequest::from_der(&der)
        .map_err(|error| invalid(format!("failed to parse CSR: {error}")))?;
    let key = &csr.certification_request_info.subject_pki;
    if key.algorithm.algorithm == OID_SIG_ED25519 {
        return Err(Status::internal("failed to sign leaf certificate"));
    }
    csr.verify_signature()
        .map_err(|error| invalid(format!("invalid CSR signature: {error}")))?;
    let key = SubjectPublicKeyInfo::from_der(key.raw)
        .map_err(|_reason| Status::internal("failed to sign leaf certificate"))?;
    let mut wanted = Wanted {
        uri: String::new(),
        dns: Vec::new(),
        ips: Vec::new(),
        key,
    };
    let mut uris = 0;
    for extension in csr.requested_extensions().into_iter().flatten() {
        let ParsedExtension::SubjectAlternativeName(names) = extension else {
            continue;
        };
        for name in &names.general_names {
            match name {
                GeneralName::URI(uri) => {
                    uris += 1;
                    wanted.uri = (*uri).to_owned();
                }
                GeneralName::DNSName(name) => wanted.dns.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => match *bytes {
                    [a, b, c, d] => wanted.ips.push(Ipv4Addr::new(*a, *b, *c, *d).into()),
                    bytes => {
                        let octets: [u8; 16] = bytes
                            .try_into()
                            .map_err(|_reason| invalid("CSR SAN contains an invalid IP address"))?;
                        wanted.ips.push(Ipv6Addr::from(octets).into());
                    }
                },
                GeneralName::RFC822Name(_) => {
                    return Err(invalid(
                        "CSR SAN contains an email address, which is not allowed",
                    ));
                }
                _ => {}
            }
        }
    }
    if uris != 1 {
        return Err(invalid(format!(
            "CSR SAN contains an invalid number of URIs: {uris}"
        )));
    }
    Ok(wanted)
}

/// The identities a path can name.
enum Identity {
    Service {
        partition: String,
        namespace: String,
        dc: String,
        name: String,
    },
    Agent {
        dc: String,
        node: String,
    },
    Server {
        dc: String,
    },
    MeshGateway {
        dc: String,
    },
}

fn identity(path: &str) -> Option<Identity> {
    let segments: Vec<&str> = path.split('/').collect();
    if segments.iter().any(|segment| segment.is_empty()) {
        return None;
    }
    let own = |text: &str| text.to_owned();
    Some(match segments.as_slice() {
        ["ns", ns, "dc", dc, "svc", name] => Identity::Service {
            partition: own("default"),
            namespace: own(ns),
            dc: own(dc),
            name: own(name),
        },
        ["ap", ap, "ns", ns, "dc", dc, "svc", name] => Identity::Service {
            partition: own(ap),
            namespace: own(ns),
            dc: own(dc),
            name: own(name),
        },
        ["agent", "client", "dc", dc, "id", node] => Identity::Agent {
            dc: own(dc),
            node: own(node),
        },
        ["agent", "server", "dc", dc] => Identity::Server { dc: own(dc) },
        ["gateway", "mesh", "dc", dc] => Identity::MeshGateway { dc: own(dc) },
        _ => return None,
    })
}

fn allowed(auth: &Authorizer, identity: &Identity) -> Result<(), Status> {
    let (resource, shown, segment) = match identity {
        Identity::Service { name, .. } => (Resource::Service, "service", name.as_str()),
        Identity::Agent { node, .. } => (Resource::Node, "node", node.as_str()),
        Identity::Server { .. } => (Resource::Acl, "acl", ""),
        Identity::MeshGateway { .. } => (Resource::Mesh, "mesh", ""),
    };
    if auth.allows(resource, segment, Level::Write) {
        Ok(())
    } else {
        Err(Status::permission_denied(auth.refusal(
            shown,
            Level::Write,
            segment,
        )))
    }
}

/// Signs a request for whoever the token lets.
pub(super) fn sign(state: &mut State, secret: &str, csr: &str) -> Result<String, Status> {
    let auth = state
        .authorizer(secret)
        .map_err(|_reason| Status::unauthenticated("ACL not found"))?;
    let wanted = read(csr)?;
    let unsigned = || Status::internal("failed to sign leaf certificate");
    let rest = wanted.uri.strip_prefix("spiffe://").ok_or_else(unsigned)?;
    let (host, path) = rest.split_once('/').ok_or_else(unsigned)?;
    let identity = identity(path).ok_or_else(unsigned)?;
    let ours = &state.facts.datacenter;
    let (Identity::Service { dc, .. }
    | Identity::Agent { dc, .. }
    | Identity::Server { dc }
    | Identity::MeshGateway { dc }) = &identity;
    if dc != ours {
        return Err(invalid(format!(
            "SPIFFE ID in CSR from a different datacenter: {dc}, we are {ours}"
        )));
    }
    let mut uri = wanted.uri.clone();
    if let Identity::Service {
        partition,
        namespace,
        ..
    } = &identity
        && (partition != "default" || namespace != "default")
    {
        return Err(invalid(
            "SPIFFE ID in CSR from a different namespace or partition",
        ));
    }
    if matches!(identity, Identity::Agent { .. }) {
        // Agents sign up before they know the trust domain.
        uri = format!("spiffe://{}/{path}", state.ca.trust_domain);
    } else if !host.eq_ignore_ascii_case(&state.ca.trust_domain) {
        return Err(invalid(format!(
            "SPIFFE ID in CSR from a different trust domain: {host}, we are {}",
            state.ca.trust_domain
        )));
    }
    allowed(&auth, &identity)?;
    let issued = state
        .ca
        .issue(&uri, wanted.dns, wanted.ips, &wanted.key)
        .map_err(|_reason| unsigned())?;
    Ok(issued.chain_pem)
}
