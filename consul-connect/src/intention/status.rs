use std::{fmt, time::Duration};

use super::{Finding, ResolvedDefault};
use crate::{ServiceName, jwt::JwtProviderStatus};

/// What is in force for one destination, how old it is, and what is wrong with it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IntentionsStatus {
    /// The destination.
    pub service: ServiceName,
    /// How many times something changed that decides.
    pub generation: u64,
    /// Whether Consul has ever answered. Until then everybody is denied.
    pub received: bool,
    /// How long ago Consul was last known to agree with the set in force: zero while requests succeed, because a change
    /// would be told at once. `None` before the first answer.
    pub age: Option<Duration>,
    /// Whether nothing is enforced, see [`IntentionsConfig::dangerously_shadow`](super::IntentionsConfig).
    pub shadow: bool,
    /// Whether everybody is denied because of that age.
    pub stale: bool,
    /// For how long every request has failed, if the last one did.
    pub failing_for: Option<Duration>,
    /// What the last request failed with, if it did.
    pub last_error: Option<consul_api::Error>,
    /// The default policy in force, and why.
    pub default: ResolvedDefault,
    /// How many intentions there are.
    pub count: usize,
    /// The providers of tokens that intentions name.
    pub token_providers: Vec<JwtProviderStatus>,
    /// Intentions that deny because they cannot be carried out, and other things their authors should know.
    pub findings: Vec<Finding>,
}

impl fmt::Display for IntentionsStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} intentions of {}, default {}",
            self.count, self.service, self.default
        )?;
        if self.shadow {
            f.write_str("; SHADOW MODE, nothing is enforced")?;
        }
        if !self.received {
            f.write_str("; none received yet, everybody is denied")?;
        }
        if self.stale {
            f.write_str("; TOO OLD, everybody is denied")?;
        }
        if let Some(for_) = self.failing_for {
            write!(f, "; Consul has not answered for {} s", for_.as_secs())?;
        }
        if let Some(error) = &self.last_error {
            write!(f, ": {error}")?;
        }
        for provider in &self.token_providers {
            write!(f, "\n  {provider}")?;
        }
        for Finding { rule, denies, text } in &self.findings {
            let outcome = if *denies { "DENIES" } else { "note" };
            write!(f, "\n  {outcome}: {rule}: {text}")?;
        }
        Ok(())
    }
}
