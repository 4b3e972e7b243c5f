//! The compiled set: built once per change, asked for every connection and request.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use consul_api::intention as wire;

use super::rule::{Effect, Intention};
use super::source_match::{Pattern, Source};
use crate::{Decision, Permit, Reason, Rule, ServiceId, ServiceName};

/// The intentions of one destination, ordered and indexed. A value without time or connection.
///
/// [`decide`](Self::decide) takes one hash of the caller's name, whatever the number of intentions, and allocates nothing.
#[derive(Clone, Debug)]
pub struct Compiled {
    entries: Box<[Entry]>,
    /// For each exact source name the entries about it, best first.
    by_name: HashMap<Box<str>, Vec<usize>>,
    /// The entries about any name, best first.
    any_name: Vec<usize>,
    findings: Vec<Finding>,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) rule: Arc<Rule>,
    pub(super) intention: Intention,
    /// Why it denies; `None` if it allows. Made here so that a decision only counts references.
    denial: Option<Reason>,
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
    /// Compiles the intentions of the service `service` in the default namespace.
    ///
    /// It cannot fail: an intention that cannot be carried out denies the callers it matches and is listed in
    /// [`findings`](Self::findings). The order of the list means nothing.
    pub fn new(service: &ServiceName, intentions: &[wire::Intention]) -> Self {
        Self::in_namespace("default", service, intentions)
    }

    /// The same for a service in another namespace of Consul Enterprise.
    pub fn in_namespace(
        namespace: &str,
        service: &ServiceName,
        intentions: &[wire::Intention],
    ) -> Self {
        let mut findings = Vec::new();
        let mut sorted = Vec::with_capacity(intentions.len());
        for intention in intentions.iter().map(Intention::from) {
            findings.extend(examine(&intention));
            if intention.is_about(namespace, service.as_str()) {
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

        let mut by_name: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        let mut any_name = Vec::new();
        for (position, entry) in entries.iter().enumerate() {
            match &entry.intention.source {
                Source::Local {
                    name: Pattern::Exact(name),
                    ..
                } => {
                    by_name.entry(name.clone()).or_default().push(position);
                }
                Source::Local {
                    name: Pattern::Any, ..
                }
                | Source::Unreadable => any_name.push(position),
                Source::ClusterPeer { .. } => {}
            }
        }
        Self {
            entries,
            by_name,
            any_name,
            findings,
        }
    }

    /// What the intentions say about this caller; `None` if none of them matches, so that the default decides.
    ///
    /// The trust domain is not looked at: that is the business of whoever knows which one is ours.
    pub fn decide(&self, caller: &ServiceId) -> Option<Decision> {
        self.find(caller).map(Entry::decision)
    }

    fn find(&self, caller: &ServiceId) -> Option<&Entry> {
        let named = self
            .by_name
            .get(caller.service().as_str())
            .and_then(|named| self.first(named, caller));
        let any = self.first(&self.any_name, caller);
        let best = match (named, any) {
            (Some(named), Some(any)) => named.min(any),
            (named, any) => named.or(any)?,
        };
        self.entries.get(best)
    }

    fn first(&self, positions: &[usize], caller: &ServiceId) -> Option<usize> {
        positions
            .iter()
            .copied()
            .find(|&position| self.entries[position].intention.source.matches(caller))
    }

    /// Every entry whose source matches, the one that decides first.
    pub(super) fn matching(&self, caller: &ServiceId) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(|entry| entry.intention.source.matches(caller))
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

impl Entry {
    pub(super) fn decision(&self) -> Decision {
        match &self.denial {
            None => Decision::Allow(Permit::by_rule(Arc::clone(&self.rule))),
            Some(reason) => Decision::Deny(reason.clone()),
        }
    }
}

impl From<Intention> for Entry {
    fn from(intention: Intention) -> Self {
        let rule = Arc::new(intention.to_rule());
        let denial = match &intention.effect {
            Effect::Allow => None,
            Effect::Deny => Some(Reason::new(
                "intention",
                format!("the intention {rule} denies it"),
            )),
            Effect::Refuse(fault) => Some(Reason::new(
                fault.code(),
                format!("the intention {rule} cannot be carried out: {fault}"),
            )),
        };
        let denial = denial.map(|reason| reason.with_rule(Arc::clone(&rule)));
        Self {
            rule,
            intention,
            denial,
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
        Source::ClusterPeer { peer, .. } => {
            findings.push(finding(
                false,
                format!("it is about the cluster peer `{peer}`, from where nobody can call"),
            ));
        }
        Source::Local {
            name: Pattern::Exact(name),
            ..
        } if ServiceName::try_from(&**name).is_err() => {
            findings.push(finding(
                false,
                "its source is not a name a service can have, so it matches nobody".to_owned(),
            ));
        }
        Source::Local { .. } | Source::Unreadable => {}
    }
    findings
}
