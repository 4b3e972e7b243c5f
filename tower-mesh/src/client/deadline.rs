//! How long a call may take.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use tokio::{
    sync::oneshot,
    time::{Instant, sleep, sleep_until},
};

use crate::time::later;

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
    ) -> Self {
        match (grpc, request.map(|timeout| timeout.0).or(client)) {
            (Some(limit), _) => Self::Call(limit, later(Instant::now(), limit)),
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

    /// Pends until the call is late. Arms a timer only when polled.
    ///
    /// `sent` resolves when a streaming request body has ended; `None` if it is made of bytes.
    pub(super) async fn passed(self, sent: Option<oneshot::Receiver<Infallible>>, phase: &Phase) {
        match self {
            Self::None => std::future::pending().await,
            Self::Call(_, at) => sleep_until(at).await,
            Self::Head(limit) => {
                if let Some(mut sent) = sent {
                    // A stream that nobody has begun to read is not the caller's doing.
                    tokio::select! {
                        _ = &mut sent => {}
                        () = sleep(limit) => {
                            if phase.get() != Phase::ANSWER {
                                return;
                            }
                            let _ = sent.await;
                        }
                    }
                }
                sleep(limit).await;
            }
        }
    }
}

/// What a call is waiting for, for the message when it is late.
#[derive(Debug, Default)]
pub(super) struct Phase(AtomicU8);

impl Phase {
    pub(super) const RESOLVE: u8 = 0;
    pub(super) const CONNECT: u8 = 1;
    pub(super) const ANSWER: u8 = 2;

    pub(super) fn set(&self, phase: u8) {
        self.0.store(phase, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}
