//! What an endpoint costs now: its latency, and how much it has to do.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// In how long an old latency counts half. Long enough to remember a slow endpoint across a burst,
/// short enough to try it again soon.
const HALF_LIFE: Duration = Duration::from_secs(3);

/// What a failed exchange counts as: three orders above a usual answer, so that ten half-lives pass
/// until the endpoint looks like the others again.
const PENALTY: Duration = Duration::from_secs(1);

/// Latencies below it are the same. It also is what an endpoint costs that has not answered yet:
/// new ones are tried at once, and a few requests in flight make them dearer than a proven one.
const FLOOR: Duration = Duration::from_micros(100);

/// The load of one endpoint: requests in flight, and the peak-sensitive moving average of its
/// latency. An answer slower than the average replaces it; faster ones wear it down.
#[derive(Debug)]
pub(crate) struct Load {
    in_flight: AtomicU32,
    /// Nanoseconds, an `f64`'s bits.
    average: AtomicU64,
    /// When the average was taken, in nanoseconds since `epoch`.
    taken: AtomicU64,
    epoch: Instant,
}

impl Load {
    pub(crate) fn new() -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            average: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            epoch: Instant::now(),
        }
    }

    pub(crate) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// An answer that took this long.
    ///
    /// Two threads may overwrite each other's sample: the next one mends that, and a lock would
    /// cost more than it is worth.
    pub(crate) fn answered(&self, now: Instant, latency: Duration) {
        let (latency, now) = (nanos(latency) as f64, self.nanos(now));
        let (average, age) = self.average(now);
        let average = if latency >= average {
            latency
        } else {
            let old = decay(age);
            average * old + latency * (1.0 - old)
        };
        self.average.store(average.to_bits(), Ordering::Relaxed);
        self.taken.store(now, Ordering::Relaxed);
    }

    /// A request that is given up after this long: it says something only if it was slow.
    pub(crate) fn abandoned(&self, now: Instant, after: Duration) {
        if nanos(after) as f64 > self.average(self.nanos(now)).0 {
            self.answered(now, after);
        }
    }

    pub(crate) fn failed(&self, now: Instant) {
        self.abandoned(now, PENALTY);
    }

    /// Expected wait for one more request. `relative_weight` is the endpoint's weight over the mean
    /// of its snapshot: twice the weight carries twice the requests at the same cost.
    pub(crate) fn cost(&self, now: Instant, relative_weight: f64) -> f64 {
        let (average, age) = self.average(self.nanos(now));
        let latency = (average * decay(age)).max(FLOOR.as_nanos() as f64);
        latency * (1.0 + f64::from(self.in_flight()) / relative_weight)
    }

    /// The average as it was taken, and how long ago that was in nanoseconds.
    fn average(&self, now: u64) -> (f64, u64) {
        let age = now.saturating_sub(self.taken.load(Ordering::Relaxed));
        (f64::from_bits(self.average.load(Ordering::Relaxed)), age)
    }

    fn nanos(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.epoch))
    }
}

/// Enough for five centuries, and cheaper as an `f64` than all 128 bits.
fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

/// Two to the power of minus the age in half-lives.
fn decay(age: u64) -> f64 {
    let half_lives = age as f64 / HALF_LIFE.as_nanos() as f64;
    if half_lives < 0.01 {
        // The first three terms of the series, a third of a millionth off at most: most answers are
        // this close to the one before.
        let x = half_lives * std::f64::consts::LN_2;
        return 1.0 - x + x * x / 2.0;
    }
    (-half_lives).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_of_any_length_decays_by_the_half_life() {
        let half_life = HALF_LIFE.as_nanos() as f64;
        for half_lives in [0.0, 1e-9, 0.001, 0.009_999, 0.010_001, 0.5, 1.0, 10.0] {
            let exact = f64::exp2(-half_lives);
            let seen = decay((half_lives * half_life) as u64);
            assert!((seen - exact).abs() < 1e-6, "{half_lives}: {seen}, {exact}");
        }
    }
}
