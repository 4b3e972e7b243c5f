//! What happens to a caller that no intention names.

use std::{fmt, sync::Arc};

use crate::{Decision, Permit, Reason};

/// Decides about callers that no intention matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DefaultPolicy {
    /// They may call.
    Allow,
    /// They may not.
    Deny,
}

impl fmt::Display for DefaultPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}

/// Where the default policy comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DefaultOrigin {
    /// This program was told.
    Configured,
    /// The agent decides so for a source that no intention names, by its `default_intention_policy`.
    AgentIntentionPolicy,
    /// The agent decides so for a source that no intention names, by its ACL default policy (`allow` without ACLs).
    AgentAclPolicy,
    /// The agent's own configuration, read from `agent/self`, says so.
    AgentConfiguration,
    /// Nobody has said it, so it is `deny`. The text says what was tried.
    Unknown(Arc<str>),
}

impl fmt::Display for DefaultOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configured => f.write_str("set in this program"),
            Self::AgentIntentionPolicy => f.write_str("the agent's default intention policy"),
            Self::AgentAclPolicy => f.write_str("the agent's ACL default policy"),
            Self::AgentConfiguration => f.write_str("the configuration of the agent"),
            Self::Unknown(why) => write!(f, "the safe choice, as no agent has said it: {why}"),
        }
    }
}

/// The default policy in force and why.
#[derive(Clone, Debug)]
pub struct ResolvedDefault {
    policy: DefaultPolicy,
    origin: DefaultOrigin,
    denial: Reason,
}

impl ResolvedDefault {
    /// A policy together with where it was found.
    pub fn new(policy: DefaultPolicy, origin: DefaultOrigin) -> Self {
        let text =
            format!("no intention matches the caller, and the default is {policy} ({origin})");
        Self {
            policy,
            origin,
            denial: Reason::new("default", text),
        }
    }

    /// `deny`, because nobody has said otherwise; `why` says what was tried.
    pub fn unknown(why: impl Into<Arc<str>>) -> Self {
        Self::new(DefaultPolicy::Deny, DefaultOrigin::Unknown(why.into()))
    }

    /// What happens.
    pub fn policy(&self) -> DefaultPolicy {
        self.policy
    }

    /// Why.
    pub fn origin(&self) -> &DefaultOrigin {
        &self.origin
    }

    pub(super) fn decision(&self) -> Decision {
        match self.policy {
            DefaultPolicy::Allow => Decision::Allow(Permit::by_default()),
            DefaultPolicy::Deny => Decision::Deny(self.denial.clone()),
        }
    }

    /// Reads an agent's answer about a source that no intention names. `None` if a rule or something unknown decided it,
    /// which says nothing about the default.
    pub(super) fn from_answer(authorized: bool, reason: &str) -> Option<Self> {
        let origin = if reason.starts_with("Default intention policy") {
            DefaultOrigin::AgentIntentionPolicy
        } else if reason.starts_with("Default behavior configured by ACLs") {
            DefaultOrigin::AgentAclPolicy
        } else {
            return None;
        };
        let policy = if authorized {
            DefaultPolicy::Allow
        } else {
            DefaultPolicy::Deny
        };
        Some(Self::new(policy, origin))
    }
}

impl PartialEq for ResolvedDefault {
    fn eq(&self, other: &Self) -> bool {
        self.policy == other.policy && self.origin == other.origin
    }
}

/// The policy, then the origin in brackets.
impl fmt::Display for ResolvedDefault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.policy, self.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_reason_tells_which_default_decided() {
        let answer = ResolvedDefault::from_answer(true, "Default intention policy")
            .expect("a default decided");
        assert_eq!(
            (answer.policy(), answer.origin()),
            (DefaultPolicy::Allow, &DefaultOrigin::AgentIntentionPolicy)
        );
        let answer = ResolvedDefault::from_answer(false, "Default behavior configured by ACLs")
            .expect("a default");
        assert_eq!(
            (answer.policy(), answer.origin()),
            (DefaultPolicy::Deny, &DefaultOrigin::AgentAclPolicy)
        );
    }

    #[test]
    fn an_answer_by_a_rule_or_in_unknown_words_says_nothing_about_the_default() {
        let matched =
            "Matched L4 intention: default/* => default/api (Precedence: 8, Action: ALLOW)";
        assert_eq!(ResolvedDefault::from_answer(true, matched), None);
        assert_eq!(ResolvedDefault::from_answer(true, "something new"), None);
        assert_eq!(ResolvedDefault::from_answer(true, ""), None);
    }

    #[test]
    fn what_nobody_said_is_deny_and_says_why() {
        let unknown = ResolvedDefault::unknown("the agent answered 403");
        assert_eq!(unknown.policy(), DefaultPolicy::Deny);
        let Decision::Deny(reason) = unknown.decision() else {
            panic!("denied")
        };
        assert!(
            reason.to_string().contains("the agent answered 403"),
            "{reason}"
        );
        assert_eq!(reason.code(), "default");
    }
}
