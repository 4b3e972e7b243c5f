//! The task: asks [`reconcile`](super::reconcile) what to do, does it, and enters what came of it.

use std::{sync::Arc, time::Duration};

use consul_api::{
    Client, Error,
    agent::{Check, ServiceConnect, ServiceRegistration},
    health::{Status, Weights},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    HealthState, RegistrationState, Shared,
    reconcile::{Action, Desired, Observed, Outcome, Presence, Report, next},
};
use crate::time::after;

/// How long to wait before the leaf's remaining validity is looked at again, at most: the wall clock may be set.
const LEAF_RECHECK: Duration = Duration::from_secs(60);
/// An unknown token may only not have been replicated yet; after so many failures it is taken for a refusal.
const UNKNOWN_TOKEN_PATIENCE: u32 = 4;

/// How long one attempt to deregister may take. There are several of them in the time there is.
const DEREGISTER_ATTEMPT: Duration = Duration::from_secs(2);
/// How much longer a registration that is on its way is waited for when the instance is wished away.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// What the handle wants.
#[derive(Clone, Debug, Default)]
pub(super) struct Wish {
    pub(super) presence: Presence,
    pub(super) draining: bool,
}

/// What the worker has come to.
#[derive(Debug, Default)]
pub(super) struct Progress {
    observed: Observed,
    /// Whether the last accepted report was one of a draining instance.
    drained: bool,
    last_error: Option<Error>,
}

impl Progress {
    pub(super) fn state(&self) -> RegistrationState {
        match self.observed {
            Observed {
                deregistered: true, ..
            } => RegistrationState::Deregistered,
            Observed {
                registered: Some(_),
                ..
            } => RegistrationState::Registered,
            Observed { .. } => RegistrationState::Pending,
        }
    }

    pub(super) fn is_drained(&self) -> bool {
        self.drained
    }

    pub(super) fn reported(&self) -> Option<(Status, String)> {
        let (report, _) = self.observed.reported.as_ref()?;
        Some((report.status.clone(), report.output.clone()))
    }

    pub(super) fn failures(&self) -> u32 {
        self.observed.failures
    }

    pub(super) fn last_error(&self) -> Option<Error> {
        self.last_error.clone()
    }

    /// The error of the last attempt, if trying again is not going to help.
    pub(super) fn refusal(&self) -> Option<Error> {
        let error = self.last_error.as_ref()?;
        let refused = error.is_permission_denied()
            || error.is_config()
            || error.status() == Some(http::StatusCode::BAD_REQUEST)
            || (error.is_unknown_token() && self.failures() >= UNKNOWN_TOKEN_PATIENCE);
        refused.then(|| error.clone())
    }
}

/// Keeps the instance as it is wished, until it is wished away and gone; the owner stops it by dropping the task.
pub(super) async fn run(client: Client, shared: Arc<Shared>, health: watch::Receiver<HealthState>) {
    let mut worker = Worker {
        wish: shared.wish.subscribe(),
        identity: shared
            .config
            .identity
            .as_ref()
            .map(crate::Identity::changes),
        agent: client.answers_again(),
        client,
        shared,
        health,
    };
    worker.run().await;
}

struct Worker {
    client: Client,
    shared: Arc<Shared>,
    wish: watch::Receiver<Wish>,
    health: watch::Receiver<HealthState>,
    identity: Option<watch::Receiver<u64>>,
    /// Changes when Consul answers where it did not.
    agent: watch::Receiver<u64>,
}

impl Worker {
    async fn run(&mut self) {
        let interval = self.shared.config.report_interval();
        loop {
            let (desired, draining) = self.desired();
            self.look_at_the_agent();
            let observed = self.shared.progress.borrow().observed.clone();
            let action = next(&desired, &observed, Instant::now(), interval);
            match action {
                Action::Done => return,
                Action::Wait(until) => self.wait(until).await,
                Action::Register | Action::Report | Action::Deregister => {
                    let result = self.perform_unless_leaving(&action, &desired.report).await;
                    if let Some(result) = result {
                        self.enter(&action, result, desired.report, draining, interval);
                    }
                }
            }
        }
    }

    fn desired(&mut self) -> (Desired, bool) {
        let wish = self.wish.borrow_and_update().clone();
        let application = self.health.borrow_and_update().clone();
        if let Some(identity) = &mut self.identity {
            identity.mark_unchanged();
        }
        let expired = self.leaf_remaining().is_some_and(|left| left.is_zero());
        let report = Report::new(&application, expired, wish.draining);
        (
            Desired {
                presence: wish.presence,
                report,
            },
            wish.draining,
        )
    }

    /// Several watches that recover together are one return of the agent.
    fn look_at_the_agent(&mut self) {
        if self.agent.has_changed().is_ok_and(|changed| changed) {
            self.agent.mark_unchanged();
            self.shared
                .progress
                .send_modify(|progress| progress.observed.doubt());
        }
    }

    /// How long our own leaf is still valid; zero once it has expired; `None` if the check is not tied to one.
    fn leaf_remaining(&self) -> Option<Duration> {
        let status = self.shared.config.identity.as_ref()?.status();
        Some(status.leaf_remaining.unwrap_or_default())
    }

    /// Waits for the instant, or for a change of what is wanted.
    async fn wait(&mut self, until: Instant) {
        let leaf_ends = match self.leaf_remaining() {
            // A second more, because validity is counted in whole ones.
            Some(left) if !left.is_zero() => left.saturating_add(Duration::from_secs(1)),
            _ => LEAF_RECHECK,
        };
        let until = until.min(after(Instant::now(), leaf_ends.min(LEAF_RECHECK)));
        tokio::select! {
            () = sleep_until(until) => {}
            () = changed(Some(&mut self.health)) => {}
            () = changed(self.identity.as_mut()) => {}
            () = changed_again(&mut self.agent) => {}
            () = changed(Some(&mut self.wish)) => {}
        }
    }

    /// `None` if the instance was wished away, which an agent that does not answer must not hold up.
    ///
    /// Each attempt to deregister has a limit of its own: a second one may reach an agent that left the first unanswered.
    async fn perform_unless_leaving(
        &self,
        action: &Action,
        report: &Report,
    ) -> Option<Result<(), Option<Error>>> {
        if *action == Action::Deregister {
            let attempt = timeout(DEREGISTER_ATTEMPT, self.perform(action, report)).await;
            return Some(attempt.map_or(Err(None), |result| result.map_err(Some)));
        }
        // A registration on its way may be about to be answered, and must not arrive after it was taken back.
        let last_answer = match action {
            Action::Register => LAST_ANSWER,
            _ => Duration::ZERO,
        };
        let leaving = async {
            let mut wish = self.wish.clone();
            while wish.borrow_and_update().presence != Presence::Absent {
                changed(Some(&mut wish)).await;
            }
            sleep(last_answer).await;
        };
        tokio::select! {
            result = self.perform(action, report) => Some(result.map_err(Some)),
            () = leaving => None,
        }
    }

    async fn perform(&self, action: &Action, report: &Report) -> Result<(), Error> {
        let agent = self.client.agent();
        let done = match action {
            Action::Register => {
                let registration = self.registration(&report.status);
                agent
                    .register_service(&registration)
                    .replace_existing_checks()
                    .await
            }
            Action::Report => {
                agent
                    .update_check(
                        self.check_id(),
                        report.status.clone(),
                        report.output.as_str(),
                    )
                    .await
            }
            Action::Deregister => agent.deregister_service(self.shared.id.as_str()).await,
            Action::Wait(_) | Action::Done => return Ok(()),
        };
        done.map(|_empty| ())
    }

    fn enter(
        &self,
        action: &Action,
        result: Result<(), Option<Error>>,
        report: Report,
        draining: bool,
        interval: Duration,
    ) {
        let outcome = match &result {
            Ok(()) => Outcome::Done,
            Err(Some(error)) if error.is_not_found() => Outcome::Unknown,
            Err(_) => Outcome::Failed,
        };
        let answered = !matches!(result, Err(None));
        let error = result.err().flatten();
        let id = &self.shared.id;
        match (action, &outcome) {
            (Action::Deregister, Outcome::Done) => tracing::info!(id, "instance deregistered"),
            (Action::Report, Outcome::Unknown) => {
                tracing::warn!(id, "the agent has lost this instance, registering it again");
            }
            _ => {}
        }
        self.shared.progress.send_modify(|progress| {
            let before = progress.state();
            let output = report.output.clone();
            progress.observed.enter(action, &outcome, report, Instant::now(), rand::random(), interval);
            if (action, &outcome) == (&Action::Report, &Outcome::Done) {
                progress.drained = draining;
                tracing::debug!(id, output, "health reported");
            }
            if before != progress.state() && progress.state() == RegistrationState::Registered {
                tracing::info!(id, service = %self.shared.config.service, "instance registered");
            }
            if let Some(error) = &error
                && progress.failures() == 1
            {
                tracing::warn!(id, %error, "the agent cannot be told about this instance, trying on");
            }
            if answered {
                progress.last_error = error.filter(|_| progress.observed.failures > 0);
            }
        });
    }

    fn check_id(&self) -> String {
        format!("{}:mesh", self.shared.id)
    }

    fn registration(&self, status: &Status) -> ServiceRegistration {
        let config = &self.shared.config;
        let mut check = Check::ttl(config.ttl);
        check.check_id = self.check_id();
        check.name = format!("{} is alive in the mesh", config.service);
        check.status = Some(status.clone());
        check.deregister_critical_service_after = config.deregister_after.into();
        let mut registration = ServiceRegistration::new(config.service.as_str());
        registration.id.clone_from(&self.shared.id);
        registration.port = config.port;
        registration.address = config.address.clone().unwrap_or_default();
        registration.tags.clone_from(&config.tags);
        registration.meta.clone_from(&config.meta);
        registration.weights = config.weights.map(|(passing, warning)| {
            let mut weights = Weights::default();
            weights.passing = passing.into();
            weights.warning = warning.into();
            weights
        });
        registration.connect = Some(ServiceConnect::native());
        registration.check = Some(check);
        registration
    }
}

/// Resolves at the next change and leaves it to be looked at.
async fn changed_again(receiver: &mut watch::Receiver<u64>) {
    changed(Some(receiver)).await;
    receiver.mark_changed();
}

/// Resolves at the next change; never if there is nothing that could change.
async fn changed<T>(receiver: Option<&mut watch::Receiver<T>>) {
    if let Some(receiver) = receiver
        && receiver.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}
