//! The compiled set: built once per change, asked for every connection and request.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use consul_api::intention as wire;
use foldhash::fast::RandomState;
use http::request::Parts;

use super::permission::Expressions;
use super::requests::Requests;
use super::rule::{Effect, Fault, Intention};
use super::source_match::{Pattern, Source};
use super::{CallerId, DefaultPolicy, Match};
use crate::jwt::Tokens;
use crate::{Decision, Permit, Reason, Rule, ServiceName, Verdict};

/// The intentions of one destination, ordered and indexed. A value without time or connection.
///
/// A decision takes one hash of the caller's name, whatever the number of intentions, and allocates nothing.
#[derive(Clone, Debug)]
pub struct Compiled {
    entries: Box<[Entry]>,
    /// For each exact source name the entries about it, best first. Names get in here from Consul alone, so the hash need not
    /// withstand who would choose them.
    by_name: HashMap<Box<str>, Vec<usize>, RandomState>,
    /// The entries about any name, best first.
    any_name: Vec<usize>,
    token_providers: BTreeSet<Box<str>>,
    findings: Vec<Finding>,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) rule: Arc<Rule>,
    pub(super) intention: Intention,
    answer: Answer,
}

/// What an entry says, made beforehand so that a decision only counts references.
#[derive(Clone, Debug)]
enum Answer {
    Allow,
    Deny(Reason),
    /// It depends on the request.
    Requests(Box<Requests>),
}

/// Whom the intentions are about.
#[derive(Clone, Debug)]
pub(super) struct Destination {
    pub(super) service: ServiceName,
    /// `None`: whichever Consul takes for ours.
    pub(super) namespace: Option<String>,
    /// Whether Consul takes it for a service that speaks HTTP, or does not say.
    pub(super) has_requests: bool,
}

/// Something about one intention that its author should know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The intention.
    pub rule: Rule,
    /// Whether it denies the callers it matches because of this.
    pub denies: bool,
    /// What was found, as a sentence about the intention.
    pub text: String,
}

impl Compiled {
    /// Compiles the intentions of the service `service` in the default namespace, which speaks HTTP.
    ///
    /// It cannot fail: an intention that cannot be carried out denies the callers it matches and is listed in
    /// [`findings`](Self::findings). The order of the list means nothing.
    pub fn new(service: &ServiceName, intentions: &[wire::Intention]) -> Self {
        Self::about(
            &Destination {
                service: service.clone(),
                namespace: Some("default".to_owned()),
                has_requests: true,
            },
            intentions,
        )
    }

    /// The same for any destination.
    pub(super) fn about(destination: &Destination, intentions: &[wire::Intention]) -> Self {
        let mut findings = Vec::new();
        let mut token_providers = BTreeSet::new();
        let mut expressions = Expressions::default();
        let mut sorted = Vec::with_capacity(intentions.len());
        for wire in intentions {
            let mut intention = Intention::of(wire, &mut expressions);
            if !destination.has_requests {
                intention.refuse_permissions();
            }
            findings.extend(examine(&intention));
            if intention.is_about(
                destination.namespace.as_deref(),
                destination.service.as_str(),
            ) {
                token_providers.extend(named_providers(wire));
                sorted.push(intention);
            } else {
                findings.push(Finding {
                    rule: intention.to_rule(),
                    denies: false,
                    text: "it is about another destination and was left out".to_owned(),
                });
            }
        }
        sorted.sort_by(|a, b| a.rank().cmp(&b.rank()));

        let mut seen = HashSet::new();
        // Of several with the identical source only the first can ever decide.
        sorted.retain(|intention| {
            seen.insert(intention.source.clone()) || intention.source == Source::Unreadable
        });
        let entries: Box<[Entry]> = sorted.into_iter().map(Entry::from).collect();

        let mut by_name: HashMap<Box<str>, Vec<usize>, RandomState> = HashMap::default();
        let mut any_name = Vec::new();
        for (position, entry) in entries.iter().enumerate() {
            match &entry.intention.source {
                Source::Local {
                    name: Pattern::Exact(name),
                    ..
                }
                | Source::ClusterPeer {
                    name: Pattern::Exact(name),
                    ..
                } => {
                    by_name.entry(name.clone()).or_default().push(position);
                }
                Source::Local {
                    name: Pattern::Any, ..
                }
                | Source::ClusterPeer {
                    name: Pattern::Any, ..
                }
                | Source::Unreadable => any_name.push(position),
            }
        }
        Self {
            entries,
            by_name,
            any_name,
            token_providers,
            findings,
        }
    }

    /// What the intentions say about a connection of this caller; `None` if none of them matches, so that the default
    /// decides.
    ///
    /// The trust domain is not looked at: that is the business of whoever knows which one is ours.
    pub fn connection<'a>(
        &self,
        caller: impl Into<CallerId<'a>>,
        default: DefaultPolicy,
    ) -> Option<Verdict> {
        let found = self.find(caller.into(), default)?;
        Some(match &found.decides.answer {
            Answer::Deny(reason) => Verdict::Deny(reason.clone()),
            Answer::Allow => found
                .vetoed()
                .map_or_else(|| found.permit().into(), Verdict::Deny),
            Answer::Requests(_) => found.vetoed().map_or(Verdict::PerRequest, Verdict::Deny),
        })
    }

    /// What the intentions say about a request of this caller, which bears these tokens; `None` if none of them matches, so
    /// that the default decides.
    ///
    /// The intention with the highest precedence decides. If none of its permissions matches the request, `default` does.
    pub fn request<'a>(
        &self,
        caller: impl Into<CallerId<'a>>,
        head: &Parts,
        tokens: &Tokens,
        default: DefaultPolicy,
    ) -> Option<Decision> {
        let found = self.find(caller.into(), default)?;
        let decision = match &found.decides.answer {
            Answer::Allow => found.permit(),
            Answer::Deny(reason) => Decision::Deny(reason.clone()),
            Answer::Requests(requests) => requests.decide(head, tokens, default),
        };
        Some(match (decision, found.vetoed()) {
            (Decision::Allow(_), Some(reason)) => Decision::Deny(reason),
            (decision, _) => decision,
        })
    }

    /// The providers of tokens that its intentions name, each once. Also those of intentions that only deny, or cannot be carried
    /// out: what is theirs alone to write in a request is nobody else's for that.
    pub fn token_providers(&self) -> impl Iterator<Item = &str> {
        self.token_providers.iter().map(|name| &**name)
    }

    fn find(&self, caller: CallerId<'_>, default: DefaultPolicy) -> Option<Found<'_>> {
        let named = self
            .by_name
            .get(caller.id().service().as_str())
            .and_then(|named| self.first(named, caller));
        let any = self.first(&self.any_name, caller);
        let (best, lower) = match (named, any) {
            (Some(named), Some(any)) if any < named => (any, Some(named)),
            (Some(named), _) => (named, None),
            (None, any) => (any?, None),
        };
        // Consul's proxies carry out only denials where the default allows. Of two that match, the one about any caller
        // takes nothing away from the one that names it, although its precedence is higher.
        let vetoes = lower.filter(|_| default == DefaultPolicy::Allow);
        Some(Found {
            decides: self.entries.get(best)?,
            vetoes: vetoes.and_then(|lower| self.entries.get(lower)),
        })
    }

    fn first(&self, positions: &[usize], caller: CallerId<'_>) -> Option<usize> {
        positions
            .iter()
            .copied()
            .find(|&position| self.entries[position].intention.source.matches(caller))
    }

    /// Every entry whose source matches, the one that decides first.
    pub(super) fn matching(&self, caller: CallerId<'_>) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(move |entry| entry.intention.source.matches(caller))
    }

    /// The cluster peers that are the source of any of them, by the names our cluster gave them.
    pub fn cluster_peers(&self) -> impl Iterator<Item = &str> {
        self.entries
            .iter()
            .filter_map(|entry| match &entry.intention.source {
                Source::ClusterPeer { peer, .. } => Some(&**peer),
                Source::Local { .. } | Source::Unreadable => None,
            })
    }

    /// How many intentions there are; those with an identical source count once.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none, so that the default decides about everybody.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What is unusual about them: intentions that deny because they cannot be carried out, keys this version does not
    /// know, sources that cannot match.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

fn named_providers(wire: &wire::Intention) -> impl Iterator<Item = Box<str>> {
    let permissions = wire.permissions.iter().flatten();
    let requirements = permissions.filter_map(|permission| permission.jwt.as_ref());
    let providers = requirements.chain(&wire.jwt).flat_map(|jwt| &jwt.providers);
    let names = providers.map(|provider| provider.name.as_str());
    names.filter(|name| !name.is_empty()).map(Into::into)
}

/// The entries that have a say about one caller.
struct Found<'a> {
    decides: &'a Entry,
    /// Its precedence is lower, and still nothing is allowed that it denies.
    vetoes: Option<&'a Entry>,
}

impl Found<'_> {
    fn permit(&self) -> Decision {
        Decision::Allow(Permit::by_rule(Arc::clone(&self.decides.rule)))
    }

    fn vetoed(&self) -> Option<Reason> {
        match &self.vetoes?.answer {
            Answer::Deny(reason) => Some(reason.clone()),
            Answer::Allow | Answer::Requests(_) => None,
        }
    }
}

impl Entry {
    pub(super) fn explain(&self, request: Option<&Parts>, applied: bool) -> Match {
        let permissions = match &self.intention.effect {
            Effect::Requests(rules) => rules.explain(request),
            Effect::Allow | Effect::Deny | Effect::Refuse(_) => Vec::new(),
        };
        Match {
            rule: Rule::clone(&self.rule),
            effect: self.intention.effect.to_string(),
            applied,
            permissions,
        }
    }
}

impl From<Intention> for Entry {
    fn from(intention: Intention) -> Self {
        let rule = Arc::new(intention.to_rule());
        let deny =
            |code, text: String| Answer::Deny(Reason::new(code, text).with_rule(Arc::clone(&rule)));
        let answer = match &intention.effect {
            Effect::Allow => Answer::Allow,
            Effect::Deny => deny("intention", format!("the intention {rule} denies it")),
            Effect::Requests(rules) => Answer::Requests(Box::new(Requests::new(&rule, rules))),
            Effect::Refuse(fault) => deny(
                Fault::CODE,
                format!("the intention {rule} cannot be carried out: {fault}"),
            ),
        };
        Self {
            rule,
            intention,
            answer,
        }
    }
}

fn examine(intention: &Intention) -> Vec<Finding> {
    let finding = |denies, text| Finding {
        rule: intention.to_rule(),
        denies,
        text,
    };
    let mut findings = Vec::new();
    if let Effect::Refuse(fault) = &intention.effect {
        findings.push(finding(true, fault.to_string()));
    }
    if !intention.unknown_keys.is_empty() {
        let keys = intention.unknown_keys.join("`, `");
        findings.push(finding(
            false,
            format!("it has keys this version does not know: `{keys}`"),
        ));
    }
    match &intention.source {
        Source::Local {
            name: Pattern::Exact(name),
            ..
        }
        | Source::ClusterPeer {
            name: Pattern::Exact(name),
            ..
        } if ServiceName::try_from(&**name).is_err() => {
            findings.push(finding(
                false,
                "its source is not a name a service can have, so it matches nobody".to_owned(),
            ));
        }
        Source::Local { .. } | Source::ClusterPeer { .. } | Source::Unreadable => {}
    }
    findings
}
