//! Sets of intentions, made up.

use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};

use super::{
    callers::{CALLERS, MARKERS},
    rules::{Effect, HeaderRule, Intentions, Matcher, PathRule, Permission, Requirement, Source},
    tokens::PROVIDERS,
};

/// What a set is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Who may open a byte stream.
    Stream,
    /// Who may call.
    Actions,
    /// Who may call what.
    Permissions,
    /// Who may call with a token.
    EntryTokens,
    /// Who may call what with a token.
    PermissionTokens,
    /// Who may call with a token, and what with a second one.
    BothTokens,
}

/// The kinds in the order in which they come.
pub(crate) const OF_REQUESTS: [Kind; 6] = [
    Kind::Permissions,
    Kind::Actions,
    Kind::PermissionTokens,
    Kind::Permissions,
    Kind::EntryTokens,
    Kind::BothTokens,
];

/// Everything that is said about one service.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    pub(crate) kind: Kind,
    /// About this service.
    pub(crate) own: Intentions,
    /// About all services.
    pub(crate) any: Option<Intentions>,
    /// Of the [`MARKERS`], the one that may call.
    pub(crate) marker: usize,
}

pub(crate) const PATHS: [&str; 12] = [
    "/",
    "/public",
    "/public/a",
    "/admin",
    "/admin/x",
    "/v1/x",
    "/a/b",
    "/a//b",
    "/files/r.pdf",
    "/Case",
    "/x%2fy",
    "/shop.Orders/Get",
];

const PREFIXES: [&str; 9] = [
    "/public",
    "/public/",
    "/admin",
    "/v1/",
    "/a",
    "/files/",
    "/",
    "/x%2f",
    "/shop.Orders/",
];

/// Patterns, each with paths that match it.
pub(crate) const PATTERNS: [(&str, [&str; 2]); 10] = [
    ("/v[0-9]+/.*", ["/v1/x", "/v22/"]),
    (r"/files/.*\.pdf", ["/files/r.pdf", "/files/a/b.pdf"]),
    ("(?i)/case", ["/Case", "/CASE"]),
    ("/public|/a/b", ["/public", "/a/b"]),
    ("/a{1,3}/b?", ["/aa/", "/a/b"]),
    ("/[^/]+/x", ["/admin/x", "/v1/x"]),
    (".*", ["/admin", "/"]),
    ("^/admin$", ["/admin", "/admin"]),
    (r"/\w+", ["/admin", "/public"]),
    (r"/v\d/[[:alpha:]]", ["/v1/x", "/v2/y"]),
];

pub(crate) const HEADERS: [&str; 6] = ["x-a", "x-b", "x-role", "x_u", "accept", "cookie"];

/// Asked of less often: what is no plain header everywhere.
pub(crate) const ODD_HEADERS: [&str; 13] = [
    "host",
    ":authority",
    ":path",
    ":method",
    "User-Agent",
    "authorization",
    "connection",
    "keep-alive",
    "te",
    "x-envoy-retry-on",
    // In which claims are forwarded.
    "x-forwards-payload",
    "x-many-payload",
    "x-payload",
];

pub(crate) const VALUES: [&str; 8] = ["v", "w", "V", "abc", "zab", "admin", "reader", "v,w"];

/// Patterns for values; each matches some of [`VALUES`].
const VALUE_PATTERNS: [&str; 5] = ["a.*", "(v|w)", "[a-z]{3}", "(?i)V", "admin|reader"];

pub(crate) const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"];

/// What may be asked of claims, as path and value.
pub(crate) const CLAIMS: [(&[&str], &str); 3] = [
    (&["sub"], "someone"),
    (&["team"], "ops"),
    (&["perms", "role"], "admin"),
];

impl Set {
    pub(crate) fn random(random: &mut StdRng, service: &str, kind: Kind, turn: usize) -> Self {
        let marker = turn % MARKERS.len();
        let mut own = Intentions {
            destination: service.to_owned(),
            sources: sources(random, 4, |random| match kind {
                Kind::Stream | Kind::Actions => Effect::Action(random.random()),
                Kind::EntryTokens if random.random_bool(0.7) => Effect::Action(random.random()),
                Kind::Permissions | Kind::EntryTokens if random.random_bool(0.1) => {
                    Effect::Action(random.random())
                }
                _ => permissions(random, kind),
            }),
            jwt: vec![],
        };
        // A top-level requirement does nothing to a byte stream.
        let asks = match kind {
            Kind::Stream => random.random_bool(0.2),
            Kind::EntryTokens | Kind::BothTokens => true,
            Kind::Actions | Kind::Permissions | Kind::PermissionTokens => false,
        };
        if asks {
            own.jwt = requirements(random);
        }
        if random.random_bool(0.1) {
            let mut elsewhere = Source::new("web", Effect::Action(random.random()));
            elsewhere.peer = Some("unknown-peer");
            own.sources.push(elsewhere);
        }
        for (index, name) in MARKERS.iter().enumerate() {
            own.sources
                .push(Source::new(name, Effect::Action(index == marker)));
        }
        let any = random.random_bool(0.5).then(|| Intentions {
            destination: "*".to_owned(),
            sources: sources(random, 3, |random| Effect::Action(random.random())),
            jwt: vec![],
        });
        Self {
            kind,
            own,
            any: any.filter(|any| !any.sources.is_empty()),
            marker,
        }
    }
}

/// Up to so many sources, none twice.
fn sources(
    random: &mut StdRng,
    most: usize,
    mut effect: impl FnMut(&mut StdRng) -> Effect,
) -> Vec<Source> {
    let mut names: Vec<_> = CALLERS.to_vec();
    names.push("*");
    let count = random.random_range(0..=most);
    let mut chosen: Vec<_> = names.choose_multiple(random, count).copied().collect();
    // The two that most is decided by.
    for often in ["web", "*"] {
        if random.random_bool(0.4) && !chosen.contains(&often) {
            chosen.push(often);
        }
    }
    let sources = chosen.into_iter();
    sources
        .map(|name| Source::new(name, effect(random)))
        .collect()
}

fn permissions(random: &mut StdRng, kind: Kind) -> Effect {
    let tokens = matches!(kind, Kind::PermissionTokens | Kind::BothTokens);
    let count = random.random_range(1..=4);
    let permissions = (0..count).map(|_| {
        let mut permission = Permission {
            allow: random.random_bool(0.6),
            path: random.random_bool(0.75).then(|| path_rule(random)),
            headers: vec![],
            methods: vec![],
            jwt: vec![],
        };
        if random.random_bool(0.4) {
            let count = random.random_range(1..=2);
            permission.headers = (0..count).map(|_| header_rule(random)).collect();
        }
        // Consul wants at least one criterion.
        let bare = permission.path.is_none() && permission.headers.is_empty();
        if bare || random.random_bool(0.25) {
            let count = random.random_range(1..=3);
            permission.methods = METHODS.choose_multiple(random, count).copied().collect();
        }
        if tokens && random.random_bool(0.6) {
            permission.jwt = requirements(random);
        }
        permission
    });
    Effect::Permissions(permissions.collect())
}

fn path_rule(random: &mut StdRng) -> PathRule {
    match random.random_range(0..3) {
        0 => PathRule::Exact(pick(random, &PATHS).to_owned()),
        1 => PathRule::Prefix(pick(random, &PREFIXES).to_owned()),
        _ => PathRule::Regex(pick(random, &PATTERNS).0),
    }
}

fn header_rule(random: &mut StdRng) -> HeaderRule {
    let name = match random.random_bool(0.85) {
        true => pick(random, &HEADERS),
        false => pick(random, &ODD_HEADERS),
    };
    let value = pick(random, &VALUES);
    let matcher = match random.random_range(0..6) {
        0 => Matcher::Present,
        1 => Matcher::Exact(value),
        2 => Matcher::Prefix(pick(random, &["a", "ad", "v"])),
        3 => Matcher::Suffix(pick(random, &["b", "er", "w"])),
        4 => Matcher::Contains(pick(random, &["a", "b", "v"])),
        _ => Matcher::Regex(pick(random, &VALUE_PATTERNS)),
    };
    let cased = !matches!(matcher, Matcher::Present | Matcher::Regex(_));
    HeaderRule {
        name,
        matcher,
        invert: random.random_bool(0.3),
        ignore_case: cased && random.random_bool(0.3),
    }
}

fn requirements(random: &mut StdRng) -> Vec<Requirement> {
    let count = if random.random_bool(0.75) { 1 } else { 2 };
    let providers = PROVIDERS.choose_multiple(random, count);
    let providers: Vec<_> = providers.map(|provider| provider.name).collect();
    let requirement = |provider| {
        let count = random.random_range(0..=2);
        let claims = CLAIMS.choose_multiple(random, count);
        Requirement {
            provider,
            claims: claims
                .map(|(path, value)| (path.to_vec(), *value))
                .collect(),
        }
    };
    providers.into_iter().map(requirement).collect()
}

pub(crate) fn pick<T: Copy>(random: &mut StdRng, from: &[T]) -> T {
    *from.choose(random).expect("something to choose from")
}
