//! Requests with one peer, and one of them.

use std::{fmt, sync::Arc};

use http::{HeaderMap, StatusCode};
use tokio::time::Instant;

use super::{
    sink::{Histogram, Sink},
    table::Table,
};
use crate::{
    ErrorKind,
    authorize::{Permit, Reason},
    grpc,
    metrics::{DECISIONS, REQUEST_SECONDS, REQUESTS},
};

/// The requests to or from one peer.
pub(crate) struct Exchanges {
    sink: Sink,
    direction: &'static str,
    peer: Arc<str>,
    http: Histogram,
    grpc: Histogram,
    outcomes: Table<(bool, Outcome)>,
    decisions: Table<Judged>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    Status(u16),
    Failed(&'static str),
}

/// `allow`, `deny` or `shadow_deny`, and why.
pub(super) type Judged = (&'static str, &'static str);

impl Exchanges {
    pub(super) fn new(sink: Sink, direction: &'static str, peer: Arc<str>) -> Arc<Self> {
        let histogram = |protocol| {
            let labels = [
                ("direction", direction),
                ("peer", &*peer),
                ("protocol", protocol),
            ];
            sink.histogram(REQUEST_SECONDS, &labels)
        };
        Arc::new(Self {
            http: histogram("http"),
            grpc: histogram("grpc"),
            direction,
            peer,
            outcomes: Table::default(),
            decisions: Table::default(),
            sink,
        })
    }

    /// A request that began then.
    pub(crate) fn begin(self: &Arc<Self>, is_grpc: bool, began: Instant) -> Exchange {
        Exchange {
            of: Arc::clone(self),
            began,
            is_grpc,
            outcome: Outcome::Failed("canceled"),
        }
    }

    /// Counts that a request may pass.
    pub(crate) fn permitted(&self, permit: &Permit) {
        self.judged(permitted(permit));
    }

    /// Counts that a request may not.
    pub(crate) fn denied(&self, reason: &Reason) {
        self.judged(denied(reason));
    }

    fn judged(&self, judged: Judged) {
        self.decisions
            .increment(judged, || decision_counter(&self.sink, judged, "request"));
    }

    fn ended(&self, is_grpc: bool, outcome: Outcome, began: Instant) {
        let histogram = if is_grpc { &self.grpc } else { &self.http };
        histogram.record(began.elapsed());
        self.outcomes.increment((is_grpc, outcome), || {
            let code = match outcome {
                Outcome::Status(code) => code.to_string(),
                Outcome::Failed(why) => why.to_owned(),
            };
            let labels = [
                ("direction", self.direction),
                ("peer", &*self.peer),
                ("protocol", if is_grpc { "grpc" } else { "http" }),
                ("code", &*code),
            ];
            self.sink.counter(REQUESTS, &labels)
        });
    }
}

pub(super) fn permitted(permit: &Permit) -> Judged {
    match (permit.overruled(), permit.rule()) {
        (Some(denial), _) => ("shadow_deny", denial.code()),
        (None, Some(_)) => ("allow", "intention"),
        (None, None) => ("allow", "default"),
    }
}

pub(super) fn denied(reason: &Reason) -> Judged {
    ("deny", reason.code())
}

pub(super) fn decision_counter(
    sink: &Sink,
    (decision, reason): Judged,
    layer: &'static str,
) -> super::sink::Counter {
    let labels = [("decision", decision), ("layer", layer), ("reason", reason)];
    sink.counter(DECISIONS, &labels)
}

/// One request. It ends, and is counted, when this is dropped.
pub(crate) struct Exchange {
    of: Arc<Exchanges>,
    began: Instant,
    is_grpc: bool,
    outcome: Outcome,
}

impl Exchange {
    /// Whom it is with.
    pub(crate) fn peer(&self) -> &str {
        &self.of.peer
    }

    /// The head of the response is here. A gRPC call that failed at once has its outcome in it.
    pub(crate) fn answered(&mut self, status: StatusCode, headers: &HeaderMap) {
        self.outcome = Outcome::Status(status.as_u16());
        if self.is_grpc {
            // Until its trailers say more, a call is one whose outcome nobody knows.
            self.outcome = Outcome::Failed("canceled");
            self.trailers(headers);
        }
    }

    /// The end of a gRPC response.
    pub(crate) fn trailers(&mut self, trailers: &HeaderMap) {
        if !self.is_grpc {
            return;
        }
        let status = trailers.get(grpc::STATUS).map(|status| status.to_str());
        if let Some(status) = status {
            let code = status.ok().and_then(|status| status.parse().ok());
            self.outcome = Outcome::Status(code.filter(|code| *code <= 16).unwrap_or(UNKNOWN));
        }
    }

    /// There is no response, or no more of it.
    pub(crate) fn failed(&mut self, kind: ErrorKind) {
        self.outcome = Outcome::Failed(kind.code());
    }
}

/// gRPC's number for an outcome that is none of its others.
const UNKNOWN: u16 = 2;

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("peer", &self.of.peer)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.of.ended(self.is_grpc, self.outcome, self.began);
    }
}
