//! One request after the other.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::FutureExt as _;
use tokio::time::{Instant, sleep_until};

use super::{Failures, Histogram, Plan, Report};

/// What one worker has seen; nobody else writes to it.
#[derive(Debug, Default)]
pub(super) struct Tally {
    started: AtomicU64,
    done: Mutex<Done>,
}

#[derive(Debug, Default)]
struct Done {
    ok: u64,
    latencies: Histogram,
    failures: BTreeMap<String, Failures>,
}

impl Tally {
    pub(super) fn add_to(&self, report: &mut Report) {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at after the lock is held: whatever is done has been counted as started.
        report.started += self.started.load(Ordering::Acquire);
        report.ok += done.ok;
        report.latencies.add(&done.latencies);
        for (class, failures) in &done.failures {
            let all = report.failures.entry(class.clone());
            all.and_modify(|all| all.add(failures))
                .or_insert_with(|| failures.clone());
        }
    }
}

pub(super) struct Worker {
    pub(super) plan: Arc<Plan>,
    pub(super) tally: Arc<Tally>,
}

impl Worker {
    pub(super) async fn run<F, R, E>(self, request: &F)
    where
        F: Fn(u64) -> R,
        R: Future<Output = Result<(), E>>,
        E: fmt::Display,
    {
        let Self { plan, tally } = self;
        while let Some((number, due)) = plan.take() {
            if let Some(due) = due {
                tokio::select! {
                    () = sleep_until(due) => {}
                    () = plan.stopped() => return,
                }
            }
            tally.started.fetch_add(1, Ordering::Release);
            let began = due.unwrap_or_else(Instant::now);
            // The request's own state is dropped with it; what it shares with others is what a test of panics looks at.
            let call = AssertUnwindSafe(async { request(number).await });
            let fate = call.catch_unwind().await;
            let took = began.elapsed();
            let mut done = tally.done.lock().unwrap_or_else(PoisonError::into_inner);
            match fate {
                Ok(Ok(())) => {
                    done.ok += 1;
                    done.latencies.record(took);
                }
                Ok(Err(error)) => done.fail(&plan, error.to_string()),
                Err(_panic) => done.fail(&plan, "panicked".to_owned()),
            }
        }
    }
}

impl Done {
    fn fail(&mut self, plan: &Plan, class: String) {
        let now = plan.began.elapsed();
        let failures = Failures::one(now);
        self.failures
            .entry(class)
            .and_modify(|all| all.add(&failures))
            .or_insert(failures);
    }
}
