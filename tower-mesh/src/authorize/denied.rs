use http::{Response, request::Parts};

use super::{Dialect, Reason, Refusal, ResponseBody};
use crate::Peer;

/// In the extensions of a refusal: who was denied, and why.
///
/// The caller is not told, unless the program wants it to be; this is for a layer that logs or counts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Denied {
    /// Why.
    pub reason: Reason,
    /// Who; `None` if nobody was verified.
    pub caller: Option<Peer>,
}

impl Denied {
    pub(crate) fn new(reason: Reason, caller: Option<Peer>) -> Self {
        Self { reason, caller }
    }

    /// The answer to a caller that speaks `dialect`, with the reason in it if it is to be `told`.
    pub(crate) fn answer<B>(self, dialect: Dialect, told: bool) -> Response<ResponseBody<B>> {
        let mut response = match told {
            true => Refusal::Denied.answer_with(dialect, &self.reason.to_string()),
            false => Refusal::Denied.answer(dialect),
        };
        response.extensions_mut().insert(self);
        response
    }

    /// Says it where whoever runs the service looks.
    pub(crate) fn log(&self, head: &Parts) {
        let caller = self.caller.as_ref().map(tracing::field::display);
        let rule = self.reason.rule().map(tracing::field::display);
        tracing::debug!(
            caller,
            method = %head.method,
            path = head.uri.path(),
            rule,
            reason = self.reason.code(),
            "request denied: {}", self.reason
        );
    }
}
