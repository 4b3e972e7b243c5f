//! Whom an intention is about.

use std::fmt;

use consul_api::intention as wire;

use super::{CallerId, rule::Fault};

const DEFAULT: &str = "default";
const WILDCARD: &str = "*";

/// A name or any name. Compared byte for byte: Consul's proxies do, so a rule must not match more here than there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Pattern {
    /// `*`.
    Any,
    /// Exactly this name.
    Exact(Box<str>),
}

impl Pattern {
    /// `*` is any; nothing is `default`.
    pub(super) fn tenancy(value: &str) -> Self {
        match value {
            "" => Self::Exact(DEFAULT.into()),
            other => Self::name(other),
        }
    }

    pub(super) fn name(value: &str) -> Self {
        if value == WILDCARD {
            Self::Any
        } else {
            Self::Exact(value.into())
        }
    }

    pub(super) fn matches(&self, value: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => **name == *value,
        }
    }

    /// As Consul compares the names it files entries by.
    pub(super) fn files(&self, value: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => name.eq_ignore_ascii_case(value),
        }
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Any => WILDCARD,
            Self::Exact(name) => name,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The source of one intention. The order is Consul's for intentions of equal precedence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Source {
    /// Services of our own trust domain.
    Local {
        partition: Pattern,
        namespace: Pattern,
        name: Pattern,
    },
    /// Services of a cluster peer, in the partition it exports from. No caller of our own trust domain is ever one of them.
    ClusterPeer {
        peer: Box<str>,
        namespace: Pattern,
        name: Pattern,
    },
    /// It could not be read, so it may be about anybody.
    Unreadable,
}

impl Source {
    pub(super) fn matches(&self, caller: CallerId<'_>) -> bool {
        let (id, of) = (caller.id(), caller.cluster_peer());
        match self {
            Self::Local {
                partition,
                namespace,
                name,
            } => {
                of.is_none()
                    && name.matches(id.service().as_str())
                    && namespace.matches(id.namespace())
                    && partition.matches(id.partition())
            }
            Self::ClusterPeer {
                peer,
                namespace,
                name,
            } => of.is_some_and(|of| {
                **peer == *of.name()
                    && name.matches(id.service().as_str())
                    && namespace.matches(id.namespace())
                    && id.partition() == of.partition()
            }),
            Self::Unreadable => true,
        }
    }

    /// The part of it that precedence looks at. What cannot be read goes before everything.
    pub(super) fn exactness(&self) -> u32 {
        match self {
            Self::Local {
                namespace, name, ..
            }
            | Self::ClusterPeer {
                namespace, name, ..
            } => super::precedence::exactness(namespace, name),
            Self::Unreadable => 2,
        }
    }
}

/// As Consul's own messages write it, without the parts that are `default`.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |f: &mut fmt::Formatter<'_>, pattern: &Pattern| match pattern.as_str() {
            DEFAULT => Ok(()),
            other => write!(f, "{other}/"),
        };
        match self {
            Self::Local {
                partition,
                namespace,
                name,
            } => {
                place(f, partition)?;
                place(f, namespace)?;
                name.fmt(f)
            }
            Self::ClusterPeer {
                peer,
                namespace,
                name,
            } => {
                write!(f, "peer:{peer}/")?;
                place(f, namespace)?;
                name.fmt(f)
            }
            Self::Unreadable => f.write_str("?"),
        }
    }
}

/// Whether its source is a sameness group as such, not one of its members: these come with the partition or the cluster peer
/// that the member is.
pub(super) fn is_unresolved_group(intention: &wire::Intention) -> bool {
    !intention.source_sameness_group.is_empty()
        && intention.source_peer.is_empty()
        && intention.source_partition.is_empty()
}

/// # Errors
/// A [`Fault`] if nobody can say whom the intention is about.
impl TryFrom<&wire::Intention> for Source {
    type Error = Fault;

    fn try_from(intention: &wire::Intention) -> Result<Self, Fault> {
        if intention.source_name.is_empty() {
            return Err(Fault::NoSource);
        }
        let namespace = Pattern::tenancy(&intention.source_ns);
        let name = Pattern::name(&intention.source_name);
        if !intention.source_peer.is_empty() {
            return Ok(Self::ClusterPeer {
                peer: intention.source_peer.as_str().into(),
                namespace,
                name,
            });
        }
        let partition = match Pattern::tenancy(&intention.source_partition) {
            // Consul writes the members of a sameness group out; where it did not, nobody knows which partitions it spans.
            _ if is_unresolved_group(intention) => Pattern::Any,
            // Consul accepts no wildcard here, so what is meant is not known.
            Pattern::Any => return Err(Fault::WildcardPartition),
            exact @ Pattern::Exact(_) => exact,
        };
        Ok(Self::Local {
            partition,
            namespace,
            name,
        })
    }
}
