//! What would happen to a caller, and why: the same code that decides, with its steps kept.

use std::{fmt, time::Duration};

use crate::{Rule, ServiceId, Verdict};

/// The answer about one caller with everything that led to it. `Display` prints it as text for people.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The caller asked about.
    pub caller: ServiceId,
    /// The destination, a service name.
    pub destination: String,
    /// The request asked about, as `GET /path`; `None` if only a connection was.
    pub request: Option<String>,
    /// What happens.
    pub verdict: Verdict,
    /// Why, as one sentence.
    pub because: String,
    /// Every intention whose source matches the caller, in the order of their precedence. The one that decided, if one did, is
    /// [`applied`](Match::applied).
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
    /// Its permissions, in order.
    pub permissions: Vec<PermissionMatch>,
}

/// One permission of an intention that matches the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PermissionMatch {
    /// What it says: `allow` or `deny`, and which requests.
    pub text: String,
    /// Whether its HTTP part matches the request; `None` if only a connection was asked about. The first that matches
    /// decides.
    pub matches: Option<bool>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.caller, self.destination)?;
        if let Some(request) = &self.request {
            write!(f, " {request}")?;
        }
        let outcome = match self.verdict {
            Verdict::Allow(_) => "allowed",
            Verdict::Deny(_) => "denied",
            Verdict::PerRequest => "depends on the request",
        };
        writeln!(f, ": {outcome}")?;
        writeln!(f, "  because {}", self.because)?;
        let applied = self.matches.iter().position(|found| found.applied);
        for (position, found) in self.matches.iter().enumerate() {
            let mark = match applied {
                Some(applied) if position == applied => "decides",
                // A lower denial stands where the default allows.
                Some(applied) if position < applied => "matches, and does not stand against it",
                _ => "matches, lower",
            };
            writeln!(f, "  {mark}: {}: {}", found.rule, found.effect)?;
            for (at, permission) in found.permissions.iter().enumerate() {
                let matches = match permission.matches {
                    Some(true) => "matches",
                    Some(false) => "does not match",
                    None => "has",
                };
                writeln!(f, "    {matches}: {at}: {}", permission.text)?;
            }
        }
        writeln!(f, "  default: {}", self.default)?;
        match self.age {
            Some(age) => write!(f, "  intentions confirmed {} s ago", age.as_secs()),
            None => f.write_str("  no intentions received"),
        }
    }
}
