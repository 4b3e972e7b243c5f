//! Sampling, and what is printed of it.

use std::time::{Duration, Instant};

/// Now, for measuring only.
#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures the real clock"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Durations of one contestant.
pub(crate) struct Samples {
    name: &'static str,
    all: Vec<Duration>,
}

impl Samples {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            all: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, sample: Duration) {
        self.all.push(sample);
    }

    fn quantile(&self, q: usize) -> Duration {
        let mut sorted = self.all.clone();
        sorted.sort_unstable();
        sorted
            .get((sorted.len() * q / 100).min(sorted.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    }

    /// One row: median, 99th percentile, and the median against the control's.
    pub(crate) fn print(&self, control: &Self) {
        let (p50, p99) = (self.quantile(50), self.quantile(99));
        let ratio = p50.as_secs_f64() / control.quantile(50).as_secs_f64();
        println!(
            "{:<44} {:>10.1} µs {:>10.1} µs {ratio:>8.2} ×",
            self.name,
            micros(p50),
            micros(p99)
        );
    }
}

fn micros(d: Duration) -> f64 {
    d.as_secs_f64() * 1e6
}
