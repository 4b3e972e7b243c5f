//! Where the outcomes may differ: ours is the stricter one, and each such case has a name and a reason.

use super::{
    line::Answer,
    place::Outcome,
    requests::Request,
    rules::{Intentions, Source},
    sets::{Kind, Set},
    tokens::{Flaw, Token},
    world::Rules,
};

/// A request with everything that was said about it, and what became of it.
pub(crate) struct Case<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) set: &'a Set,
    pub(crate) request: &'a Request,
    pub(crate) envoy: &'a Outcome,
    pub(crate) ours: &'a Outcome,
}

pub(crate) struct Difference {
    pub(crate) name: &'static str,
    pub(crate) because: &'static str,
    applies: fn(&Case<'_>) -> bool,
}

/// All of them. The first that applies gives its name.
pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        name: "a denial of everybody stands above a narrower permission",
        because: "by Consul's documentation `* => api` decides before `web => *`; Envoy's configuration lets the latter through",
        applies: |case| {
            let (own, any) = (&case.set.own, case.set.any.as_ref());
            let caller = case.request.caller;
            source(own, caller).is_none()
                && source(own, "*").is_some()
                && any.and_then(|any| source(any, caller)).is_some()
        },
    },
    Difference {
        name: "a name is no pattern",
        because: "Envoy's configuration takes the dot of `a.b` for any character, so that `axb` is it as well",
        applies: is_taken_for_another,
    },
    Difference {
        name: "a token that is asked for is asked for where the default allows, too",
        because: "Envoy gets no rule that allows where everything is allowed, and so never looks for the token",
        applies: |case| case.rules.allow && case.set.own.requirements().next().is_some(),
    },
    Difference {
        name: "a byte stream bears no token",
        because: "Consul takes a top-level requirement for a tcp service and Envoy is told nothing of it; what cannot be asked is not allowed",
        applies: |case| case.set.kind == Kind::Stream && !case.set.own.jwt.is_empty(),
    },
    Difference {
        name: "of several tokens each has to be good",
        because: "Envoy goes by the last one that it finds, and hands the others on; the application may read another than was verified",
        applies: has_several_tokens,
    },
    Difference {
        name: "a malformed request is answered",
        because: "over HTTP/2 Envoy resets the stream of a request with a header it is to reject; ours says 400, as over HTTP/1.1",
        applies: |case| {
            case.envoy.answer == Answer::Closed && case.ours.answer == Answer::Status(400)
        },
    },
    Difference {
        name: "critical parameters of a token",
        because: "RFC 7515 wants a token refused whose `crit` names what is not understood; Envoy does not look",
        applies: |case| has_flaw(case, |token| token.flaw == Flaw::Critical),
    },
    Difference {
        name: "the clock skew that is configured",
        because: "Consul 1.22 does not hand `ClockSkewSeconds` on, and Envoy takes 60 s",
        applies: |case| {
            has_flaw(case, |token| {
                token.provider == "short-skew"
                    && matches!(token.flaw, Flaw::JustExpired | Flaw::JustNotYet)
            })
        },
    },
];

/// Whether an intention names `a.b` and `axb` calls.
fn is_taken_for_another(case: &Case<'_>) -> bool {
    let named = |of: &Intentions| source(of, "a.b").is_some();
    let any = case.set.any.as_ref();
    case.request.caller == "axb" && (named(&case.set.own) || any.is_some_and(named))
}

/// Whether several tokens are somewhere in the request, or something else where one is.
fn has_several_tokens(case: &Case<'_>) -> bool {
    let headers = case.request.headers.iter();
    let lines = headers.filter(|(name, _)| {
        ["authorization", "x-token"].contains(&name.to_ascii_lowercase().as_str())
    });
    case.request.tokens.len() > 1 || lines.count() > 1
}

fn source<'a>(of: &'a Intentions, name: &str) -> Option<&'a Source> {
    let mut sources = of.sources.iter();
    sources.find(|source| source.name == name && source.peer.is_none())
}

fn has_flaw(case: &Case<'_>, is: impl Fn(&Token) -> bool) -> bool {
    case.request.tokens.iter().any(is)
}

/// How an outcome of ours relates to Envoy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Same,
    Named(&'static str),
    Unexplained,
}

pub(crate) fn relate(case: &Case<'_>) -> Relation {
    if case.envoy == case.ours {
        return Relation::Same;
    }
    // No name makes this right; but nobody is kept out when `axb` is, whom anybody wanted to keep out by denying `a.b`.
    let lenient = case.ours.is_allowed() && !case.envoy.is_allowed();
    if lenient && !is_taken_for_another(case) {
        return Relation::Unexplained;
    }
    let mut all = DIFFERENCES.iter();
    match all.find(|difference| (difference.applies)(case)) {
        Some(difference) => Relation::Named(difference.name),
        None => Relation::Unexplained,
    }
}
