//! How long a call may take.

use std::{
    future::pending,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

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
    /// `None` if the body of the request is made of bytes.
    upload: Option<Box<Uploading>>,
}

struct Uploading {
    upload: Upload,
    pause: Option<Duration>,
}

impl Clock {
    /// `upload` is the body of the request if it streams, and each piece of it may take `pause`.
    pub(super) fn new(
        limit: Limit,
        upload: Option<Upload>,
        pause: Option<Duration>,
    ) -> (Self, Phase) {
        let phase = Phase::new(upload.as_ref());
        let upload = upload.map(|upload| Box::new(Uploading { upload, pause }));
        (Self { limit, upload }, phase)
    }

    /// What was granted.
    pub(super) fn granted(&self) -> Duration {
        self.limit.granted()
    }

    /// Pends until the call that began then is late, and says how. Makes a timer only when polled.
    pub(super) fn passing<'a>(&mut self, began: Instant, phase: &'a Phase) -> Passing<'a> {
        if let Some(uploading) = self.upload.take() {
            let Uploading { upload, pause } = *uploading;
            let late = Box::pin(self.limit.passed(upload, pause, phase));
            return Passing::Upload { late };
        }
        let at = match self.limit {
            Limit::None => return Passing::Never,
            Limit::Head(limit) => later(began, limit),
            Limit::Call(_, at) => at,
        };
        Passing::Until { at }
    }
}

pin_project! {
    /// A call that is not late yet.
    #[project = PassingProj]
    pub(super) enum Passing<'a> {
        Never,
        // Not polled yet.
        Until { at: Instant },
        Asleep { #[pin] sleep: Sleep },
        Upload { late: Pin<Box<dyn Future<Output = Late> + Send + 'a>> },
    }
}

impl Future for Passing<'_> {
    type Output = Late;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Late> {
        if let PassingProj::Until { at } = self.as_mut().project() {
            let sleep = sleep_until(*at);
            self.set(Self::Asleep { sleep });
        }
        match self.project() {
            PassingProj::Never | PassingProj::Until { .. } => Poll::Pending,
            PassingProj::Asleep { sleep } => sleep.poll(cx).map(|()| Late::Answer),
            PassingProj::Upload { late } => late.as_mut().poll(cx),
        }
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
