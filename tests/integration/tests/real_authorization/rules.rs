//! Intentions as values, and as the JSON that Consul takes.

use serde_json::{Value, json};

/// The intentions of one destination, `*` for any.
#[derive(Clone, Debug)]
pub(crate) struct Intentions {
    pub(crate) destination: String,
    pub(crate) sources: Vec<Source>,
    /// Asked of every source.
    pub(crate) jwt: Vec<Requirement>,
}

#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) peer: Option<&'static str>,
    pub(crate) effect: Effect,
}

#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Action(bool),
    Permissions(Vec<Permission>),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Permission {
    pub(crate) allow: bool,
    pub(crate) path: Option<PathRule>,
    pub(crate) headers: Vec<HeaderRule>,
    pub(crate) methods: Vec<&'static str>,
    pub(crate) jwt: Vec<Requirement>,
}

#[derive(Clone, Debug)]
pub(crate) enum PathRule {
    Exact(String),
    Prefix(String),
    Regex(&'static str),
}

#[derive(Clone, Debug)]
pub(crate) struct HeaderRule {
    pub(crate) name: &'static str,
    pub(crate) matcher: Matcher,
    pub(crate) invert: bool,
    pub(crate) ignore_case: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Matcher {
    Present,
    Exact(&'static str),
    Prefix(&'static str),
    Suffix(&'static str),
    Contains(&'static str),
    Regex(&'static str),
}

/// A token of this provider, with these claims.
#[derive(Clone, Debug)]
pub(crate) struct Requirement {
    pub(crate) provider: &'static str,
    pub(crate) claims: Vec<(Vec<&'static str>, &'static str)>,
}

impl Intentions {
    pub(crate) fn permissions(&self) -> impl Iterator<Item = &Permission> {
        self.sources.iter().flat_map(|source| match &source.effect {
            Effect::Action(_) => [].iter(),
            Effect::Permissions(permissions) => permissions.iter(),
        })
    }

    pub(crate) fn requirements(&self) -> impl Iterator<Item = &Requirement> {
        let permissions = self.permissions().flat_map(|permission| &permission.jwt);
        self.jwt.iter().chain(permissions)
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut entry = json!({
            "Kind": "service-intentions",
            "Name": self.destination,
            "Sources": self.sources.iter().map(Source::to_json).collect::<Vec<_>>(),
        });
        if !self.jwt.is_empty() {
            entry["JWT"] = providers(&self.jwt);
        }
        entry
    }
}

impl Source {
    pub(crate) fn new(name: &str, effect: Effect) -> Self {
        Self {
            name: name.to_owned(),
            peer: None,
            effect,
        }
    }

    fn to_json(&self) -> Value {
        let mut source = json!({ "Name": self.name });
        if let Some(peer) = self.peer {
            source["Peer"] = json!(peer);
        }
        match &self.effect {
            Effect::Action(allow) => source["Action"] = action(*allow),
            Effect::Permissions(permissions) => {
                source["Permissions"] = permissions.iter().map(Permission::to_json).collect();
            }
        }
        source
    }
}

impl Permission {
    fn to_json(&self) -> Value {
        let mut http = json!({});
        match &self.path {
            None => {}
            Some(PathRule::Exact(path)) => http["PathExact"] = json!(path),
            Some(PathRule::Prefix(path)) => http["PathPrefix"] = json!(path),
            Some(PathRule::Regex(path)) => http["PathRegex"] = json!(path),
        }
        if !self.headers.is_empty() {
            http["Header"] = self.headers.iter().map(HeaderRule::to_json).collect();
        }
        if !self.methods.is_empty() {
            http["Methods"] = json!(self.methods);
        }
        let mut permission = json!({ "Action": action(self.allow), "HTTP": http });
        if !self.jwt.is_empty() {
            permission["JWT"] = providers(&self.jwt);
        }
        permission
    }
}

impl HeaderRule {
    fn to_json(&self) -> Value {
        let mut rule = json!({ "Name": self.name });
        let (key, value) = match self.matcher {
            Matcher::Present => ("Present", json!(true)),
            Matcher::Exact(value) => ("Exact", json!(value)),
            Matcher::Prefix(value) => ("Prefix", json!(value)),
            Matcher::Suffix(value) => ("Suffix", json!(value)),
            Matcher::Contains(value) => ("Contains", json!(value)),
            Matcher::Regex(value) => ("Regex", json!(value)),
        };
        rule[key] = value;
        for (key, is) in [("Invert", self.invert), ("IgnoreCase", self.ignore_case)] {
            if is {
                rule[key] = json!(true);
            }
        }
        rule
    }
}

fn action(allow: bool) -> Value {
    json!(if allow { "allow" } else { "deny" })
}

fn providers(requirements: &[Requirement]) -> Value {
    let providers = requirements.iter().map(|requirement| {
        let claims = requirement.claims.iter();
        let claims = claims.map(|(path, value)| json!({ "Path": path, "Value": value }));
        json!({ "Name": requirement.provider, "VerifyClaims": claims.collect::<Vec<_>>() })
    });
    json!({ "Providers": providers.collect::<Vec<_>>() })
}
