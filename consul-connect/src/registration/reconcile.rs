//! What to do next: a pure function of what is wanted and what is known.

use std::time::Duration;

use consul_api::health::Status;
use tokio::time::Instant;

use super::HealthState;
use crate::time::after;

/// How often a registration that seems in place is sent again. The agent keeps the token a service was registered with and
/// syncs the catalog with it; sending it again puts today's token in the place of one that was rotated away.
pub(super) const REFRESH: Duration = Duration::from_secs(600);
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
/// The longest pause while leaving, for which there are seconds.
const LEAVING_BACKOFF: Duration = Duration::from_millis(500);

/// Whether the instance is to be in the catalog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Presence {
    #[default]
    Present,
    Absent,
}

/// What a check says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) status: Status,
    pub(super) output: String,
}

impl Report {
    /// One report of everything that must be well. The text changes only with the state.
    pub(super) fn new(application: &HealthState, leaf_expired: bool, draining: bool) -> Self {
        let (mut status, application) = match application {
            HealthState::Passing => (Status::Passing, "passing".to_owned()),
            HealthState::Warning(note) => (Status::Warning, format!("warning: {note}")),
            HealthState::Critical(note) => (Status::Critical, format!("critical: {note}")),
        };
        let certificate = if leaf_expired { "expired" } else { "valid" };
        if leaf_expired || draining {
            status = Status::Critical;
        }
        let draining = if draining { "draining; " } else { "" };
        Self {
            status,
            output: format!("{draining}application {application}; certificate {certificate}"),
        }
    }
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Desired {
    pub(super) presence: Presence,
    pub(super) report: Report,
}

/// What is known of the agent.
#[derive(Clone, Debug, Default)]
pub(super) struct Observed {
    /// When the agent took the registration; `None` if it has not or has lost it.
    pub(super) registered: Option<Instant>,
    /// What was reported to this registration last, and when.
    pub(super) reported: Option<(Report, Instant)>,
    /// Whether it is out of the catalog by our own wish.
    pub(super) deregistered: bool,
    /// Whether that wish has been tried to fulfil, in vain so far.
    pub(super) leaving: bool,
    pub(super) failures: u32,
    /// Nothing is tried before this.
    pub(super) retry_at: Option<Instant>,
    /// The agent was away: whether it still knows the instance is asked at once.
    pub(super) doubted: bool,
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Register,
    Report,
    Deregister,
    /// Nothing before this instant, unless what is wanted changes.
    Wait(Instant),
    /// Nothing ever again.
    Done,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// The agent does not know the instance.
    Unknown,
    Failed,
}

pub(super) fn next(
    desired: &Desired,
    observed: &Observed,
    now: Instant,
    interval: Duration,
) -> Action {
    if observed.deregistered {
        return Action::Done;
    }
    // The process is about to end: a pause after a failure of something else would only use up its time.
    let leaves_now = desired.presence == Presence::Absent && !observed.leaving;
    if let Some(retry_at) = observed.retry_at.filter(|&at| at > now && !leaves_now) {
        return Action::Wait(retry_at);
    }
    if desired.presence == Presence::Absent {
        return Action::Deregister;
    }
    let Some(registered) = observed.registered else {
        return Action::Register;
    };
    match &observed.reported {
        Some((report, at)) if *report == desired.report && !observed.doubted => {
            let (report_at, refresh_at) = (after(*at, interval), after(registered, REFRESH));
            if refresh_at <= now {
                Action::Register
            } else if report_at <= now {
                Action::Report
            } else {
                Action::Wait(report_at.min(refresh_at))
            }
        }
        _ => Action::Report,
    }
}

impl Observed {
    /// Enters how a step ended. `jitter` is uniform in `0..1`; `longest` caps the pause after a failure.
    pub(super) fn enter(
        &mut self,
        action: &Action,
        outcome: &Outcome,
        report: Report,
        now: Instant,
        jitter: f64,
        longest: Duration,
    ) {
        self.doubted = false;
        match (action, outcome) {
            (Action::Register, Outcome::Done) => {
                // A first registration says nothing of the check's text, so that a report follows; a refresh leaves it.
                if self.registered.replace(now).is_none() {
                    self.reported = None;
                }
                self.succeeded();
            }
            (Action::Report, Outcome::Done) => {
                self.reported = Some((report, now));
                self.succeeded();
            }
            (Action::Deregister, Outcome::Done | Outcome::Unknown) => {
                self.registered = None;
                self.deregistered = true;
                self.succeeded();
            }
            (Action::Report, Outcome::Unknown) => {
                self.registered = None;
                // Lost after it had been there: at once again. Lost as soon as it was taken: not in a tight loop.
                if self.reported.take().is_none() {
                    self.failed(now, jitter, longest);
                }
            }
            (Action::Deregister, Outcome::Failed) => {
                if !self.leaving {
                    self.leaving = true;
                    self.failures = 0;
                }
                self.failed(now, jitter, LEAVING_BACKOFF);
            }
            (Action::Register | Action::Report, _) => self.failed(now, jitter, longest),
            (Action::Wait(_) | Action::Done, _) => {}
        }
    }

    /// The agent answers again: no pause is of use any more, and it may have lost everything.
    pub(super) fn doubt(&mut self) {
        self.retry_at = None;
        self.doubted = true;
    }

    fn succeeded(&mut self) {
        self.failures = 0;
        self.retry_at = None;
    }

    fn failed(&mut self, now: Instant, jitter: f64, longest: Duration) {
        self.failures = self.failures.saturating_add(1);
        let ceiling = FIRST_BACKOFF
            .saturating_mul(1 << (self.failures - 1).min(16))
            .min(longest);
        let pause = ceiling.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0));
        self.retry_at = Some(after(now, pause));
    }
}

#[cfg(test)]
mod tests;
