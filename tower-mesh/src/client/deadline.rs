//! How long a call may take.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    body::{Turn, Upload},
    time::later,
};

/// A timeout for one request, in its extensions: set by the builder.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestTimeout(pub(super) Duration);

/// When a call is late.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Limit {
    None,
    /// The head of the response, counted from the end of the request's body.
    Head(Duration),
    /// The whole call, bodies included, as gRPC means it.
    Call(Duration, Instant),
}

impl Limit {
    /// A `grpc-timeout` is the caller's own word about the call, and goes before everything.
    pub(super) fn new(
        request: Option<RequestTimeout>,
        grpc: Option<Duration>,
        client: Option<Duration>,
        began: Instant,
    ) -> Self {
        match (grpc, request.map(|timeout| timeout.0).or(client)) {
            (Some(limit), _) => Self::Call(limit, later(began, limit)),
            (None, Some(limit)) => Self::Head(limit),
            (None, None) => Self::None,
        }
    }

    /// What was granted.
    pub(super) fn granted(self) -> Duration {
        match self {
            Self::None => Duration::MAX,
            Self::Head(limit) | Self::Call(limit, _) => limit,
        }
    }

    /// When the response body must be over too.
    pub(super) fn of_body(self) -> Option<Instant> {
        match self {
            Self::None | Self::Head(_) => None,
            Self::Call(_, at) => Some(at),
        }
    }

    /// What the head of the response may take.
    pub(super) fn of_head(self) -> Option<Duration> {
        match self {
            Self::None | Self::Call(..) => None,
            Self::Head(limit) => Some(limit),
        }
    }

    /// Pends until a call with a streaming request body is late, and says how.
    ///
    /// While the body lasts, each wait before the answer may take as long as the head, and each piece
    /// `pause`.
    async fn passed(self, upload: Upload, pause: Option<Duration>, phase: &Phase) -> Late {
        let call = async {
            match self {
                Self::Call(_, at) => sleep_until(at).await,
                Self::None | Self::Head(_) => pending().await,
            }
        };
        let head = async {
            let Upload { turn, over } = upload;
            tokio::select! {
                biased;
                _over = over => {}
                late = stalled(&turn, self.of_head(), pause, phase) => return late,
            }
            match self {
                Self::Head(limit) => sleep(limit).await,
                Self::None | Self::Call(..) => pending().await,
            }
            Late::Answer
        };
        tokio::select! {
            () = call => Late::Answer,
            late = head => late,
        }
    }
}

/// The limit of one call, and what it needs to know to hold the call to it.
pub(super) struct Clock {
    limit: Limit,
    began: Instant,
    /// `None` if the body of the request is made of bytes.
    upload: Option<Upload>,
    pause: Option<Duration>,
}

impl Clock {
    pub(super) fn new(
        limit: Limit,
        began: Instant,
        upload: Option<Upload>,
        pause: Option<Duration>,
    ) -> (Self, Phase) {
        let phase = Phase::new(upload.as_ref());
        let clock = Self {
            limit,
            began,
            upload,
            pause,
        };
        (clock, phase)
    }

    /// What was granted.
    pub(super) fn granted(&self) -> Duration {
        self.limit.granted()
    }

    /// Pends until the call is late, and says how. Arms a timer only when polled; is polled to its end
    /// once.
    pub(super) async fn passed(&mut self, phase: &Phase) -> Late {
        if let Some(upload) = self.upload.take() {
            return Box::pin(self.limit.passed(upload, self.pause, phase)).await;
        }
        let at = match self.limit {
            Limit::None => return pending().await,
            Limit::Head(limit) => later(self.began, limit),
            Limit::Call(_, at) => at,
        };
        sleep_until(at).await;
        Late::Answer
    }
}

/// What came too late.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Late {
    /// What the call was waiting for: see [`Phase`].
    Answer,
    /// The peer's reading of the next piece of the request's body, which may take this long.
    Reading(Duration),
}

/// Pends until somebody else than the caller has taken too long for one thing.
async fn stalled(
    turn: &Turn,
    head: Option<Duration>,
    pause: Option<Duration>,
    phase: &Phase,
) -> Late {
    // Whose turn it is and what it is about change unseen between two looks.
    let shortest = head.into_iter().chain(pause).min();
    let shortest = shortest.unwrap_or(Duration::MAX).max(TICK);
    loop {
        let now = Instant::now();
        let answering = phase.get() == Phase::ANSWER;
        let mut look = later(now, shortest);
        match (turn.since(), if answering { pause } else { head }) {
            (Some(since), Some(limit)) => {
                let end = later(since, limit);
                if end <= now && answering {
                    return Late::Reading(limit);
                } else if end <= now {
                    return Late::Answer;
                }
                look = look.min(end);
            }
            // Often enough to be late by a quarter at most.
            (None, _) => look = later(now, (shortest / 4).max(TICK)),
            (Some(_), None) => {}
        }
        sleep_until(look).await;
    }
}

/// Timers are no finer.
const TICK: Duration = Duration::from_millis(1);

/// What a call is waiting for, for the message when it is late.
pub(super) struct Phase {
    now: AtomicU8,
    turn: Option<Arc<Turn>>,
}

impl Phase {
    pub(super) const RESOLVE: u8 = 0;
    pub(super) const CONNECT: u8 = 1;
    pub(super) const ANSWER: u8 = 2;

    /// `upload` is the body whose limits begin anew with each phase.
    pub(super) fn new(upload: Option<&Upload>) -> Self {
        Self {
            now: AtomicU8::new(Self::RESOLVE),
            turn: upload.map(|upload| Arc::clone(&upload.turn)),
        }
    }

    pub(super) fn set(&self, phase: u8) {
        self.now.store(phase, Ordering::Relaxed);
        if let Some(turn) = &self.turn {
            turn.passes();
        }
    }

    pub(super) fn get(&self) -> u8 {
        self.now.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
