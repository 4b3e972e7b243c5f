//! Intentions as a person would write them down, and any of them.

use consul_api::intention as wire;
use proptest::prelude::*;
use serde_json::{Value, json};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rule {
    /// A name or `*`.
    pub(crate) source: &'static str,
    /// The source is in another cluster.
    pub(crate) peer: Option<&'static str>,
    /// A name or `*`.
    pub(crate) destination: &'static str,
    pub(crate) effect: Effect,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    Allow,
    Deny,
    Permissions(Vec<Permission>),
    /// What this version cannot know the meaning of.
    Unknown(Unknown),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Permission {
    pub(crate) allow: bool,
    pub(crate) path: Option<Path>,
    pub(crate) methods: Vec<&'static str>,
    pub(crate) headers: Vec<Header>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Path {
    Exact(&'static str),
    Prefix(&'static str),
    /// One of [`EXPRESSIONS`].
    Regex(usize),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Header {
    pub(crate) name: &'static str,
    pub(crate) matcher: Matcher,
    pub(crate) invert: bool,
    pub(crate) ignore_case: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Matcher {
    Present,
    Exact(&'static str),
    Prefix(&'static str),
    Suffix(&'static str),
    Contains(&'static str),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Unknown {
    Action(String),
    NoAction,
    ActionAndPermissions,
    SourceType,
    /// One permission of several, for which reason all are refused.
    Permission(Vec<Permission>, usize, Value),
}

/// An expression with what it matches, said in another way.
type Expression = (&'static str, fn(&str) -> bool);

pub(crate) const EXPRESSIONS: [Expression; 4] = [
    (".*", |_| true),
    ("/a|/admin", |path| path == "/a" || path == "/admin"),
    ("(?i)/ADMIN.*", |path| {
        path.to_ascii_lowercase().starts_with("/admin")
    }),
    ("/v[0-9]+/.*", |path| {
        let Some((number, _)) = path
            .strip_prefix("/v")
            .and_then(|rest| rest.split_once('/'))
        else {
            return false;
        };
        !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
    }),
];

impl Effect {
    pub(crate) fn is_understood(&self) -> bool {
        !matches!(self, Self::Unknown(_))
    }
}

impl Rule {
    pub(crate) fn to_wire(&self) -> wire::Intention {
        let mut json = json!({
            "SourceNS": "default", "SourceName": self.source, "SourceType": "consul",
            "DestinationNS": "default", "DestinationName": self.destination,
        });
        if let Some(peer) = self.peer {
            json["SourcePeer"] = json!(peer);
        }
        let list = |permissions: &[Permission]| -> Vec<Value> {
            permissions.iter().map(Permission::to_json).collect()
        };
        match &self.effect {
            Effect::Allow => json["Action"] = json!("allow"),
            Effect::Deny => json["Action"] = json!("deny"),
            Effect::Permissions(permissions) => json["Permissions"] = json!(list(permissions)),
            Effect::Unknown(Unknown::Action(action)) => json["Action"] = json!(action),
            Effect::Unknown(Unknown::NoAction) => {}
            Effect::Unknown(Unknown::ActionAndPermissions) => {
                json["Action"] = json!("allow");
                json["Permissions"] = json!([{"Action": "allow", "HTTP": {"PathPrefix": "/"}}]);
            }
            Effect::Unknown(Unknown::SourceType) => {
                json["Action"] = json!("allow");
                json["SourceType"] = json!("spire");
            }
            Effect::Unknown(Unknown::Permission(permissions, at, odd)) => {
                let mut list = list(permissions);
                list.insert((*at).min(list.len()), odd.clone());
                json["Permissions"] = json!(list);
            }
        }
        serde_json::from_value(json).expect("an intention")
    }
}

impl Permission {
    fn to_json(&self) -> Value {
        let mut http = json!({});
        match self.path {
            None => {}
            Some(Path::Exact(path)) => http["PathExact"] = json!(path),
            Some(Path::Prefix(path)) => http["PathPrefix"] = json!(path),
            Some(Path::Regex(index)) => http["PathRegex"] = json!(EXPRESSIONS[index].0),
        }
        if !self.methods.is_empty() {
            http["Methods"] = json!(self.methods);
        }
        if !self.headers.is_empty() {
            http["Header"] = self.headers.iter().map(Header::to_json).collect();
        }
        json!({"Action": if self.allow { "allow" } else { "deny" }, "HTTP": http})
    }
}

impl Header {
    fn to_json(&self) -> Value {
        let (key, value) = match self.matcher {
            Matcher::Present => ("Present", json!(true)),
            Matcher::Exact(text) => ("Exact", json!(text)),
            Matcher::Prefix(text) => ("Prefix", json!(text)),
            Matcher::Suffix(text) => ("Suffix", json!(text)),
            Matcher::Contains(text) => ("Contains", json!(text)),
        };
        json!({"Name": self.name, key: value, "Invert": self.invert, "IgnoreCase": self.ignore_case})
    }
}

fn word(words: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(words)
}

fn any_path() -> impl Strategy<Value = Path> {
    prop_oneof![
        word(&["/", "/a", "/a/b", "/admin", "/echo.v1.Echo/Say"]).prop_map(Path::Exact),
        word(&["/", "/a", "/admin", "/admin/", "/v", "/echo.v1.Echo/"]).prop_map(Path::Prefix),
        (0..EXPRESSIONS.len()).prop_map(Path::Regex),
    ]
}

fn any_header() -> impl Strategy<Value = Header> {
    let text = || word(&["a", "b", "ab", "AB", "a,b"]);
    let matcher = prop_oneof![
        Just(Matcher::Present),
        text().prop_map(Matcher::Exact),
        text().prop_map(Matcher::Prefix),
        text().prop_map(Matcher::Suffix),
        text().prop_map(Matcher::Contains),
    ];
    let name = word(&["x-a", "X-B", "accept"]);
    (name, matcher, any::<bool>(), any::<bool>()).prop_map(
        |(name, matcher, invert, ignore_case)| {
            let ignore_case = ignore_case && matcher != Matcher::Present;
            Header {
                name,
                matcher,
                invert,
                ignore_case,
            }
        },
    )
}

pub(crate) fn any_permission() -> impl Strategy<Value = Permission> {
    let methods = prop::sample::subsequence(vec!["GET", "POST", "PUT"], 0..3);
    let headers = prop::collection::vec(any_header(), 0..3);
    (
        any::<bool>(),
        prop::option::weighted(0.8, any_path()),
        methods,
        headers,
    )
        .prop_map(|(allow, path, methods, headers)| {
            let empty = path.is_none() && methods.is_empty() && headers.is_empty();
            Permission {
                allow,
                path: if empty { Some(Path::Prefix("/")) } else { path },
                methods,
                headers,
            }
        })
}

fn any_permissions() -> impl Strategy<Value = Vec<Permission>> {
    prop::collection::vec(any_permission(), 1..5)
}

pub(crate) fn any_unknown_effect() -> impl Strategy<Value = Effect> {
    let odd = prop::sample::select(vec![
        json!({"Action": "allow"}),
        json!({"Action": "allow", "HTTP": {}}),
        json!({"HTTP": {"PathPrefix": "/"}}),
        json!({"Action": "audit", "HTTP": {"PathPrefix": "/"}}),
        json!({"Action": "allow", "HTTP": {"PathPrefix": "/"}, "Rate": 1}),
        json!({"Action": "allow", "HTTP": {"PathPrefix": "/", "Query": {}}}),
        json!({"Action": "allow", "HTTP": {"PathPrefix": "/", "PathExact": "/a"}}),
        json!({"Action": "allow", "HTTP": {"PathRegex": "("}}),
        json!({"Action": "deny", "HTTP": {"PathRegex": "(?=/a)"}}),
        json!({"Action": "allow", "HTTP": {"Methods": ["get"]}}),
        json!({"Action": "allow", "HTTP": {"Header": [{"Name": "x-a"}]}}),
        json!({"Action": "allow", "HTTP": {"Header": [{"Name": "x-a", "Exact": "a", "Prefix": "a"}]}}),
        json!({"Action": "allow", "HTTP": {"Header": [{"Name": "x-a", "Present": true, "Glob": "a"}]}}),
    ]);
    let permission = (
        prop::collection::vec(any_permission(), 0..3),
        0..3_usize,
        odd,
    )
        .prop_map(|(others, at, odd)| Unknown::Permission(others, at, odd));
    prop_oneof![
        word(&["Allow", "ALLOW", "audit", " allow", "allow "])
            .prop_map(|action| Unknown::Action(action.to_owned())),
        Just(Unknown::NoAction),
        Just(Unknown::ActionAndPermissions),
        Just(Unknown::SourceType),
        permission,
    ]
    .prop_map(Effect::Unknown)
}

pub(crate) fn any_effect() -> impl Strategy<Value = Effect> {
    prop_oneof![
        4 => Just(Effect::Allow),
        3 => Just(Effect::Deny),
        6 => any_permissions().prop_map(Effect::Permissions),
        1 => any_unknown_effect(),
    ]
}

pub(crate) fn any_rule() -> impl Strategy<Value = Rule> {
    (
        word(&["web", "web", "Web", "db", "*", "*", "we*"]),
        prop::option::weighted(0.1, word(&["east"])),
        word(&["api", "api", "*"]),
        any_effect(),
    )
        .prop_map(|(source, peer, destination, effect)| Rule {
            source,
            peer,
            destination,
            effect,
        })
}

/// As Consul can hold them: one per source and destination.
pub(crate) fn any_rules() -> impl Strategy<Value = Vec<Rule>> {
    prop::collection::vec(any_rule(), 0..8).prop_map(|rules| {
        let mut kept: Vec<Rule> = Vec::new();
        for rule in rules {
            let place = |other: &Rule| (other.source, other.peer, other.destination);
            if !kept.iter().any(|other| place(other) == place(&rule)) {
                kept.push(rule);
            }
        }
        kept
    })
}
