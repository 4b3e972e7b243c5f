//! How often each latency was seen, in buckets that grow with it.

use std::{fmt, time::Duration};

/// The buckets between a number and its double: a bucket is within one in 128 of what is in it.
const STEPS: usize = 128;

/// Latencies from nanoseconds to centuries; each is known to within one percent.
#[derive(Clone, Default)]
pub struct Histogram {
    /// None before the first is counted, then all: what is measured beside it would grow with a longest one, long after.
    buckets: Vec<u64>,
    count: u64,
    max: Duration,
}

impl Histogram {
    /// Counts one.
    pub fn record(&mut self, latency: Duration) {
        let bucket = bucket(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        self.make_room();
        self.buckets[bucket] += 1;
        self.count += 1;
        self.max = self.max.max(latency);
    }

    /// Counts what another one has counted.
    pub fn add(&mut self, other: &Self) {
        self.make_room();
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    fn make_room(&mut self) {
        if self.buckets.is_empty() {
            self.buckets = vec![0; bucket(u64::MAX) + 1];
        }
    }

    /// How many it has counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest, exactly.
    #[must_use]
    pub fn max(&self) -> Duration {
        self.max
    }

    /// This share of them (`0.99`) took no longer, to within one percent; zero when there are none.
    #[must_use]
    pub fn at(&self, share: f64) -> Duration {
        let wanted = (self.count as f64 * share.clamp(0.0, 1.0)).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(upper(bucket)).min(self.max);
            }
        }
        self.max
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count)
            .field("p50", &self.at(0.5))
            .field("p99", &self.at(0.99))
            .field("max", &self.max)
            .finish()
    }
}

/// The first `2 * STEPS` numbers have a bucket each; from there on every doubling has `STEPS` buckets.
fn bucket(nanos: u64) -> usize {
    let steps = STEPS as u64;
    let doublings = (nanos / (2 * steps))
        .checked_ilog2()
        .map_or(0, |log| log + 1);
    (doublings as usize) * STEPS + (nanos >> doublings) as usize
}

/// The largest number in a bucket.
fn upper(bucket: usize) -> u64 {
    let doublings = (bucket / STEPS).saturating_sub(1);
    let first = (bucket - doublings * STEPS) as u64;
    ((first + 1) << doublings).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_in_a_bucket_that_ends_within_a_hundredth_above_it() {
        let mut numbers: Vec<u64> = (0..5000).collect();
        numbers.extend((0..64).flat_map(|bit| {
            let power = 1_u64 << bit;
            [power - 1, power, power + power / 3, power + (power - 1)]
        }));
        numbers.sort_unstable();
        let mut before = 0;
        for number in numbers {
            let bucket = bucket(number);
            assert!(bucket >= before, "{number}");
            before = bucket;
            let upper = upper(bucket);
            assert!(upper >= number, "{number} is in {bucket}, up to {upper}");
            assert!(upper - number <= number / 100, "{number}: {upper}");
            assert!(bucket == 0 || super::upper(bucket - 1) < number, "{number}");
        }
    }

    #[test]
    fn shares_are_those_of_what_was_counted() {
        let mut one = Histogram::default();
        let mut other = Histogram::default();
        for millis in 1..=1000 {
            let histogram = if millis % 2 == 0 {
                &mut one
            } else {
                &mut other
            };
            histogram.record(Duration::from_millis(millis));
        }
        one.add(&other);
        assert_eq!(one.count(), 1000);
        for (share, millis) in [(0.001, 1), (0.5, 500), (0.99, 990), (1.0, 1000)] {
            let found = one.at(share).as_secs_f64() * 1000.0;
            let wanted = f64::from(millis);
            assert!((found - wanted).abs() <= wanted / 100.0, "{share}: {found}");
        }
        assert_eq!(one.max(), Duration::from_secs(1));
        assert_eq!(Histogram::default().at(0.5), Duration::ZERO);
    }
}
