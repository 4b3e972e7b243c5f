//! The task behind a watch: it moves values between the pure parts and does nothing else.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, watch},
    time::{Instant, sleep, timeout},
};

use super::{
    backoff::{Backoff, Trouble},
    blocking::{Basis, Next, Outcome, Position, Reply, State, step},
    breaker::{self, Breaker, Pass},
    budget::{self, Budget, Slot},
    journal::{Answered, Journal},
    pace::Pace,
    published::Published,
};
use crate::{Error, Response};

/// One question to Consul, asked again and again. What tests put in the place of the network.
pub(crate) trait Ask: Send + 'static {
    /// What the answer holds.
    type Value: PartialEq + Send + Sync + 'static;

    /// What is read, for logs.
    fn path(&self) -> String;

    /// The longest the server may hold an answer back when nothing changes.
    fn wait(&self) -> Duration;

    /// What the endpoint's blocking goes by.
    fn basis(&self) -> Basis;

    /// Asks once. A blocking request is over, in whatever way, a little after `wait`.
    fn ask(
        &mut self,
        position: &Position,
        wait: Duration,
    ) -> impl Future<Output = Result<Response<Self::Value>, Error>> + Send;

    /// Resolves when the token is another one than the last request carried; never if it cannot change.
    fn token_changed(&mut self) -> impl Future<Output = ()> + Send;
}

/// What the watches of one client have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) budget: Budget,
    backoff: Backoff,
    limit: Breaker,
    reach: Breaker,
    /// Held by a watch whose connection broke while it asks again.
    retries: Mutex<()>,
    /// Counts the requests that succeeded where one had failed before, or none had been made.
    recoveries: watch::Sender<u64>,
    /// Counts the requests that succeeded where one had failed before.
    returns: watch::Sender<u64>,
}

impl Shared {
    pub(crate) fn new(budget: Budget, backoff: Backoff) -> Self {
        Self {
            budget,
            backoff,
            limit: Breaker::new(Trouble::Limited, backoff),
            reach: Breaker::new(Trouble::Unreachable, backoff),
            retries: Mutex::default(),
            recoveries: watch::Sender::new(0),
            returns: watch::Sender::new(0),
        }
    }

    /// Wakes who waits for the server to be back, if this answer says that it is.
    pub(crate) fn answered(&self, answered: Answered) {
        if answered != Answered::Still {
            self.recoveries.send_modify(|count| *count += 1);
        }
        if answered == Answered::Again {
            self.returns.send_modify(|count| *count += 1);
        }
    }

    /// Changes when the server answers where it had failed to.
    pub(crate) fn returns(&self) -> watch::Receiver<u64> {
        self.returns.subscribe()
    }

    /// Changes when the server is back.
    pub(crate) fn recoveries(&self) -> watch::Receiver<u64> {
        self.recoveries.subscribe()
    }
}

/// The opinions a request was sent under.
#[derive(Clone, Copy, Debug)]
struct Sent {
    limit: breaker::Changes,
    reach: breaker::Changes,
}

impl Shared {
    fn now(&self) -> Sent {
        Sent {
            limit: self.limit.now(),
            reach: self.reach.now(),
        }
    }

    /// Takes in what a request sent at `sent` says about the troubles that all have.
    fn heard<T>(&self, sent: Sent, reply: &Reply<T>, failure: Option<&Error>) {
        let trouble = failure.map(Trouble::of);
        match (trouble, failure) {
            (Some(Trouble::Unreachable), Some(error)) => self.reach.trip(sent.reach, error),
            (Some(Trouble::Limited), Some(error)) => self.limit.trip(sent.limit, error),
            _ => {}
        }
        // Whatever it says, it is there.
        if matches!(reply, Reply::Answer(_)) || failure.is_some_and(is_answer) {
            self.reach.reset(sent.reach);
        }
    }

    /// Waits in a trouble that all have, whose end one finds out. `None` if it is one of its own.
    async fn pass(&self, trouble: Trouble) -> Option<Pass> {
        match trouble {
            Trouble::Limited => Some(self.limit.pass().await),
            Trouble::Unreachable => Some(self.reach.pass().await),
            _ => None,
        }
    }
}

/// Keeps `published` current, for ever. The owner stops it by dropping the task.
pub(crate) async fn drive<A: Ask>(
    mut ask: A,
    shared: Arc<Shared>,
    published: Arc<watch::Sender<Published<A::Value>>>,
) {
    let born = Instant::now();
    let mut journal = Journal::new(ask.path());
    let mut recoveries = shared.recoveries();
    let mut pace = Pace::default();
    let mut state = State::new(ask.basis());
    let mut trouble = None;
    // Since when its polls have not been ended by ourselves.
    let mut undisturbed = born;
    let mut probes = false;
    let mut kept = None;
    let _present = shared.budget.enter();
    loop {
        pause(pace.take(born.elapsed())).await;
        let longest = budget::wait(undisturbed.elapsed(), ask.wait());
        let counted = || {
            published.send_if_modified(|published| {
                published.asked();
                false
            });
        };
        let probing = std::mem::take(&mut probes);
        // One by one: the first finds out for all whether there is still an agent.
        let turn = match &kept {
            Some(_) => timeout(RETRY_TURN, shared.retries.lock()).await.ok(),
            None => None,
        };
        let slot = match kept.take() {
            Some(slot) => slot,
            None => shared.budget.slot(state.position.blocks()).await,
        };
        let question = (&state.position, longest, probing);
        let (sent, reply, failure, slot) =
            request(&mut ask, question, &shared, slot, counted).await;
        shared.heard(sent, &reply, failure.as_ref());
        drop(turn);
        // When an agent ends, all open polls do. If each left its slot to the next watch, as many would connect in vain before
        // one of them can tell the others.
        kept = (state.position.blocks() && failure.as_ref().is_some_and(is_break)).then_some(slot);
        if matches!(reply, Reply::Cut) {
            undisturbed = Instant::now();
        }
        let (after, outcome, next) = step(state, reply);
        state = after;

        match outcome {
            Outcome::Changed(_) | Outcome::Unchanged => {
                let answered = journal.answered();
                if trouble.take() != Some(Trouble::Limited) {
                    shared.answered(answered);
                } else if shared.limit.reset(sent.limit) {
                    // Once for all of them: that the others are answered too is the same news.
                    shared.answered(Answered::Again);
                }
            }
            Outcome::Quiet | Outcome::Failed => {}
        }
        match outcome {
            Outcome::Changed(update) => {
                published.send_modify(|published| published.publish(update, Instant::now()));
            }
            Outcome::Unchanged => {
                published.send_if_modified(|published| published.confirm(Instant::now()));
            }
            Outcome::Quiet => {}
            Outcome::Failed => {
                if let Some(error) = &failure {
                    journal.failed(error);
                    published
                        .send_modify(|published| published.fail(error.clone(), Instant::now()));
                }
            }
        }
        match next {
            Next::Now => {}
            Next::Poll => sleep(POLL).await,
            Next::Backoff(failures) => {
                let now = failure.as_ref().map_or(Trouble::Away, Trouble::of);
                trouble = Some(now);
                if let Some(passed) = shared.pass(now).await {
                    probes = passed == Pass::Probe;
                    continue;
                }
                let delay = shared.backoff.delay(failures, now, rand::random());
                recoveries.mark_unchanged();
                tokio::select! {
                    () = sleep(delay) => {}
                    // The sender is in `shared`, so this cannot fail.
                    _ = recoveries.changed(), if now.ends_with_any_success() => {}
                    () = ask.token_changed(), if now == Trouble::Refused => {}
                }
            }
        }
    }
}

/// One request, and what was thought of the server when it was sent. It is `counted` when it is, which is not when everybody
/// knows that there is no connection, and it is not this one that finds out.
async fn request<'a, A: Ask>(
    ask: &mut A,
    (position, longest, probing): (&Position, Duration, bool),
    shared: &Shared,
    mut slot: Slot<'a>,
    counted: impl FnOnce(),
) -> (Sent, Reply<A::Value>, Option<Error>, Slot<'a>) {
    let sent = shared.now();
    if !probing && let Some(error) = shared.reach.foretold() {
        let error = error.with_operation(format!("reading {}", ask.path()));
        return (sent, Reply::Failed, Some(error), slot);
    }
    counted();
    let wait = slot.turn.map_or(longest, |turn| turn.min(longest));
    if position.blocks() {
        slot.sent(wait);
    }
    let answer = tokio::select! {
        answer = ask.ask(position, wait) => Some(answer),
        () = shared.budget.wanted_back(wait), if position.blocks() => None,
    };
    // Also when it was ended for the sake of others: they need its slot now, and it was a long one.
    slot.over();
    match answer {
        Some(Ok(response)) => (sent, Reply::Answer(response), None, slot),
        Some(Err(error)) if error.is_timeout() => (sent, Reply::TimedOut, Some(error), slot),
        Some(Err(error)) => (sent, Reply::Failed, Some(error), slot),
        None => (sent, Reply::Cut, None, slot),
    }
}

/// Whether somebody said this, rather than nobody anything.
fn is_answer(error: &Error) -> bool {
    error.status().is_some()
}

/// Whether there was a connection, and it is no more.
fn is_break(error: &Error) -> bool {
    !is_answer(error) && !error.is_timeout() && Trouble::of(error) == Trouble::Away
}

/// A timer of zero length still costs up to a millisecond.
async fn pause(length: Duration) {
    if !length.is_zero() {
        sleep(length).await;
    }
}

/// How often something is read that Consul cannot block on.
const POLL: Duration = Duration::from_secs(5);

/// How long a watch whose connection broke waits for another one to have asked again. An agent that has ended says so at once.
const RETRY_TURN: Duration = Duration::from_millis(100);
