//! What was counted.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::sets::Kind;

#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) kinds: BTreeMap<Kind, Count>,
    /// How often each named difference was seen.
    pub(crate) named: BTreeMap<&'static str, u64>,
    /// Whatever must not be.
    pub(crate) unexplained: Vec<String>,
    /// The slowest that Envoy and that we were in following a set.
    pub(crate) slowest: [Duration; 2],
}

/// Allowed and denied are Envoy's verdicts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) sets: u64,
    pub(crate) requests: u64,
    pub(crate) http2: u64,
    pub(crate) allowed: u64,
    pub(crate) denied: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        for (kind, count) in other.kinds {
            self.kinds.entry(kind).or_default().add(count);
        }
        for (name, count) in other.named {
            *self.named.entry(name).or_default() += count;
        }
        self.unexplained.extend(other.unexplained);
        for (slowest, time) in self.slowest.iter_mut().zip(other.slowest) {
            *slowest = time.max(*slowest);
        }
    }

    pub(crate) fn sum(&self) -> Count {
        let mut sum = Count::default();
        for count in self.kinds.values() {
            sum.add(*count);
        }
        sum
    }
}

impl Count {
    fn add(&mut self, other: Self) {
        self.sets += other.sets;
        self.requests += other.requests;
        self.http2 += other.http2;
        self.allowed += other.allowed;
        self.denied += other.denied;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = self
            .kinds
            .iter()
            .map(|(kind, count)| (format!("{kind:?}"), *count));
        for (kind, count) in kinds.chain([("sum".to_owned(), self.sum())]) {
            let Count {
                sets,
                requests,
                http2,
                allowed,
                denied,
            } = count;
            writeln!(
                f,
                "  {kind:16} {sets:4} sets {requests:5} requests ({http2:4} h2) {allowed:5} allowed {denied:5} denied"
            )?;
        }
        for (name, count) in &self.named {
            writeln!(f, "  {count:5} differ: {name}")?;
        }
        let [envoy, ours] = self.slowest;
        write!(
            f,
            "  slowest to follow: Envoy {envoy:?}, ours {ours:?}; {} unexplained",
            self.unexplained.len()
        )
    }
}
