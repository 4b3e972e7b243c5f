//! Who somebody is in a Consul mesh: SPIFFE ids in the forms Consul issues.
//!
//! Parsing is strict. An id is accepted only in the one spelling Consul itself would write, because a second spelling
//! of the same name (`%61pi` for `api`, an upper-case trust domain, `/ap/default/`) is matched by some members of a mesh
//! and not by others, and an intention must not depend on who evaluates it.
//!
//! Source: the SPIFFE-ID and X509-SVID specifications; the path forms of Consul 1.20 to 1.22.

mod name;
mod segment;
mod service_id;

pub use name::{InvalidName, ServiceName, TrustDomain};
pub use service_id::ServiceId;

use std::{fmt, str::FromStr};

/// Ids longer than this are refused (SPIFFE-ID §2.3 asks to accept up to 2048 bytes).
const MAX_LEN: usize = 2048;

/// A SPIFFE id in one of the forms Consul issues.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SpiffeId {
    /// A Consul client agent: `/agent/client/dc/<dc>/id/<node>`.
    Agent {
        /// The trust domain that vouches for it.
        trust_domain: TrustDomain,
        /// Admin partition, `default` outside Consul Enterprise.
        partition: String,
        /// Datacenter of the agent.
        datacenter: String,
        /// Node name.
        node: String,
    },
    /// A mesh gateway: `/gateway/mesh/dc/<dc>`.
    MeshGateway {
        /// The trust domain that vouches for it.
        trust_domain: TrustDomain,
        /// Admin partition, `default` outside Consul Enterprise.
        partition: String,
        /// Datacenter of the gateway.
        datacenter: String,
    },
    /// A Consul server: `/agent/server/dc/<dc>`.
    Server {
        /// The trust domain that vouches for it.
        trust_domain: TrustDomain,
        /// Datacenter of the server.
        datacenter: String,
    },
    /// A service: `/ns/<ns>/dc/<dc>/svc/<service>`. The only form that may call or be called.
    Service(ServiceId),
    /// The certificate authority itself: a trust domain and no path.
    Signing(TrustDomain),
}

impl SpiffeId {
    /// The trust domain part.
    pub fn trust_domain(&self) -> &TrustDomain {
        match self {
            Self::Agent { trust_domain, .. }
            | Self::MeshGateway { trust_domain, .. }
            | Self::Server { trust_domain, .. }
            | Self::Signing(trust_domain) => trust_domain,
            Self::Service(id) => id.trust_domain(),
        }
    }

    /// The service this id names, if it names one.
    pub fn as_service(&self) -> Option<&ServiceId> {
        match self {
            Self::Service(id) => Some(id),
            _ => None,
        }
    }

    /// The kind of member, as a word for messages and labels.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Agent { .. } => "agent",
            Self::MeshGateway { .. } => "mesh gateway",
            Self::Server { .. } => "server",
            Self::Service(_) => "service",
            Self::Signing(_) => "certificate authority",
        }
    }
}

/// The `spiffe://` URI.
impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ap = |partition: &str| match partition {
            DEFAULT => String::new(),
            other => format!("/ap/{}", segment::encode(other)),
        };
        match self {
            Self::Service(id) => id.fmt(f),
            Self::Signing(td) => write!(f, "spiffe://{td}"),
            Self::Server {
                trust_domain,
                datacenter,
            } => {
                write!(
                    f,
                    "spiffe://{trust_domain}/agent/server/dc/{}",
                    segment::encode(datacenter)
                )
            }
            Self::MeshGateway {
                trust_domain,
                partition,
                datacenter,
            } => write!(
                f,
                "spiffe://{trust_domain}{}/gateway/mesh/dc/{}",
                ap(partition),
                segment::encode(datacenter)
            ),
            Self::Agent {
                trust_domain,
                partition,
                datacenter,
                node,
            } => write!(
                f,
                "spiffe://{trust_domain}{}/agent/client/dc/{}/id/{}",
                ap(partition),
                segment::encode(datacenter),
                segment::encode(node)
            ),
        }
    }
}

pub(crate) const DEFAULT: &str = "default";

/// # Errors
/// [`InvalidSpiffeId`] names the id and what is wrong with it.
impl FromStr for SpiffeId {
    type Err = InvalidSpiffeId;

    fn from_str(uri: &str) -> Result<Self, InvalidSpiffeId> {
        parse(uri).map_err(|problem| InvalidSpiffeId {
            uri: uri.chars().take(MAX_LEN).collect(),
            problem,
        })
    }
}

fn parse(uri: &str) -> Result<SpiffeId, Problem> {
    if uri.len() > MAX_LEN {
        return Err(Problem::TooLong);
    }
    let rest = uri.strip_prefix("spiffe://").ok_or(Problem::Scheme)?;
    if rest.contains(['?', '#']) {
        return Err(Problem::QueryOrFragment);
    }
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    let trust_domain: TrustDomain = authority.parse().map_err(Problem::TrustDomain)?;
    if path.is_empty() {
        return Ok(SpiffeId::Signing(trust_domain));
    }
    let segments = path[1..]
        .split('/')
        .map(segment::decode)
        .collect::<Result<Vec<_>, _>>()?;
    let mut parts: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
    let mut partition = DEFAULT;
    if let ["ap", ap, ..] = parts[..] {
        // Consul writes no `/ap/` for the default partition, and its proxies match only what it writes.
        if ap == DEFAULT {
            return Err(Problem::Form);
        }
        partition = segments[1].as_ref();
        parts.drain(..2);
    }
    match parts[..] {
        ["ns", ns, "dc", dc, "svc", service] => {
            let service: ServiceName = service.parse().map_err(Problem::Service)?;
            Ok(SpiffeId::Service(
                ServiceId::new(trust_domain, dc, service)
                    .with_namespace(ns)
                    .with_partition(partition),
            ))
        }
        ["gateway", "mesh", "dc", dc] => Ok(SpiffeId::MeshGateway {
            trust_domain,
            partition: partition.into(),
            datacenter: dc.into(),
        }),
        ["agent", "client", "dc", dc, "id", node] => Ok(SpiffeId::Agent {
            trust_domain,
            partition: partition.into(),
            datacenter: dc.into(),
            node: node.into(),
        }),
        ["agent", "server", "dc", dc] if partition == DEFAULT => Ok(SpiffeId::Server {
            trust_domain,
            datacenter: dc.into(),
        }),
        _ => Err(Problem::Form),
    }
}

/// Not a SPIFFE id that Consul would issue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a SPIFFE id of a Consul mesh: {uri:?}: {problem}")]
pub struct InvalidSpiffeId {
    uri: String,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("longer than {MAX_LEN} bytes")]
    TooLong,
    #[error("it does not begin with `spiffe://`")]
    Scheme,
    #[error("it has a query or a fragment")]
    QueryOrFragment,
    #[error("its trust domain is invalid: {0}")]
    TrustDomain(InvalidName),
    #[error("its service name is invalid: {0}")]
    Service(InvalidName),
    #[error("its path is not one of Consul's forms")]
    Form,
    #[error("a path segment is empty, `.` or `..`")]
    DotOrEmptySegment,
    #[error("a path segment is not in the canonical spelling")]
    Spelling,
}

#[cfg(test)]
mod tests;
