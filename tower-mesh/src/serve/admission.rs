//! Whether a request reaches the application, and what it looks like then.

use std::{
    borrow::Cow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use consul_connect::NormalizationPolicy;
use http::{HeaderValue, Response, request::Parts};

use super::{
    callers::Found,
    normalize::{Unfit, normalize},
    open::{OpenRequest, Requests},
    request::words,
};
use crate::{
    Peer,
    authorize::{
        Authorize, Caller, Decision, Denied, Dialect, Permit, Reason, Refusal, ResponseBody,
        dangerously_allow_all,
    },
    measure::Exchanges,
};

const PANICKED: Reason = Reason::fixed("panic", "the policy panicked while it decided");
const UNKNOWN: Reason = Reason::fixed("unknown", "the policy's answer is of an unknown kind");

/// What the requests of one server are held against.
pub(crate) struct Admission {
    pub(crate) authorize: Arc<dyn Authorize>,
    pub(crate) normalization: NormalizationPolicy,
    /// Whether callers are told why.
    pub(crate) tell_denials: bool,
}

/// A request that may pass.
pub(super) struct Admitted<'a> {
    pub(super) caller: Cow<'a, Peer>,
    pub(super) permit: Permit,
    /// It is asked about again when the rules change.
    pub(super) open: OpenRequest,
}

/// What a caller gets in place of the application's answer.
pub(super) enum Instead {
    Refusal(Refusal),
    Denial {
        denied: Denied,
        told: bool,
    },
    /// It is to ask for that.
    Redirect(HeaderValue),
}

impl Admission {
    /// Brings the head into its one spelling, asks the policy about that, and does to it what the policy says.
    pub(super) fn admit<'a>(
        &self,
        found: Found<'a>,
        open: &Arc<Requests>,
        head: &mut Parts,
    ) -> Result<Admitted<'a>, Instead> {
        let Found { caller, exchanges } = found;
        let caller = match caller {
            Ok(caller) => caller,
            Err(nobody) => return Err(self.denied(nobody, None, &exchanges, head)),
        };
        let rules = self.normalization.current();
        let rules = rules.map_err(|reason| self.denied(reason, Some(&caller), &exchanges, head))?;
        normalize(rules, head).map_err(|unfit| match unfit {
            Unfit::Elsewhere(location) => Instead::Redirect(location),
            Unfit::Malformed(reason) => {
                exchanges.denied(&reason);
                tracing::debug!(%caller, method = %head.method, %reason, "request refused");
                Instead::Refusal(Refusal::Malformed)
            }
        })?;
        // Before it is decided: a change of the rules that comes next is not missed.
        let open = open.enter(&caller, &exchanges, head);
        match self.decide(&caller, head) {
            Decision::Allow(permit) => {
                exchanges.permitted(&permit);
                if let Some(denial) = permit.overruled() {
                    let rule = denial.rule().map(tracing::field::display);
                    tracing::info!(%caller, method = %head.method, path = head.uri.path(), rule, reason = denial.code(), "would be denied: {denial}");
                }
                permit.edits().apply(head);
                Ok(Admitted {
                    caller,
                    permit,
                    open,
                })
            }
            Decision::Deny(reason) => Err(self.denied(reason, Some(&caller), &exchanges, head)),
            // A later kind of answer that this crate does not know is not a permission.
            _ => Err(self.denied(UNKNOWN, Some(&caller), &exchanges, head)),
        }
    }

    /// Who cannot decide has not allowed. The other requests of the connection are not to blame.
    fn decide(&self, caller: &Peer, head: &Parts) -> Decision {
        let decide = || self.authorize.request(Caller::Peer(caller), head);
        catch_unwind(AssertUnwindSafe(decide)).unwrap_or_else(|panic| {
            tracing::error!(panic = words(&*panic), "the policy panicked");
            Decision::Deny(PANICKED)
        })
    }

    fn denied(
        &self,
        reason: Reason,
        caller: Option<&Peer>,
        exchanges: &Exchanges,
        head: &Parts,
    ) -> Instead {
        exchanges.denied(&reason);
        let denied = Denied::new(reason, caller.cloned());
        denied.log(head);
        Instead::Denial {
            denied,
            told: self.tell_denials,
        }
    }
}

/// Lets every verified peer in.
impl Default for Admission {
    fn default() -> Self {
        Self {
            authorize: Arc::new(dangerously_allow_all()),
            normalization: NormalizationPolicy::default(),
            tell_denials: false,
        }
    }
}

impl Instead {
    pub(super) fn response<B>(self, dialect: Dialect) -> Response<ResponseBody<B>> {
        match self {
            Self::Refusal(refusal) => refusal.answer(dialect),
            Self::Denial { denied, told } => denied.answer(dialect, told),
            Self::Redirect(location) => Refusal::redirect(location),
        }
    }
}
