//! Tokens, what they may do, and the programmable auth methods.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::{State, Topic};
use crate::go;

/// How much a rule grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Nothing, even where a shorter prefix grants something.
    Deny,
    /// Reading.
    Read,
    /// Reading and writing.
    Write,
}

/// The resources this server knows rules for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Resource {
    /// `service`, and `intention` unless the rule says otherwise.
    Service,
    /// `node`
    Node,
    /// `agent`
    Agent,
    /// `key`
    Key,
    /// `operator`
    Operator,
    /// `mesh`
    Mesh,
    /// `acl`
    Acl,
    /// `peering`
    Peering,
}

impl Resource {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "service" | "intention" => Self::Service,
            "node" => Self::Node,
            "agent" => Self::Agent,
            "key" => Self::Key,
            "operator" => Self::Operator,
            "mesh" => Self::Mesh,
            "acl" => Self::Acl,
            "peering" => Self::Peering,
            _ => return None,
        })
    }
}

#[derive(Clone, Debug)]
struct Rule {
    resource: Resource,
    segment: String,
    prefix: bool,
    level: Level,
}

/// What a token may do, in the words of Consul's rules.
///
/// ```
/// let policy = consul_dev::Policy::new()
///     .service_write("web")
///     .service_prefix_read("")
///     .node_prefix_read("");
/// # let _ = policy;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Policy {
    rules: Vec<Rule>,
    management: bool,
    identity: Option<String>,
}

impl Policy {
    /// A policy that grants nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything, as the initial management token has it.
    #[must_use]
    pub fn management() -> Self {
        Self {
            management: true,
            ..Self::default()
        }
    }

    /// What a service identity grants: write on the service and its sidecar, read on all services and nodes.
    #[must_use]
    pub fn service_identity(name: impl Into<String>) -> Self {
        let name = name.into();
        let mut policy = Self::new()
            .service_write(name.clone())
            .service_write(format!("{name}-sidecar-proxy"))
            .service_prefix_read("")
            .node_prefix_read("");
        policy.identity = Some(name);
        policy
    }

    fn with(mut self, resource: Resource, segment: String, prefix: bool, level: Level) -> Self {
        self.rules.push(Rule {
            resource,
            segment,
            prefix,
            level,
        });
        self
    }

    /// `service "name" { policy = "write" }`
    #[must_use]
    pub fn service_write(self, name: impl Into<String>) -> Self {
        self.with(Resource::Service, name.into(), false, Level::Write)
    }

    /// `service "name" { policy = "read" }`
    #[must_use]
    pub fn service_read(self, name: impl Into<String>) -> Self {
        self.with(Resource::Service, name.into(), false, Level::Read)
    }

    /// `service "name" { policy = "deny" }`
    #[must_use]
    pub fn service_deny(self, name: impl Into<String>) -> Self {
        self.with(Resource::Service, name.into(), false, Level::Deny)
    }

    /// `service_prefix "prefix" { policy = "read" }`
    #[must_use]
    pub fn service_prefix_read(self, prefix: impl Into<String>) -> Self {
        self.with(Resource::Service, prefix.into(), true, Level::Read)
    }

    /// `service_prefix "prefix" { policy = "write" }`
    #[must_use]
    pub fn service_prefix_write(self, prefix: impl Into<String>) -> Self {
        self.with(Resource::Service, prefix.into(), true, Level::Write)
    }

    /// `node "name" { policy = "read" }`
    #[must_use]
    pub fn node_read(self, name: impl Into<String>) -> Self {
        self.with(Resource::Node, name.into(), false, Level::Read)
    }

    /// `node_prefix "prefix" { policy = "read" }`
    #[must_use]
    pub fn node_prefix_read(self, prefix: impl Into<String>) -> Self {
        self.with(Resource::Node, prefix.into(), true, Level::Read)
    }

    /// `node_prefix "prefix" { policy = "write" }`
    #[must_use]
    pub fn node_prefix_write(self, prefix: impl Into<String>) -> Self {
        self.with(Resource::Node, prefix.into(), true, Level::Write)
    }

    /// `agent_prefix "prefix" { policy = "read" }`
    #[must_use]
    pub fn agent_prefix_read(self, prefix: impl Into<String>) -> Self {
        self.with(Resource::Agent, prefix.into(), true, Level::Read)
    }

    /// `key_prefix "prefix" { policy = "write" }`
    #[must_use]
    pub fn key_prefix_write(self, prefix: impl Into<String>) -> Self {
        self.with(Resource::Key, prefix.into(), true, Level::Write)
    }

    /// `operator = "read"`
    #[must_use]
    pub fn operator_read(self) -> Self {
        self.with(Resource::Operator, String::new(), false, Level::Read)
    }

    /// `operator = "write"`
    #[must_use]
    pub fn operator_write(self) -> Self {
        self.with(Resource::Operator, String::new(), false, Level::Write)
    }

    /// `mesh = "read"`
    #[must_use]
    pub fn mesh_read(self) -> Self {
        self.with(Resource::Mesh, String::new(), false, Level::Read)
    }

    /// `mesh = "write"`
    #[must_use]
    pub fn mesh_write(self) -> Self {
        self.with(Resource::Mesh, String::new(), false, Level::Write)
    }

    /// `peering = "read"`
    #[must_use]
    pub fn peering_read(self) -> Self {
        self.with(Resource::Peering, String::new(), false, Level::Read)
    }

    /// The level for a name: the exact rule, else the longest prefix, deny winning among equals.
    fn level(&self, resource: Resource, segment: &str) -> Option<Level> {
        if self.management {
            return Some(Level::Write);
        }
        let of = |rule: &&Rule| rule.resource == resource;
        let exact = self
            .rules
            .iter()
            .filter(of)
            .filter(|rule| !rule.prefix && rule.segment == segment);
        if let Some(level) = strongest(exact) {
            return Some(level);
        }
        let longest = self
            .rules
            .iter()
            .filter(of)
            .filter(|rule| rule.prefix && segment.starts_with(&rule.segment))
            .map(|rule| rule.segment.len())
            .max()?;
        let prefixes = self.rules.iter().filter(of).filter(|rule| {
            rule.prefix && rule.segment.len() == longest && segment.starts_with(&rule.segment)
        });
        strongest(prefixes)
    }

    fn any_service_write(&self) -> bool {
        self.management
            || self
                .rules
                .iter()
                .any(|rule| rule.resource == Resource::Service && rule.level == Level::Write)
    }
}

/// Deny wins over write, write over read, as in the real one's merge of policies.
fn strongest<'a>(rules: impl Iterator<Item = &'a Rule>) -> Option<Level> {
    let mut best = None;
    for rule in rules {
        if rule.level == Level::Deny {
            return Some(Level::Deny);
        }
        best = best.max(Some(rule.level));
    }
    best
}

/// A token a test made: hand `secret_id` to the program under test.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Token {
    /// Names the token in error texts.
    pub accessor_id: String,
    /// What requests carry.
    pub secret_id: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) token: Token,
    pub(crate) policy: Policy,
    pub(crate) json: Value,
    pub(crate) from_login: bool,
}

pub(crate) const ANONYMOUS_ACCESSOR: &str = "00000000-0000-0000-0000-000000000002";

/// A login that is accepted: the method, the bearer token, and what the new token may do.
#[derive(Clone, Debug)]
pub(crate) struct Method {
    pub(crate) bearers: BTreeMap<String, Policy>,
}

/// All tokens and auth methods.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    by_secret: BTreeMap<String, Stored>,
    pub(crate) methods: BTreeMap<String, Method>,
}

impl Tokens {
    pub(super) fn insert_anonymous(&mut self) {
        let token = Token {
            accessor_id: ANONYMOUS_ACCESSOR.to_owned(),
            secret_id: "anonymous".to_owned(),
        };
        self.by_secret.insert(
            token.secret_id.clone(),
            Stored {
                json: json!({
                    "AccessorID": token.accessor_id, "SecretID": "anonymous",
                    "Description": "Anonymous Token", "Local": false,
                    "CreateTime": go::rfc3339_nanos(SystemTime::now()),
                    "Hash": "RNVFSWnfd5DUOuB8vplp+imivlIna3fKQVnkUHh21cA=",
                    "CreateIndex": 5, "ModifyIndex": 5,
                }),
                token,
                policy: Policy::new(),
                from_login: false,
            },
        );
    }

    pub(crate) fn find(&self, secret: &str) -> Option<&Stored> {
        self.by_secret.get(secret)
    }

    pub(crate) fn anonymous_policy(&mut self, policy: Policy) {
        if let Some(stored) = self.by_secret.get_mut("anonymous") {
            stored.policy = policy;
        }
    }
}

impl State {
    /// Makes a token; `secret` is random unless given.
    pub(crate) fn create_token(
        &mut self,
        policy: Policy,
        description: &str,
        secret: Option<String>,
        method: Option<&str>,
    ) -> Stored {
        let token = Token {
            accessor_id: go::uuid(),
            secret_id: secret.unwrap_or_else(go::uuid),
        };
        let index = self.bump(&[Topic::Acl]);
        let mut json = json!({
            "AccessorID": token.accessor_id,
            "SecretID": token.secret_id,
            "Description": description,
            "Local": method.is_some(),
            "CreateTime": go::rfc3339_nanos(SystemTime::now()),
            "Hash": "3KuaPGqIwGzcyfS1yKBs+1plTzRLr5h8KQ5WVB4v7vw=",
            "CreateIndex": index,
            "ModifyIndex": index,
        });
        if let Some(method) = method {
            json["AuthMethod"] = json!(method);
        }
        if let Some(name) = &policy.identity {
            json["ServiceIdentities"] = json!([{ "ServiceName": name }]);
        }
        if policy.management {
            json["Policies"] = json!([{
                "ID": "00000000-0000-0000-0000-000000000001",
                "Name": "global-management",
            }]);
        } else if policy.identity.is_none() {
            json["Policies"] = json!([{ "ID": go::uuid(), "Name": token.accessor_id }]);
        }
        let stored = Stored {
            token,
            policy,
            json,
            from_login: method.is_some(),
        };
        self.acl
            .by_secret
            .insert(stored.token.secret_id.clone(), stored.clone());
        stored
    }

    /// Removes a token; blocked health queries under it end with 403.
    pub(crate) fn delete_token(&mut self, secret: &str) -> bool {
        let found = self.acl.by_secret.remove(secret).is_some();
        if found {
            self.bump(&[Topic::Acl]);
        }
        found
    }

    /// Who a request speaks for.
    pub(crate) fn authorizer(&self, secret: &str) -> Result<Authorizer, UnknownToken> {
        let default_allow = self.facts.acl_default == "allow";
        if !self.facts.acl {
            return Ok(Authorizer {
                policy: Policy::management(),
                accessor: None,
                default_allow: true,
                unknown: false,
            });
        }
        let lookup = if secret.is_empty() {
            "anonymous"
        } else {
            secret
        };
        let stored = self.acl.find(lookup).ok_or(UnknownToken)?;
        let anonymous = stored.token.accessor_id == ANONYMOUS_ACCESSOR;
        Ok(Authorizer {
            policy: stored.policy.clone(),
            accessor: (!anonymous).then(|| stored.token.accessor_id.clone()),
            default_allow,
            unknown: false,
        })
    }
}

/// The request's token is not known: 403 `ACL not found`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnknownToken;

/// What the caller may do.
#[derive(Clone, Debug)]
pub(crate) struct Authorizer {
    policy: Policy,
    /// `None` for the anonymous token and when ACLs are off.
    accessor: Option<String>,
    default_allow: bool,
    unknown: bool,
}

impl Authorizer {
    /// The bearer of a token nobody knows, on endpoints that answer whoever asks.
    pub(crate) fn unknown() -> Self {
        Self {
            policy: Policy::new(),
            accessor: None,
            default_allow: false,
            unknown: true,
        }
    }

    pub(crate) fn is_unknown(&self) -> bool {
        self.unknown
    }

    pub(crate) fn allows(&self, resource: Resource, segment: &str, level: Level) -> bool {
        match self.policy.level(resource, segment) {
            Some(granted) => granted >= level,
            // Operator rights stand in for these, as in the real one.
            None if matches!(resource, Resource::Mesh | Resource::Peering) => {
                self.allows(Resource::Operator, segment, level)
            }
            None => self.default_allow,
        }
    }

    pub(crate) fn service_read(&self, name: &str) -> bool {
        self.allows(Resource::Service, name, Level::Read)
    }

    pub(crate) fn service_write(&self, name: &str) -> bool {
        self.allows(Resource::Service, name, Level::Write)
    }

    pub(crate) fn node_read(&self, name: &str) -> bool {
        self.allows(Resource::Node, name, Level::Read)
    }

    pub(crate) fn any_service_write(&self) -> bool {
        self.default_allow || self.policy.any_service_write()
    }

    pub(crate) fn is_anonymous(&self) -> bool {
        self.accessor.is_none()
    }

    /// The server's words for a refusal, such as `Permission denied: … lacks permission 'service:write' on "web"`.
    pub(crate) fn refusal(&self, resource: &str, level: Level, segment: &str) -> String {
        let access = match level {
            Level::Write => "write",
            Level::Deny | Level::Read => "read",
        };
        let on = if segment.is_empty() {
            String::new()
        } else {
            format!(" on {segment:?}")
        };
        match &self.accessor {
            Some(accessor) => format!(
                "Permission denied: token with AccessorID '{accessor}' lacks permission '{resource}:{access}'{on}"
            ),
            None => format!(
                "Permission denied: anonymous token lacks permission '{resource}:{access}'{on}. The anonymous token is used implicitly when a request does not specify a token."
            ),
        }
    }
}
