//! What an intention says that is about requests: its permissions, and the tokens it asks for.

use std::{fmt, sync::Arc};

use consul_api::intention as wire;
use http::request::Parts;

use super::permission::{Action, Expressions, Permission, Permissions};
use super::rule::Fault;
use super::{DefaultPolicy, PermissionMatch};
use crate::jwt::{Requirement, Tokens};
use crate::{Decision, Permit, Reason, Rule};

/// The rules about requests of one intention.
#[derive(Clone, Debug)]
pub(super) struct RequestRules {
    /// `None`: it is about every request, and allows it.
    permissions: Option<Permissions>,
    /// The token that each permission asks for, in the same order.
    tokens: Box<[Option<Requirement>]>,
    /// The token without which nothing is allowed.
    token: Option<Requirement>,
}

impl RequestRules {
    /// # Errors
    /// The [`Fault`] that keeps them from being carried out: one part of them alone would mean something else.
    pub(super) fn of(wire: &wire::Intention, expressions: &mut Expressions) -> Result<Self, Fault> {
        let compile = |jwt: &Option<wire::JwtRequirement>| {
            let jwt = jwt.as_ref().map(Requirement::compile);
            jwt.transpose()
                .map_err(|fault| Fault::Token(fault.to_string()))
        };
        let permissions = match wire.permissions.as_deref() {
            None | Some([]) => None,
            Some(permissions) => Some(
                Permissions::compile(permissions, expressions)
                    .map_err(|fault| Fault::Permission(fault.to_string()))?,
            ),
        };
        let asked = permissions.iter().flat_map(Permissions::iter);
        Ok(Self {
            tokens: asked
                .map(|one| compile(&one.jwt))
                .collect::<Result<_, _>>()?,
            token: compile(&wire.jwt)?,
            permissions,
        })
    }

    /// Whether there are any, which mean nothing where no HTTP is spoken.
    pub(super) fn has_permissions(&self) -> bool {
        self.permissions.is_some()
    }

    pub(super) fn explain(&self, request: Option<&Parts>) -> Vec<PermissionMatch> {
        let permissions = self.permissions.iter().flat_map(Permissions::iter);
        let explain = |(permission, token): (&Permission, &Option<Requirement>)| {
            let mut text = format!("{} {permission}", permission.action);
            if let Some(token) = token {
                text.push_str(&format!(", with {token}"));
            }
            PermissionMatch {
                text,
                matches: request.map(|head| permission.matches(head)),
            }
        };
        permissions.zip(&self.tokens).map(explain).collect()
    }
}

impl fmt::Display for RequestRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tokens.len() {
            0 => f.write_str("allow")?,
            1 => f.write_str("1 permission")?,
            many => write!(f, "{many} permissions")?,
        }
        match &self.token {
            Some(token) => write!(f, ", with {token}"),
            None => Ok(()),
        }
    }
}

/// The same, with everything an answer needs made beforehand, so that a decision only counts references.
#[derive(Clone, Debug)]
pub(super) struct Requests {
    /// The intention as a whole.
    rule: Arc<Rule>,
    rules: RequestRules,
    /// One for each permission, in the same order.
    outcomes: Box<[Outcome]>,
    unmatched: Reason,
}

#[derive(Clone, Debug)]
struct Outcome {
    rule: Arc<Rule>,
    /// Why it denies; `None`: it allows.
    denial: Option<Reason>,
}

impl Requests {
    pub(super) fn new(rule: &Arc<Rule>, rules: &RequestRules) -> Self {
        let permissions = rules.permissions.iter().flat_map(Permissions::iter);
        let outcomes = permissions.enumerate().map(|(at, permission)| {
            let mut rule = Rule::clone(rule);
            rule.permission = Some(at);
            let rule = Arc::new(rule);
            let denial = match permission.action {
                Action::Allow => None,
                Action::Deny => {
                    let text = format!("the intention {rule} denies it");
                    Some(Reason::new("intention", text).with_rule(Arc::clone(&rule)))
                }
            };
            Outcome { rule, denial }
        });
        let text = format!(
            "no permission of the intention {rule} matches the request, and the default denies it"
        );
        Self {
            rule: Arc::clone(rule),
            rules: rules.clone(),
            outcomes: outcomes.collect(),
            unmatched: Reason::new("no_permission", text).with_rule(Arc::clone(rule)),
        }
    }

    /// The first permission whose HTTP part matches decides, and if none does the default; never another permission, never
    /// another intention. A token that is asked for must be there in any case.
    pub(super) fn decide(&self, head: &Parts, tokens: &Tokens, default: DefaultPolicy) -> Decision {
        let (rule, token) = match &self.rules.permissions {
            None => (Some(&self.rule), None),
            Some(permissions) => match permissions.first(head) {
                Some((at, _)) => {
                    let Outcome { rule, denial } = &self.outcomes[at];
                    if let Some(denial) = denial {
                        return Decision::Deny(denial.clone());
                    }
                    (Some(rule), self.rules.tokens[at].as_ref())
                }
                None if default == DefaultPolicy::Allow => (None, None),
                None => return Decision::Deny(self.unmatched.clone()),
            },
        };
        for requirement in self.rules.token.iter().chain(token) {
            if let Err(unmet) = requirement.is_met(tokens) {
                let rule = rule.unwrap_or(&self.rule);
                let text = format!("the intention {rule} asks for a token: {unmet}");
                let reason = Reason::new(unmet.code(), text).with_rule(Arc::clone(rule));
                return Decision::Deny(reason);
            }
        }
        Decision::Allow(match rule {
            Some(rule) => Permit::by_rule(Arc::clone(rule)),
            None => Permit::by_default(),
        })
    }
}
