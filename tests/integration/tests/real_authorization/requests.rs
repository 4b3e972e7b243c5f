//! Requests, made up: most are made to meet a rule, and then changed a little.

use rand::{Rng as _, rngs::StdRng};
use serde_json::{Value, json};

use super::{
    callers::{CALLERS, Protocol},
    paths,
    rules::{HeaderRule, Matcher, PathRule, Permission, Requirement},
    sets::{CLAIMS, HEADERS, METHODS, ODD_HEADERS, PATHS, PATTERNS, Set, VALUES, pick},
    tokens::{Flaw, Keys, Location, PROVIDERS, Token, provider},
};

/// One request as it goes over the wire, and who sends it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) caller: &'static str,
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    /// The tokens that are somewhere in there.
    pub(crate) tokens: Vec<Token>,
}

impl Request {
    pub(crate) fn plain(caller: &'static str) -> Self {
        Self {
            caller,
            method: "GET",
            target: "/".to_owned(),
            headers: vec![],
            tokens: vec![],
        }
    }

    /// As little as may be for a service that asks for these tokens of everybody.
    pub(crate) fn with_tokens(caller: &'static str, asked: &[Requirement], keys: &Keys) -> Self {
        let mut request = Self::plain(caller);
        if let Some(requirement) = asked.first() {
            let token = good_token(requirement);
            let place = provider(token.provider).locations[0];
            request.put(keys, &token, place, |value| value);
        }
        request
    }

    pub(crate) fn random(random: &mut StdRng, set: &Set, protocol: Protocol, keys: &Keys) -> Self {
        let mut request = Self::plain(caller(random, set));
        if protocol == Protocol::Tcp {
            return request;
        }
        request.method = match random.random_bool(0.7) {
            true => "GET",
            false => pick(random, &METHODS),
        };
        pick(random, &PATHS).clone_into(&mut request.target);
        let permissions: Vec<_> = set.own.permissions().collect();
        let mut asked: Vec<Requirement> = vec![];
        if !permissions.is_empty() && random.random_bool(0.75) {
            let permission = pick(random, &permissions);
            request.meet(random, permission);
            asked.extend(choose(random, &permission.jwt));
        } else if random.random_bool(0.3) {
            request.add_header(random, None);
        }
        asked.extend(choose(random, &set.own.jwt));
        for requirement in &asked {
            request.add_token(random, requirement, keys);
        }
        let about_tokens = set.own.requirements().next().is_some();
        if random.random_bool(if about_tokens { 0.1 } else { 0.02 }) {
            let stray = Requirement {
                provider: pick(random, &PROVIDERS.each_ref()).name,
                claims: vec![],
            };
            request.add_token(random, &stray, keys);
        }
        if random.random_bool(0.35) {
            request.target = paths::respell(random, &request.target, protocol);
        }
        request.vary_headers(random);
        request.add_hop_by_hop(random, protocol);
        request
    }

    /// Makes it what the permission asks for, more or less.
    fn meet(&mut self, random: &mut StdRng, permission: &Permission) {
        match &permission.path {
            None => {}
            Some(PathRule::Exact(path)) => self.target.clone_from(path),
            Some(PathRule::Prefix(path)) => {
                self.target = format!("{path}{}", pick(random, &["", "x", "/a", "%61"]));
            }
            Some(PathRule::Regex(pattern)) => {
                let mut known = PATTERNS.iter();
                let known = known.find(|(known, _)| known == pattern);
                let paths = known.expect("a pattern of ours").1;
                pick(random, &paths).clone_into(&mut self.target);
            }
        }
        if !permission.methods.is_empty() && random.random_bool(0.8) {
            self.method = pick(random, &permission.methods);
        }
        for rule in &permission.headers {
            if random.random_bool(0.8) {
                self.add_header(random, Some(rule));
            }
        }
    }

    /// A header that this rule is about, with a value that may please it.
    fn add_header(&mut self, random: &mut StdRng, rule: Option<&HeaderRule>) {
        let name = rule.map_or_else(|| pick(random, &HEADERS), |rule| rule.name);
        // Those are what they are.
        if name.starts_with(':') || ODD_HEADERS.contains(&name) && name != "User-Agent" {
            return;
        }
        let fitting = match rule.map(|rule| &rule.matcher) {
            Some(Matcher::Exact(value)) => Some(*value),
            Some(Matcher::Prefix(value) | Matcher::Suffix(value) | Matcher::Contains(value)) => {
                Some(*value)
            }
            _ => None,
        };
        let mut value = match fitting {
            Some(value) if random.random_bool(0.6) => value.to_owned(),
            _ => pick(random, &VALUES).to_owned(),
        };
        if random.random_bool(0.15) {
            value = swap_case(&value);
        }
        self.headers.push((name.to_owned(), value));
    }

    fn add_token(&mut self, random: &mut StdRng, requirement: &Requirement, keys: &Keys) {
        let mut token = good_token(requirement);
        token.key = random.random_range(0..4);
        if random.random_bool(0.3) {
            token.flaw = pick(random, &Flaw::ALL);
        }
        for (path, value) in &mut token.claims {
            if random.random_bool(0.2) {
                *value = other_claim(random, value);
            } else if path.len() > 1 && random.random_bool(0.1) {
                path.truncate(1);
            }
        }
        if random.random_bool(0.2) {
            let (path, value) = pick(random, &CLAIMS);
            if token.claims.iter().all(|(known, _)| known != path) {
                token.claims.push((path.to_vec(), json!(value)));
            }
        }
        let looked_at = match random.random_bool(0.9) {
            true => provider(token.provider),
            false => pick(random, &PROVIDERS.each_ref()),
        };
        let place = pick(random, looked_at.locations);
        let dress = random.random_range(0..24);
        self.put(keys, &token, place, |value| match dress {
            0 => value.to_ascii_lowercase(),
            1 => value.replacen(' ', "  ", 1),
            2 => format!("{value} "),
            3 => format!("{value},x"),
            _ => value,
        });
        self.tokens.push(token);
    }

    fn put(
        &mut self,
        keys: &Keys,
        token: &Token,
        place: Location,
        dress: impl FnOnce(String) -> String,
    ) {
        let text = keys.token(token);
        match place {
            Location::Header(name, prefix) => {
                let value = dress(format!("{prefix}{text}"));
                self.headers.push((name.to_owned(), value));
            }
            Location::Cookie(name) => {
                let value = format!("x=1; {name}={text}; y=2");
                self.headers.push(("cookie".to_owned(), value));
            }
            Location::Query(name) => {
                let sign = if self.target.contains('?') { '&' } else { '?' };
                self.target.push_str(&format!("{sign}{name}={text}"));
            }
        }
    }

    fn vary_headers(&mut self, random: &mut StdRng) {
        if random.random_bool(0.05) {
            let payload = pick(
                random,
                &["x-payload", "x-many-payload", "x-forwards-payload"],
            );
            self.headers.push((payload.to_owned(), "forged".to_owned()));
        }
        if !self.headers.is_empty() && random.random_bool(0.15) {
            let again = random.random_range(0..self.headers.len());
            let (name, value) = self.headers[again].clone();
            let value = match random.random_bool(0.5) {
                true => value,
                false => pick(random, &VALUES).to_owned(),
            };
            let place = random.random_range(0..=self.headers.len());
            self.headers.insert(place, (name, value));
        }
        for (name, value) in &mut self.headers {
            if random.random_bool(0.2) {
                *name = swap_case(name);
            }
            if random.random_bool(0.03) {
                value.clear();
            }
        }
    }

    /// What is the connection's, and what the caller says is: no rule sees either.
    fn add_hop_by_hop(&mut self, random: &mut StdRng, protocol: Protocol) {
        if random.random_bool(0.9) {
            return;
        }
        let (name, value) = match random.random_range(0..4) {
            0 => ("te", "trailers"),
            1 => ("x-envoy-retry-on", pick(random, &VALUES)),
            // Over h2 these make the whole request malformed.
            _ if protocol == Protocol::Http2 => return,
            2 => ("keep-alive", pick(random, &VALUES)),
            _ => ("connection", pick(random, &HEADERS)),
        };
        self.headers.push((name.to_owned(), value.to_owned()));
    }
}

/// Mostly somebody whom the set names.
fn caller(random: &mut StdRng, set: &Set) -> &'static str {
    let any = set.any.iter().flat_map(|any| &any.sources);
    let named: Vec<_> = (set.own.sources.iter().chain(any))
        .filter_map(|source| CALLERS.into_iter().find(|caller| *caller == source.name))
        .collect();
    match random.random_bool(0.7) && !named.is_empty() {
        true => pick(random, &named),
        false => pick(random, &CALLERS),
    }
}

/// None, one or all of what is asked for.
fn choose(random: &mut StdRng, asked: &[Requirement]) -> Vec<Requirement> {
    match random.random_range(0..10) {
        0 | 1 => vec![],
        2 => asked.to_vec(),
        _ if asked.is_empty() => vec![],
        _ => vec![asked[random.random_range(0..asked.len())].clone()],
    }
}

fn good_token(requirement: &Requirement) -> Token {
    let claims = requirement.claims.iter();
    Token {
        provider: requirement.provider,
        key: 0,
        claims: claims
            .map(|(path, value)| (path.clone(), json!(value)))
            .collect(),
        flaw: Flaw::None,
    }
}

fn other_claim(random: &mut StdRng, value: &Value) -> Value {
    match random.random_range(0..6) {
        0 => json!([value]),
        1 => json!(5),
        2 => json!(true),
        3 => Value::Null,
        4 => json!({ "role": value }),
        _ => json!("other"),
    }
}

fn swap_case(text: &str) -> String {
    let swap = |c: char| match c.is_ascii_lowercase() {
        true => c.to_ascii_uppercase(),
        false => c.to_ascii_lowercase(),
    };
    text.chars().map(swap).collect()
}
