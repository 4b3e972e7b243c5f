//! What would happen to a caller, and why: the same code that decides, with its steps kept.

use std::{fmt, time::Duration};

use crate::{Decision, Rule, ServiceId};

/// The answer about one caller with everything that led to it. `Display` prints it as text for people.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The caller asked about.
    pub caller: ServiceId,
    /// The destination, a service name.
    pub destination: String,
    /// What happens.
    pub decision: Decision,
    /// Why, as one sentence.
    pub because: String,
    /// Every intention whose source matches the caller, in order. The first one decides if [`applied`](Match::applied).
    pub matches: Vec<Match>,
    /// The default policy in force and where it comes from.
    pub default: String,
    /// How long ago Consul was last known to agree with these intentions; `None` before the first answer.
    pub age: Option<Duration>,
}

/// One intention that matches the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Match {
    /// The intention.
    pub rule: Rule,
    /// What it says.
    pub effect: String,
    /// Whether it is the one that decided.
    pub applied: bool,
}

impl Match {
    pub(super) fn new(rule: Rule, effect: String, applied: bool) -> Self {
        Self {
            rule,
            effect,
            applied,
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = if self.decision.is_allow() {
            "allowed"
        } else {
            "denied"
        };
        writeln!(f, "{} -> {}: {outcome}", self.caller, self.destination)?;
        writeln!(f, "  because {}", self.because)?;
        for Match {
            rule,
            effect,
            applied,
        } in &self.matches
        {
            let mark = if *applied {
                "decides"
            } else {
                "matches, lower"
            };
            writeln!(f, "  {mark}: {rule}: {effect}")?;
        }
        writeln!(f, "  default: {}", self.default)?;
        match self.age {
            Some(age) => write!(f, "  intentions confirmed {} s ago", age.as_secs()),
            None => f.write_str("  no intentions received"),
        }
    }
}
