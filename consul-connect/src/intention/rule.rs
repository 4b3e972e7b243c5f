//! One intention, read from the wire: the one door between what Consul sent and what decides.

use std::fmt;

use consul_api::intention as wire;

use super::permission::Expressions;
use super::precedence::{exactness, precedence};
use super::requests::RequestRules;
use super::source_match::{Pattern, Source, is_unresolved_group};
use crate::authorize::Rule;

/// One intention as this version understands it.
#[derive(Clone, Debug)]
pub(super) struct Intention {
    pub(super) source: Source,
    namespace: Pattern,
    name: Pattern,
    pub(super) precedence: u32,
    pub(super) effect: Effect,
    /// Keys of the entry that this version does not know.
    pub(super) unknown_keys: Vec<String>,
}

/// What it does to a caller it matches.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    Allow,
    Deny,
    /// It depends on the request.
    Requests(RequestRules),
    /// It is there, and what it says cannot be carried out. It denies, and a lower one does not take its place.
    Refuse(Fault),
}

/// Why an intention cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("its {0}")]
    Permission(String),
    #[error(
        "it has permissions, and Consul says that the service speaks tcp, which has no requests \
         (write a service-defaults entry with the protocol http, http2 or grpc)"
    )]
    NoRequests,
    #[error("it has both an action and permissions")]
    ActionAndPermissions,
    #[error("its requirement of a token cannot be carried out: {0}")]
    Token(String),
    #[error("it has neither an action nor permissions")]
    NoAction,
    #[error("its action {0:?} is unknown to this version")]
    UnknownAction(String),
    #[error("its source type {0:?} is unknown to this version")]
    UnknownSourceType(String),
    #[error("its source is the sameness group {0:?}, which this version does not resolve")]
    SamenessGroup(String),
    #[error("it names no source, so it may be about any caller")]
    NoSource,
    #[error("its source partition is a wildcard, so it may be about any caller")]
    WildcardPartition,
}

impl Fault {
    /// The metric label of a denial by one.
    pub(super) const CODE: &'static str = "intention_unknown";
}

impl Intention {
    /// Whether it is about this destination at all. Consul files entries without regard to case, so that an entry about `Api` is
    /// the one about `api`; and without a namespace of ours it is Consul who knows which one it has answered for.
    pub(super) fn is_about(&self, namespace: Option<&str>, service: &str) -> bool {
        namespace.is_none_or(|namespace| self.namespace.files(namespace))
            && self.name.files(service)
    }

    /// What permissions mean where there are no requests: nobody may call.
    pub(super) fn refuse_permissions(&mut self) {
        if let Effect::Requests(rules) = &self.effect
            && rules.has_permissions()
        {
            self.effect = Effect::Refuse(Fault::NoRequests);
        }
    }

    /// Its public form, for answers and logs.
    pub(super) fn to_rule(&self) -> Rule {
        let destination = match &self.namespace {
            Pattern::Exact(namespace) if **namespace == *"default" => self.name.to_string(),
            namespace => format!("{namespace}/{}", self.name),
        };
        Rule::new(self.source.to_string(), destination, self.precedence)
    }

    /// Highest precedence first. Among equals a denial comes first, so that no order of a reply can turn one into a
    /// permission; then Consul's own order of sources.
    pub(super) fn rank(&self) -> impl Ord {
        let readable = self.source != Source::Unreadable;
        let allows = match self.effect {
            Effect::Deny | Effect::Refuse(_) => 0,
            Effect::Requests(_) => 1,
            Effect::Allow => 2,
        };
        (
            readable,
            std::cmp::Reverse(self.precedence),
            allows,
            &self.source,
        )
    }
}

impl Intention {
    /// Never fails: what cannot be understood becomes a rule that denies.
    pub(super) fn of(wire: &wire::Intention, expressions: &mut Expressions) -> Self {
        let namespace = Pattern::tenancy(&wire.destination_ns);
        let name = Pattern::name(&wire.destination_name);
        let (source, effect) = match Source::try_from(wire) {
            Ok(source) => (
                source,
                Effect::of(wire, expressions).unwrap_or_else(Effect::Refuse),
            ),
            Err(fault) => (Source::Unreadable, Effect::Refuse(fault)),
        };
        Self {
            precedence: precedence(exactness(&namespace, &name), source.exactness()),
            source,
            namespace,
            name,
            effect,
            unknown_keys: wire.extra.keys().cloned().collect(),
        }
    }
}

impl Effect {
    /// # Errors
    /// The [`Fault`] that keeps the intention from being carried out.
    fn of(wire: &wire::Intention, expressions: &mut Expressions) -> Result<Self, Fault> {
        // `consul` is the only type there has ever been, and its absence means it.
        if !matches!(wire.source_type.as_str(), "" | "consul") {
            return Err(Fault::UnknownSourceType(wire.source_type.clone()));
        }
        if is_unresolved_group(wire) {
            return Err(Fault::SamenessGroup(wire.source_sameness_group.clone()));
        }
        let action = wire.action.as_deref().unwrap_or_default();
        if wire
            .permissions
            .as_ref()
            .is_some_and(|permissions| !permissions.is_empty())
        {
            return match action {
                "" => RequestRules::of(wire, expressions).map(Self::Requests),
                _ => Err(Fault::ActionAndPermissions),
            };
        }
        match action {
            "allow" if wire.jwt.is_some() => {
                RequestRules::of(wire, expressions).map(Self::Requests)
            }
            "allow" => Ok(Self::Allow),
            // A denial stays a denial whatever token the caller has.
            "deny" => Ok(Self::Deny),
            "" => Err(Fault::NoAction),
            other => Err(Fault::UnknownAction(other.to_owned())),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow => f.write_str("allow"),
            Self::Deny => f.write_str("deny"),
            Self::Requests(rules) => rules.fmt(f),
            Self::Refuse(fault) => write!(f, "deny: {fault}"),
        }
    }
}
