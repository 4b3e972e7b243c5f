//! What became of the requests.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::Histogram;

/// What became of every request: `started` is `ok` and the failures and what is in flight.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// How many were sent.
    pub started: u64,
    /// How many succeeded.
    pub ok: u64,
    /// The others, by class.
    pub failures: BTreeMap<String, Failures>,
    /// How long those that succeeded took.
    pub latencies: Histogram,
    /// How long the load has run.
    pub elapsed: Duration,
}

/// The failures of one class.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Failures {
    /// How many.
    pub count: u64,
    /// When the first one was known, from the start of the load.
    pub first: Duration,
    /// When the last one was known, from the start of the load.
    pub last: Duration,
}

impl Failures {
    pub(super) fn one(at: Duration) -> Self {
        Self {
            count: 1,
            first: at,
            last: at,
        }
    }

    pub(super) fn add(&mut self, others: &Self) {
        self.count += others.count;
        self.first = self.first.min(others.first);
        self.last = self.last.max(others.last);
    }
}

impl Report {
    /// How many failed, of all classes.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failures.values().map(|failures| failures.count).sum()
    }

    /// How many failed with exactly this class.
    #[must_use]
    pub fn failed_as(&self, class: &str) -> u64 {
        self.failures
            .get(class)
            .map_or(0, |failures| failures.count)
    }

    /// How many have an outcome.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.ok + self.failed()
    }

    /// How many have none: they are under way, or were dropped at the end.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.started.saturating_sub(self.done())
    }

    /// Successes a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        match self.elapsed.as_secs_f64() {
            0.0 => 0.0,
            seconds => self.ok as f64 / seconds,
        }
    }

    /// This share of the successful requests (`0.99`) took no longer, to within one percent.
    #[must_use]
    pub fn latency(&self, share: f64) -> Duration {
        self.latencies.at(share)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} started in {:.3?}: {} ok ({:.0}/s), {} failed, {} in flight; latency p50 {:.3?}, p99 {:.3?}, p99.9 {:.3?}, max {:.3?}",
            self.started,
            self.elapsed,
            self.ok,
            self.rate(),
            self.failed(),
            self.in_flight(),
            self.latency(0.5),
            self.latency(0.99),
            self.latency(0.999),
            self.latencies.max(),
        )?;
        for (class, Failures { count, first, last }) in &self.failures {
            write!(
                f,
                "\n  {count} failed from {first:.3?} to {last:.3?}: {class}"
            )?;
        }
        Ok(())
    }
}
