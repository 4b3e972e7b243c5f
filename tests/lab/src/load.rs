//! Sends requests, whatever they are, and counts what became of every one of them.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use mesh_lab::load::Load;
//!
//! let report = Load::new(8)
//!     .requests(1000)
//!     .run(async |n| if n == 500 { Err("every so often") } else { Ok(()) })
//!     .await;
//! assert_eq!((report.ok, report.failed()), (999, 1));
//! println!("{report}");
//! # }
//! ```

mod histogram;
mod report;
mod worker;

use std::{
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

pub use histogram::Histogram;
pub use report::{Failures, Report};

use self::worker::{Tally, Worker};

/// What is to be sent: how many at a time, how fast, how many in all.
#[derive(Clone, Copy, Debug)]
#[must_use = "nothing is sent before `run` or `start`"]
pub struct Load {
    workers: usize,
    rate: Option<f64>,
    requests: Option<u64>,
}

impl Load {
    /// At most this many requests at a time, each sent when the one before it has been answered.
    pub fn new(workers: usize) -> Self {
        Self {
            workers,
            rate: None,
            requests: None,
        }
    }

    /// Sends this many requests a second, evenly, instead of as many as are answered. A request's latency is then counted from the
    /// moment it was due, not from the moment a worker had time for it: else a stall would count as one slow request.
    pub fn rate(mut self, per_second: f64) -> Self {
        self.rate = Some(per_second);
        self
    }

    /// Ends after this many requests; otherwise it goes on until [`Running::stop`].
    pub fn requests(mut self, count: u64) -> Self {
        self.requests = Some(count);
        self
    }

    /// Starts it. `request` is called with the number of each request, from 0; its error is the class under which a failure is counted,
    /// so it should be short and without addresses or times in it. A panic is counted as a failure of the class `panicked`.
    pub fn start<F, R, E>(self, request: F) -> Running
    where
        F: Fn(u64) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        let plan = Arc::new(Plan {
            began: Instant::now(),
            rate: self.rate,
            requests: self.requests.unwrap_or(u64::MAX),
            next: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            stop: tokio::sync::Notify::new(),
        });
        let request = Arc::new(request);
        let mut tasks = JoinSet::new();
        let mut tallies = Vec::new();
        for _ in 0..self.workers {
            let tally = Arc::new(Tally::default());
            tallies.push(Arc::clone(&tally));
            let worker = Worker {
                plan: Arc::clone(&plan),
                tally,
            };
            let request = Arc::clone(&request);
            tasks.spawn(async move { worker.run(&*request).await });
        }
        Running {
            plan,
            tallies,
            tasks,
        }
    }

    /// Starts it and waits for its end, which there is only with [`requests`](Self::requests).
    ///
    /// # Cancel safety
    /// Dropping the future drops the requests under way.
    pub async fn run<F, R, E>(self, request: F) -> Report
    where
        F: Fn(u64) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        self.start(request).finish().await
    }
}

/// What the workers share.
#[derive(Debug)]
struct Plan {
    began: Instant,
    rate: Option<f64>,
    requests: u64,
    next: AtomicU64,
    stopped: AtomicBool,
    stop: tokio::sync::Notify,
}

impl Plan {
    /// The number of the next request, and when it is due; `None` when there are no more.
    fn take(&self) -> Option<(u64, Option<Instant>)> {
        if self.stopped.load(Ordering::Acquire) {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.requests {
            return None;
        }
        let due = self.rate.map(|rate| {
            let after = Duration::try_from_secs_f64(number as f64 / rate);
            self.began + after.unwrap_or(Duration::MAX / 4)
        });
        Some((number, due))
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.stop.notify_waiters();
    }

    async fn stopped(&self) {
        let stopped = self.stop.notified();
        tokio::pin!(stopped);
        // From here on a notification is not missed.
        stopped.as_mut().enable();
        if !self.stopped.load(Ordering::Acquire) {
            stopped.await;
        }
    }
}

/// Requests being sent. Dropping it drops them.
#[derive(Debug)]
#[must_use = "dropped, it sends nothing"]
pub struct Running {
    plan: Arc<Plan>,
    tallies: Vec<Arc<Tally>>,
    tasks: JoinSet<()>,
}

impl Running {
    /// What has become of the requests so far.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut report = Report {
            elapsed: self.plan.began.elapsed(),
            ..Report::default()
        };
        for tally in &self.tallies {
            tally.add_to(&mut report);
        }
        report
    }

    /// Waits until at least this many requests have been answered or have failed since the start, or no more are sent.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn until_done(&self, count: u64) {
        // Nothing is woken for every request: that would be part of what is measured.
        loop {
            let report = self.report();
            let no_more = self.plan.next.load(Ordering::Relaxed) >= self.plan.requests
                && report.in_flight() == 0;
            if report.done() >= count || no_more {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until every request that was asked for is done.
    ///
    /// # Cancel safety
    /// Dropping the future drops the requests under way.
    pub async fn finish(mut self) -> Report {
        while self.tasks.join_next().await.is_some() {}
        self.report()
    }

    /// Sends no more, and waits this long for those under way; what is left then is dropped and counted as in flight.
    ///
    /// # Cancel safety
    /// Dropping the future drops the requests under way.
    pub async fn stop(mut self, patience: Duration) -> Report {
        self.plan.stop();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(patience, all).await.is_err() {
            self.tasks.shutdown().await;
        }
        self.report()
    }
}
