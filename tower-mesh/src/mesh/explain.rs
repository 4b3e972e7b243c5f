//! What would happen to a request, by the same steps as in a server.

use consul_connect::{Intentions, NormalizationPolicy, ServiceId, intention::Explanation};
use http::Request;

use crate::{
    authorize::{Reason, Verdict},
    head,
    serve::normalize::{Unfit, normalize},
};

pub(super) fn request<B>(
    intentions: &Intentions,
    normalization: &NormalizationPolicy,
    caller: &ServiceId,
    request: &Request<B>,
) -> Explanation {
    let (uri, version) = (request.uri(), request.version());
    let mut head = head::bare(request.method(), uri, version, request.headers());
    let normalized = match normalization.current() {
        Ok(rules) => normalize(rules, &mut head).map_err(|unfit| match unfit {
            Unfit::Malformed(reason) => reason,
            Unfit::Elsewhere(_) => ELSEWHERE,
        }),
        Err(refused) => Err(refused),
    };
    match normalized {
        Ok(()) => intentions.explain(caller, Some(&head)),
        Err(reason) => {
            let mut explanation = intentions.explain(caller, None);
            explanation.request = Some(format!("{} {}", head.method, head.uri.path()));
            explanation.because = format!("no rule is asked: {reason}");
            explanation.verdict = Verdict::Deny(reason);
            explanation
        }
    }
}

const ELSEWHERE: Reason = Reason::fixed(
    "redirect",
    "the caller is redirected to the path without escaped slashes",
);
