//! What the process has, and how fast it grows.

use std::{alloc::System, fmt, fs, time::Duration};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// The system's allocator, which counts what was asked of it.
#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What the process has at one moment.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) at: Duration,
    /// What was allocated and not freed: what a leak is in, whatever the allocator keeps for later.
    pub(crate) heap_kib: f64,
    /// What the kernel counts: with it what the allocator keeps, and what lies between.
    pub(crate) resident_kib: f64,
    pub(crate) tasks: f64,
    pub(crate) descriptors: f64,
}

impl Sample {
    pub(crate) const HEADER: &str = "       s     heap KiB resident KiB    tasks  descriptors";

    pub(crate) fn now(at: Duration) -> Self {
        let heap = HEAP.stats();
        let grown = heap.bytes_allocated as f64 - heap.bytes_deallocated as f64;
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| {
            let value = line.strip_prefix("VmRSS:")?;
            value.trim().trim_end_matches(" kB").parse().ok()
        });
        let metrics = tokio::runtime::Handle::current().metrics();
        Self {
            at,
            heap_kib: grown / 1024.0,
            resident_kib: resident.unwrap_or(f64::NAN),
            tasks: metrics.num_alive_tasks() as f64,
            descriptors: fs::read_dir("/proc/self/fd").map_or(0, Iterator::count) as f64,
        }
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>8} {:>12.1} {:>12} {:>8} {:>12}",
            self.at.as_secs(),
            self.heap_kib,
            self.resident_kib,
            self.tasks,
            self.descriptors
        )
    }
}

/// Least squares over `samples`: by how much `what` grows an hour.
pub(crate) fn an_hour(samples: &[Sample], what: impl Fn(&Sample) -> f64) -> f64 {
    let hours = |sample: &Sample| sample.at.as_secs_f64() / 3600.0;
    let count = samples.len() as f64;
    let mean_x = samples.iter().map(hours).sum::<f64>() / count;
    let mean_y = samples.iter().map(&what).sum::<f64>() / count;
    let covariance = |s: &Sample| (hours(s) - mean_x) * (what(s) - mean_y);
    let variance = |s: &Sample| (hours(s) - mean_x).powi(2);
    samples.iter().map(covariance).sum::<f64>() / samples.iter().map(variance).sum::<f64>()
}
